//! Health checks of load balancers: whether this node has endpoints of a Service that wants local ones only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{Service, Snapshot};
use plan::HealthCheck;
use types::{NodeName, ObjectRef, Port, Protocol};

use crate::endpoints::SlicesByService;
use crate::findings::{Findings, error};
use crate::services::is_programmed;

/// Ports to answer at, and what (semantics SD14).
pub(crate) fn compile(
    snapshot: &Snapshot,
    slices: &SlicesByService<'_>,
    node: &NodeName,
    findings: &mut Findings,
) -> BTreeMap<Port, HealthCheck> {
    let checks = owners(snapshot, findings).into_iter().map(|(port, service)| {
        let local_endpoints = local_endpoints(slices, service, node).len();
        (port, HealthCheck { service: service.name.clone(), local_endpoints })
    });
    checks.collect()
}

/// The findings alone, for the cluster loop.
pub(crate) fn check(snapshot: &Snapshot, findings: &mut Findings) {
    owners(snapshot, findings);
}

/// Every health check port and the one Service that has it; a NodePort of TCP comes first, since its packets do.
fn owners<'a>(snapshot: &'a Snapshot, findings: &mut Findings) -> BTreeMap<Port, &'a Service> {
    let programmed = || snapshot.services.values().filter(|service| is_programmed(service));
    let mut taken: BTreeMap<Port, &Service> = BTreeMap::new();
    for service in programmed() {
        for port in service.ports.iter().filter(|port| port.protocol == Protocol::Tcp) {
            if let Some(number) = port.node_port {
                taken.entry(number).or_insert(service);
            }
        }
    }
    let mut owners = BTreeMap::new();
    for service in programmed() {
        let Some(port) = service.health_check_node_port else { continue };
        if let Some(owner) = taken.get(&port) {
            let message = format!("{port}/TCP already belongs to Service {}", owner.name);
            let object = ObjectRef::namespaced("Service", &service.name);
            findings.insert(error(object, "spec.healthCheckNodePort", "NodePortConflict", message));
            continue;
        }
        taken.insert(port, service);
        owners.insert(port, service);
    }
    owners
}

/// Ready endpoints of the node, by address: one Pod with three ports is one endpoint, as upstream counts.
fn local_endpoints(slices: &SlicesByService<'_>, service: &Service, node: &NodeName) -> BTreeSet<IpAddr> {
    let slices = slices.of(&service.name).iter();
    let endpoints = slices.filter(|slice| !slice.headless).flat_map(|slice| &slice.endpoints);
    let ready = endpoints.filter(|endpoint| endpoint.ready && endpoint.node.as_ref() == Some(node));
    ready.map(|endpoint| endpoint.address).collect()
}
