//! Host ports: a port of the node that leads to one of its own Pods (semantics SD23).
//!
//! The API's word comes first. What a container runtime asked for (`portMappings`) is for Pods of which the API does not
//! say it, and for containers that are of no Pod.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::{ContainerPort, Pod};
use plan::{
    Backend, BackendState, Candidate, EndpointOrigin, Frontend, FrontendRule, FrontendScope, Outcome,
    SourceAddress,
};
use types::{Attachment, NamespacedName, ObjectRef, PodName, PortMapping, Shared, SharedMap};

use crate::NodeContext;
use crate::findings::{Findings, error};
use crate::pods::{PodDirectory, has_own_network};

/// Somebody who wants a port of the node.
struct Wish<'a> {
    owner: NamespacedName,
    pod: Option<PodName>,
    port_name: &'a str,
    addresses: Vec<IpAddr>,
    mapping: PortMapping,
    /// Where it says so.
    field: &'static str,
}

/// Adds what the node's Pods ask for to the frontends of Services, which come first; all that was asked for.
pub(crate) fn compile(
    pods: &PodDirectory<'_>,
    context: &NodeContext,
    node_addresses: &BTreeSet<IpAddr>,
    frontends: &mut SharedMap<Frontend, FrontendRule>,
    findings: &mut Findings,
) -> BTreeSet<Frontend> {
    let of_api = pods.of_node().filter(|pod| has_own_network(pod)).flat_map(wishes_of_pod);
    let of_runtime = context
        .attachments
        .values()
        .filter(|attachment| is_current(pods, attachment))
        .flat_map(wishes_of_attachment);
    let mut wanted = BTreeSet::new();
    for wish in of_api.chain(of_runtime) {
        let node = &context.node;
        let PortMapping { host_port, protocol, host_ip, .. } = wish.mapping;
        if let Some(address) = host_ip.filter(|address| !node_addresses.contains(address)) {
            let message = format!(
                "host port {host_port} is not served: {address} is no address of Node {node}; leave hostIP out to serve \
                 it on all of them"
            );
            let field = "spec.containers[].ports[].hostIP";
            findings.insert(error(wish.object(), field, "HostIPNotOnNode", message));
            continue;
        }
        let frontend = Frontend::from(&wish.mapping);
        wanted.insert(frontend);
        match frontends.get(&frontend) {
            None => drop(frontends.insert(frontend, rule(wish, context))),
            // The API and the runtime say the same, or the API says it twice.
            Some(rule) if is_same(rule, &wish) && wish.field == RUNTIME => {}
            Some(rule) => {
                let owner = rule.owner_ref();
                let message =
                    format!("host port {host_port}/{protocol} of Node {node} already belongs to {owner}");
                findings.insert(error(wish.object(), wish.field, "HostPortConflict", message));
            }
        }
    }
    wanted
}

const API: &str = "spec.containers[].ports[].hostPort";
const RUNTIME: &str = "runtimeConfig.portMappings[].hostPort";

impl Wish<'_> {
    fn object(&self) -> ObjectRef {
        match &self.pod {
            Some(pod) => ObjectRef::namespaced("Pod", pod),
            None => ObjectRef::cluster("Container", &self.owner.name),
        }
    }
}

fn is_same(rule: &FrontendRule, wish: &Wish<'_>) -> bool {
    rule.scope == FrontendScope::HostPort && rule.owner == wish.owner
}

/// Whether its Pod, where the API knows one, still has a network.
fn is_current(pods: &PodDirectory<'_>, attachment: &Attachment) -> bool {
    let object = attachment.pod.as_ref().and_then(|pod| pods.object(pod));
    object.is_none_or(has_own_network)
}

fn wishes_of_pod(pod: &Pod) -> Vec<Wish<'_>> {
    // Where the API says no address yet, nothing can lead to it.
    let ports = pod.ports.iter().filter(|_| !pod.addresses.is_empty());
    let wish = |port: &'_ ContainerPort| {
        let (container_port, protocol, host_ip) = (port.port, port.protocol, port.host_ip);
        Some(PortMapping { host_port: port.host_port?, container_port, protocol, host_ip })
    };
    ports
        .filter_map(|port| {
            Some(Wish {
                owner: pod.name.clone(),
                pod: Some(pod.name.clone()),
                port_name: port.name.as_deref().unwrap_or_default(),
                addresses: pod.addresses.clone(),
                mapping: wish(port)?,
                field: API,
            })
        })
        .collect()
}

fn wishes_of_attachment(attachment: &Attachment) -> impl Iterator<Item = Wish<'_>> {
    attachment.port_mappings.iter().map(|mapping| Wish {
        owner: attachment.owner(),
        pod: attachment.pod.clone(),
        port_name: "",
        addresses: attachment.addresses.clone(),
        mapping: mapping.clone(),
        field: RUNTIME,
    })
}

/// The Pod sees its clients: it is on this node, so that its answers come back this way.
fn rule(wish: Wish<'_>, context: &NodeContext) -> FrontendRule {
    let port = wish.mapping.container_port;
    let backends: Shared<BTreeSet<Backend>> =
        wish.addresses.iter().map(|address| Backend { address: *address, port }).collect();
    let candidate = |backend: &Backend| Candidate {
        backend: backend.clone(),
        pod: wish.pod.clone(),
        node: Some(context.node.clone()),
        state: BackendState { ready: true, serving: true, terminating: false },
        excluded_internal: None,
        excluded_external: None,
    };
    let candidates = backends.iter().map(candidate).collect();
    let outcome = Outcome::Forward { backends, source: SourceAddress::Kept };
    FrontendRule {
        owner: wish.owner,
        port_name: wish.port_name.to_owned(),
        scope: FrontendScope::HostPort,
        internal: outcome.clone(),
        external: outcome,
        affinity_seconds: None,
        scheduling: plan::Scheduling::default(),
        source_ranges: None,
        endpoints: EndpointOrigin::Pod,
        candidates,
    }
}
