//! Host ports: a port of the node that leads to one of its own Pods (semantics SD23).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{ContainerPort, Pod, Snapshot};
use plan::{
    Backend, BackendState, Candidate, EndpointOrigin, Frontend, FrontendAddress, FrontendRule, FrontendScope,
    Outcome, SourceAddress,
};
use types::{NodeName, ObjectRef};

use crate::findings::{Findings, error};
use crate::pods::has_own_network;

const FIELD: &str = "spec.containers[].ports[].hostPort";

/// Adds what the node's Pods ask for to the frontends of Services, which come first.
pub(crate) fn compile(
    snapshot: &Snapshot,
    (node, node_addresses): (&NodeName, &BTreeSet<IpAddr>),
    frontends: &mut BTreeMap<Frontend, FrontendRule>,
    findings: &mut Findings,
) {
    let here = snapshot.pods.values().filter(|pod| has_own_network(pod) && pod.node.as_ref() == Some(node));
    for pod in here.filter(|pod| !pod.addresses.is_empty()) {
        for port in &pod.ports {
            let Some(number) = port.host_port else { continue };
            let object = ObjectRef::namespaced("Pod", &pod.name);
            let address = match port.host_ip {
                None => FrontendAddress::NodePort,
                Some(address) if node_addresses.contains(&address) => FrontendAddress::Vip(address),
                Some(address) => {
                    let message = format!(
                        "host port {number} is not served: {address} is no address of Node {node}; leave hostIP out \
                         to serve it on all of them"
                    );
                    let field = "spec.containers[].ports[].hostIP";
                    findings.insert(error(object, field, "HostIPNotOnNode", message));
                    continue;
                }
            };
            let frontend = Frontend { address, protocol: port.protocol, port: number };
            if let Some(owner) = frontends.get(&frontend) {
                let message = format!(
                    "host port {number}/{} of Node {node} already belongs to {}",
                    port.protocol,
                    owner.owner_ref()
                );
                findings.insert(error(object, FIELD, "HostPortConflict", message));
                continue;
            }
            frontends.insert(frontend, rule(pod, port, node));
        }
    }
}

/// The Pod sees its clients: it is on this node, so that its answers come back this way.
fn rule(pod: &Pod, port: &ContainerPort, node: &NodeName) -> FrontendRule {
    let backends: BTreeSet<Backend> =
        pod.addresses.iter().map(|address| Backend { address: *address, port: port.port }).collect();
    let candidate = |backend: &Backend| Candidate {
        backend: backend.clone(),
        pod: Some(pod.name.clone()),
        node: Some(node.clone()),
        state: BackendState { ready: true, serving: true, terminating: false },
        excluded_internal: None,
        excluded_external: None,
    };
    let candidates = backends.iter().map(candidate).collect();
    let outcome = Outcome::Forward { backends, source: SourceAddress::Kept };
    FrontendRule {
        owner: pod.name.clone(),
        port_name: port.name.clone().unwrap_or_default(),
        scope: FrontendScope::HostPort,
        internal: outcome.clone(),
        external: outcome,
        affinity_seconds: None,
        source_ranges: None,
        endpoints: EndpointOrigin::Pod,
        candidates,
    }
}
