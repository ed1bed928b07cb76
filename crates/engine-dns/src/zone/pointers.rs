//! Which Services an address belongs to, for reverse names.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use plan::{DnsPlan, DnsService, DnsServiceKind};
use types::{ServiceName, SharedMap};

use super::builder::below;
use super::{Node, Source};
use crate::{Name, RecordData};

/// What an address is to a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Role {
    cluster_ip: bool,
    endpoint: bool,
}

/// Every address of a Service or of one of its endpoints.
#[derive(Clone, Debug, Default)]
pub(super) struct Pointers(SharedMap<(IpAddr, Arc<ServiceName>), Role>);

impl Pointers {
    /// Takes note of a Service that changed.
    pub(super) fn follow(&mut self, name: &ServiceName, old: Option<&DnsService>, new: Option<&DnsService>) {
        let (old, new) = (roles(old), roles(new));
        let name = Arc::new(name.clone());
        for address in old.keys().filter(|address| !new.contains_key(address)) {
            self.0.remove(&(*address, Arc::clone(&name)));
        }
        for (address, role) in new.into_iter().filter(|(address, role)| old.get(address) != Some(role)) {
            self.0.insert((address, Arc::clone(&name)), role);
        }
    }

    /// PTR records: exactly one for a cluster address, else one per Service that has the address as endpoint. Only Services of
    /// exposed Namespaces count.
    pub(super) fn node(
        &self,
        address: IpAddr,
        (plan, origin): (&DnsPlan, &Name),
        is_exposed: impl Fn(&str) -> bool,
    ) -> Option<Node> {
        let first = (address, Arc::new(ServiceName::new("", "")));
        let of_address = || {
            let all = self.0.iter_from(&first).take_while(|((other, _), _)| *other == address);
            all.filter(|((_, service), _)| is_exposed(&service.namespace))
        };
        let cluster_ips = of_address().filter(|(_, role)| role.cluster_ip);
        let mut own = cluster_ips.filter_map(|((_, service), _)| {
            let target = below(origin, &[&service.name, &service.namespace, "svc"])?;
            let source = Source::ReverseService((**service).clone());
            Some(Node { source, records: vec![RecordData::Ptr(target)] })
        });
        if let Some(node) = own.next() {
            return Some(node);
        }
        let mut services = Vec::new();
        let mut records = Vec::new();
        for ((_, service), _) in of_address().filter(|(_, role)| role.endpoint) {
            let endpoints = plan.services.get(&**service).into_iter().flat_map(|service| &service.endpoints);
            let mut targets =
                endpoints.filter(|endpoint| endpoint.address == address).filter_map(|endpoint| {
                    below(origin, &[&endpoint.hostname, &service.name, &service.namespace, "svc"])
                });
            if let Some(target) = targets.next() {
                services.push((**service).clone());
                records.push(RecordData::Ptr(target));
            }
        }
        records.sort_unstable();
        records.dedup();
        (!services.is_empty()).then_some(Node { source: Source::ReverseEndpoint(services), records })
    }
}

fn roles(service: Option<&DnsService>) -> BTreeMap<IpAddr, Role> {
    let mut roles: BTreeMap<IpAddr, Role> = BTreeMap::new();
    let Some(service) = service else { return roles };
    if let DnsServiceKind::ClusterIp { addresses, .. } = &service.kind {
        addresses.iter().for_each(|address| roles.entry(*address).or_default().cluster_ip = true);
    }
    for endpoint in &service.endpoints {
        roles.entry(endpoint.address).or_default().endpoint = true;
    }
    roles
}
