//! Health checks of load balancers: whether this node has endpoints of a Service that wants local ones only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{Service, Snapshot};
use plan::HealthCheck;
use types::{NodeName, ObjectRef, Port, ServiceName};

use crate::endpoints::SlicesByService;
use crate::findings::{Findings, error};
use crate::services::claims::is_programmed;

/// Ports to answer at, and what (semantics SD14).
///
/// `wishing` are the Services that want a port, in order; `node_port` is who has a NodePort of TCP.
pub(crate) fn compile<'a>(
    wishing: impl Iterator<Item = &'a Service>,
    node_port: impl Fn(Port) -> Option<&'a ServiceName>,
    slices: SlicesByService<'_>,
    node: &NodeName,
    findings: &mut Findings,
) -> BTreeMap<Port, HealthCheck> {
    let checks = owners(wishing, node_port, findings).into_iter().map(|(port, service)| {
        let local_endpoints = local_endpoints(slices, service, node).len();
        (port, HealthCheck { service: service.name.clone(), local_endpoints })
    });
    checks.collect()
}

/// The findings alone, for the cluster loop.
pub(crate) fn check<'a>(
    snapshot: &'a Snapshot,
    node_port: impl Fn(Port) -> Option<&'a ServiceName>,
    findings: &mut Findings,
) {
    owners(wishing(snapshot), node_port, findings);
}

/// The Services that want a port, in order.
pub(crate) fn wishing(snapshot: &Snapshot) -> impl Iterator<Item = &Service> {
    snapshot.services.values().filter(|service| is_wishing(service))
}

/// Whether a Service wants a port.
pub(crate) fn is_wishing(service: &Service) -> bool {
    is_programmed(service) && service.health_check_node_port.is_some()
}

/// Every health check port and the one Service that has it; a NodePort of TCP comes first, since its packets do.
fn owners<'a>(
    wishing: impl Iterator<Item = &'a Service>,
    node_port: impl Fn(Port) -> Option<&'a ServiceName>,
    findings: &mut Findings,
) -> BTreeMap<Port, &'a Service> {
    let mut owners: BTreeMap<Port, &Service> = BTreeMap::new();
    for service in wishing {
        let Some(port) = service.health_check_node_port else { continue };
        let owner = node_port(port).or_else(|| owners.get(&port).map(|owner| &owner.name));
        if let Some(owner) = owner {
            let message = format!("{port}/TCP already belongs to Service {owner}");
            let object = ObjectRef::namespaced("Service", &service.name);
            findings.insert(error(object, "spec.healthCheckNodePort", "NodePortConflict", message));
            continue;
        }
        owners.insert(port, service);
    }
    owners
}

/// Ready endpoints of the node, by address: one Pod with three ports is one endpoint, as upstream counts.
fn local_endpoints(slices: SlicesByService<'_>, service: &Service, node: &NodeName) -> BTreeSet<IpAddr> {
    let slices = slices.of(&service.name).into_iter();
    let endpoints = slices.filter(|slice| !slice.headless).flat_map(|slice| &slice.endpoints);
    let ready = endpoints.filter(|endpoint| endpoint.ready && endpoint.node.as_ref() == Some(node));
    ready.map(|endpoint| endpoint.address).collect()
}
