//! Nodes: addresses, Pod ranges, zone and readiness.

use std::net::IpAddr;

use k8s_openapi::api::core::v1;
use types::{NodeName, ObjectRef, Prefix};

use crate::conditions::lower_node_conditions;
use crate::field::{Read, name_of, read_address, read_prefix};
use crate::{Conditions, Kind, Lower, Object, Rejected};

/// Label with the Node's zone (k8s.io/api/core/v1 `LabelTopologyZone`).
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// Label that keeps a Node from taking LoadBalancer traffic (k8s.io/api/core/v1
/// `LabelNodeExcludeBalancers`).
const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Annotation with the word of the agents' `--tunnel`, written by who starts them.
const TUNNEL_ANNOTATION: &str = "sealane.dev/tunnel";

/// A Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name.
    pub name: NodeName,
    /// `status.addresses` of type InternalIP, in their order.
    pub addresses: Vec<IpAddr>,
    /// `spec.podCIDRs`, or `spec.podCIDR` where only that is set.
    pub pod_cidrs: Vec<Prefix>,
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// Condition Ready is True.
    pub ready: bool,
    /// Conditions of ours in `status.conditions`.
    pub conditions: Conditions,
    /// Label `node.kubernetes.io/exclude-from-external-load-balancers` is there, whatever its value.
    pub excluded_from_load_balancers: bool,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Annotation `sealane.dev/tunnel`: how it reaches other nodes, as far as the API knows. Its agent has this from
    /// its command line; it is for who looks from elsewhere.
    pub tunnel: Option<String>,
}

impl Lower for v1::Node {
    const KIND: Kind = Kind::Node;

    fn lower(&self) -> Result<Object, Rejected> {
        let name = name_of(&self.metadata);
        match read_node(self) {
            Ok(node) => Ok(Object::Node(node)),
            Err(error) => Err(Rejected {
                conditions: Some(read_conditions(self)),
                ..error.of(ObjectRef::cluster("Node", &name))
            }),
        }
    }
}

fn read_node(node: &v1::Node) -> Read<Node> {
    let labels = node.metadata.labels.as_ref();
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    Ok(Node {
        name: NodeName(name_of(&node.metadata)),
        addresses: read_addresses(node)?,
        pod_cidrs: read_pod_cidrs(node)?,
        zone: labels.and_then(|labels| labels.get(ZONE_LABEL)).filter(|zone| !zone.is_empty()).cloned(),
        ready: conditions
            .into_iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        conditions: read_conditions(node),
        excluded_from_load_balancers: labels.is_some_and(|labels| labels.contains_key(EXCLUDE_LABEL)),
        deleting: node.metadata.deletion_timestamp.is_some(),
        tunnel: node.metadata.annotations.as_ref().and_then(|all| all.get(TUNNEL_ANNOTATION)).cloned(),
    })
}

fn read_conditions(node: &v1::Node) -> Conditions {
    lower_node_conditions(node.status.as_ref().and_then(|status| status.conditions.as_ref()))
}

fn read_addresses(node: &v1::Node) -> Read<Vec<IpAddr>> {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    addresses
        .enumerate()
        .filter(|(_, address)| address.type_ == "InternalIP")
        .map(|(index, address)| {
            read_address(|| format!("status.addresses[{index}].address"), &address.address)
        })
        .collect()
}

fn read_pod_cidrs(node: &v1::Node) -> Read<Vec<Prefix>> {
    let Some(spec) = &node.spec else { return Ok(Vec::new()) };
    match (&spec.pod_cidrs, &spec.pod_cidr) {
        (Some(cidrs), _) if !cidrs.is_empty() => cidrs
            .iter()
            .enumerate()
            .map(|(index, cidr)| read_prefix(|| format!("spec.podCIDRs[{index}]"), cidr))
            .collect(),
        (_, Some(cidr)) if !cidr.is_empty() => Ok(vec![read_prefix(|| "spec.podCIDR".to_owned(), cidr)?]),
        _ => Ok(Vec::new()),
    }
}
