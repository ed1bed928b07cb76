//! Which Service port has which frontend, where several may want the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{IpMode, Service, ServicePort, ServiceType, Snapshot};
use plan::{Finding, Frontend, FrontendAddress, FrontendScope};
use types::{ObjectRef, ServiceName};

use crate::findings::{Findings, error};

/// A Service port that wants a frontend.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) service: &'a Service,
    pub(crate) port: &'a ServicePort,
    pub(crate) scope: FrontendScope,
    /// Where it says so.
    field: &'static str,
}

/// The order in which claims are granted: a ClusterIP beats any other scope, and then the lower namespace and name wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    ClusterIp,
    Other,
}

impl Claim<'_> {
    pub(crate) fn rank(&self) -> Rank {
        if self.scope == FrontendScope::ClusterIp { Rank::ClusterIp } else { Rank::Other }
    }

    /// That somebody else has what is claimed.
    pub(crate) fn refused(&self, frontend: Frontend, owner: &ServiceName) -> Finding {
        let object = ObjectRef::namespaced("Service", &self.service.name);
        let message = format!("{frontend} already belongs to Service {owner}");
        let reason = match self.scope {
            FrontendScope::NodePort => "NodePortConflict",
            _ => "AddressConflict",
        };
        error(object, self.field, reason, message)
    }
}

/// Every frontend and the one Service port that has it.
pub(super) fn granted<'a>(
    snapshot: &'a Snapshot,
    local_vips: &BTreeSet<IpAddr>,
    findings: &mut Findings,
) -> BTreeMap<Frontend, Claim<'a>> {
    let mut granted: BTreeMap<Frontend, Claim<'a>> = BTreeMap::new();
    for rank in [Rank::ClusterIp, Rank::Other] {
        for service in snapshot.services.values() {
            for (frontend, claim) in of_service(service, local_vips).filter(|(_, claim)| claim.rank() == rank)
            {
                match granted.get(&frontend) {
                    None => drop(granted.insert(frontend, claim)),
                    Some(owner) => drop(findings.insert(claim.refused(frontend, &owner.service.name))),
                }
            }
        }
    }
    granted
}

/// Headless, ExternalName and other proxies' Services have no frontend (semantics SD18).
pub(crate) fn is_programmed(service: &Service) -> bool {
    !service.headless && service.kind != ServiceType::ExternalName && !service.proxied_elsewhere
}

/// ClusterIPs of a Service that another proxy serves.
pub(crate) fn served_elsewhere(service: &Service) -> impl Iterator<Item = IpAddr> {
    let is_one = service.proxied_elsewhere && !service.headless && service.kind != ServiceType::ExternalName;
    service.cluster_ips.iter().copied().filter(move |_| is_one)
}

/// What a Service claims, ClusterIPs first.
pub(crate) fn of_service<'a>(
    service: &'a Service,
    local_vips: &BTreeSet<IpAddr>,
) -> impl Iterator<Item = (Frontend, Claim<'a>)> {
    // Nodes answer the address of the Service that stands for the cluster DNS themselves.
    let is_local =
        |wish: &Wish| matches!(wish.0, FrontendAddress::Vip(address) if local_vips.contains(&address));
    let mut wishes = if is_programmed(service) { wishes(service) } else { Vec::new() };
    wishes.retain(|wish| !is_local(wish));
    let per_port = move |(address, scope, field): Wish| {
        service.ports.iter().filter_map(move |port| {
            let number = match address {
                FrontendAddress::Vip(_) => port.port,
                FrontendAddress::NodePort => port.node_port?,
            };
            let frontend = Frontend { address, protocol: port.protocol, port: number };
            Some((frontend, Claim { service, port, scope, field }))
        })
    };
    wishes.into_iter().flat_map(per_port)
}

/// An address (or NodePort) a Service wants for all its ports, and the field that says so.
type Wish = (FrontendAddress, FrontendScope, &'static str);

fn wishes(service: &Service) -> Vec<Wish> {
    let cluster_ips = service.cluster_ips.iter();
    let cluster_ips =
        cluster_ips.map(|vip| (FrontendAddress::Vip(*vip), FrontendScope::ClusterIp, "spec.clusterIPs"));
    let external_ips = service.external_ips.iter();
    let external_ips =
        external_ips.map(|vip| (FrontendAddress::Vip(*vip), FrontendScope::ExternalIp, "spec.externalIPs"));
    let mut wishes: Vec<Wish> = cluster_ips.chain(external_ips).collect();
    if service.load_balancer.is_some() {
        // An address in mode Proxy is taken by a proxy in front, also for traffic from inside (semantics SD7).
        let vips = service.status.iter().filter(|ingress| ingress.mode == IpMode::Vip);
        wishes.extend(vips.map(|ingress| {
            let vip = FrontendAddress::Vip(ingress.address);
            (vip, FrontendScope::LoadBalancer, "status.loadBalancer.ingress")
        }));
    }
    wishes.push((FrontendAddress::NodePort, FrontendScope::NodePort, "spec.ports[].nodePort"));
    wishes
}
