//! What of a Service is served otherwise than its owner likely means.

use std::collections::BTreeSet;

use model::{Service, Snapshot};
use plan::Finding;
use types::{IpFamily, NodeFacts, ObjectRef, Prefix, Protocol};

use crate::endpoints::{self, PortKey, SlicesByService};
use crate::findings::{Findings, error, warning};
use crate::services::claims::is_programmed;

/// Looks at every Service that has addresses.
pub(crate) fn check(snapshot: &Snapshot, slices: SlicesByService<'_>, findings: &mut Findings) {
    for service in snapshot.services.values().filter(|service| is_programmed(service)) {
        findings.extend(of_endpoints(service, slices));
        findings.extend(of_source_ranges(service));
        findings.extend(of_sctp(snapshot, service));
        findings.extend(of_health_check_port(snapshot, service));
    }
}

fn object(service: &Service) -> ObjectRef {
    ObjectRef::namespaced("Service", &service.name)
}

/// Endpoints, of which none may get a connection. Where there is none at all, that is told of the selector.
fn of_endpoints(service: &Service, slices: SlicesByService<'_>) -> Option<Finding> {
    let slices = slices.of(&service.name);
    let keys = service.ports.iter().map(|port| PortKey { name: &port.name, protocol: port.protocol });
    let endpoints: Vec<_> = keys
        .flat_map(|key| {
            let families = endpoints::families(&service.cluster_ips);
            families
                .into_iter()
                .flat_map(|family| endpoints::of_port(&slices, family, key))
                .collect::<Vec<_>>()
        })
        .collect();
    if endpoints.is_empty() || endpoints.iter().any(endpoints::PortEndpoint::is_usable) {
        return None;
    }
    let pods: BTreeSet<_> = endpoints.iter().map(|endpoint| endpoint.backend.address).collect();
    let count = pods.len();
    let them = if count == 1 { "its one endpoint is not" } else { "none of its endpoints is" };
    let message = format!("{them} ready ({count} in all), so connections are refused");
    Some(warning(object(service), "", "NoReadyEndpoint", message))
}

/// Ranges that keep nobody out of the address they are meant for, as upstream has it.
fn of_source_ranges(service: &Service) -> Option<Finding> {
    let ranges: &BTreeSet<Prefix> = &service.load_balancer.as_ref()?.source_ranges;
    let families = endpoints::families(&service.cluster_ips);
    let strange: Vec<String> =
        ranges.iter().filter(|range| !families.contains(&range.family())).map(ToString::to_string).collect();
    if strange.is_empty() {
        return None;
    }
    let open: Vec<String> = families
        .iter()
        .filter(|family| ranges.iter().all(|range| range.family() != **family))
        .map(|family: &IpFamily| family.to_string())
        .collect();
    let effect = match open.as_slice() {
        [] => String::new(),
        open => format!(", and since no range is of {}, every client is let in there", open.join(" or ")),
    };
    let message = format!("{} is of a family that the Service has no address of{effect}", strange.join(", "));
    Some(warning(object(service), "spec.loadBalancerSourceRanges", "SourceRangeOfOtherFamily", message))
}

/// Ports of SCTP, which some nodes' kernels cannot translate.
fn of_sctp(snapshot: &Snapshot, service: &Service) -> Option<Finding> {
    let index = service.ports.iter().position(|port| port.protocol == Protocol::Sctp)?;
    let lacking = nodes_that_tell(snapshot, |facts| facts.lacks_sctp);
    let message = format!(
        "SCTP does not get through on {}: the kernel there is built without CONFIG_NF_CT_PROTO_SCTP",
        lacking.join(", ")
    );
    (!lacking.is_empty())
        .then(|| error(object(service), format!("spec.ports[{index}].protocol"), "SctpUnsupported", message))
}

/// A health check port that a process of some node has, so that balancers cannot learn which node has endpoints.
fn of_health_check_port(snapshot: &Snapshot, service: &Service) -> Option<Finding> {
    let port = service.health_check_node_port?;
    let nodes = nodes_that_tell(snapshot, |facts| facts.taken_health_check_ports.contains(&port));
    let message = format!(
        "another process has port {port} on {}, so load balancers do not learn whether endpoints are there; end that \
         process, or make the Service anew with another port",
        nodes.join(", ")
    );
    (!nodes.is_empty())
        .then(|| error(object(service), "spec.healthCheckNodePort", "HealthCheckPortTaken", message))
}

fn nodes_that_tell(snapshot: &Snapshot, is_so: impl Fn(&NodeFacts) -> bool) -> Vec<&str> {
    let nodes = snapshot.nodes.values().filter(|node| node.network.facts().is_some_and(&is_so));
    nodes.map(|node| node.name.as_str()).collect()
}
