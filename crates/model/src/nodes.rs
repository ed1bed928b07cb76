//! Nodes: addresses, Pod ranges, zone and readiness.

use std::net::IpAddr;

use k8s_openapi::api::core::v1;
use types::{NETWORK_ANNOTATION, NodeFacts, NodeName, ObjectRef, Prefix, TopologyZone};

use crate::conditions::lower_node_conditions;
use crate::field::{Read, name_of, read_address, read_prefix};
use crate::{Conditions, Kind, Lower, Object, Rejected};

/// Label with the Node's zone (k8s.io/api/core/v1 `LabelTopologyZone`).
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// Label that keeps a Node from taking LoadBalancer traffic (k8s.io/api/core/v1
/// `LabelNodeExcludeBalancers`).
const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// Taint of a Node that the cluster autoscaler removes (upstream: `ToBeDeletedTaint` of `pkg/proxy/healthcheck`).
const TO_BE_DELETED_TAINT: &str = "ToBeDeletedByClusterAutoscaler";

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
    pub zone: Option<TopologyZone>,
    /// Condition Ready is True.
    pub ready: bool,
    /// Conditions of ours in `status.conditions`.
    pub conditions: Conditions,
    /// Label `node.kubernetes.io/exclude-from-external-load-balancers` is there, whatever its value.
    pub excluded_from_load_balancers: bool,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// The cluster autoscaler is about to remove the Node.
    pub to_be_deleted: bool,
    /// Annotation `sealane.dev/network`: what its agent says of the node's own part of the network. The agent itself
    /// has this from the kernel; it is for who looks from elsewhere.
    pub network: Told,
}

/// What a Node's agent says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// Nothing: no agent has run there yet.
    #[default]
    Nothing,
    /// These facts.
    Facts(Box<NodeFacts>),
    /// Something that cannot be read, and why.
    Damaged(String),
}

impl Told {
    /// The facts, when there are any that can be read.
    #[must_use]
    pub fn facts(&self) -> Option<&NodeFacts> {
        match self {
            Self::Facts(facts) => Some(facts),
            Self::Nothing | Self::Damaged(_) => None,
        }
    }

    /// Reads the annotation.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(facts) => Self::Facts(Box::new(facts)),
            Err(error) => Self::Damaged(error.to_string()),
        }
    }
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
    let zone = labels.and_then(|labels| labels.get(ZONE_LABEL));
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    Ok(Node {
        name: NodeName::from(name_of(&node.metadata)),
        addresses: read_addresses(node)?,
        pod_cidrs: read_pod_cidrs(node)?,
        zone: zone.filter(|zone| !zone.is_empty()).map(|zone| TopologyZone::from(zone.as_str())),
        ready: conditions
            .into_iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        conditions: read_conditions(node),
        excluded_from_load_balancers: labels.is_some_and(|labels| labels.contains_key(EXCLUDE_LABEL)),
        deleting: node.metadata.deletion_timestamp.is_some(),
        to_be_deleted: has_taint(node, TO_BE_DELETED_TAINT),
        network: read_network(node),
    })
}

fn has_taint(node: &v1::Node, key: &str) -> bool {
    node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()).any(|taint| taint.key == key)
}

fn read_network(node: &v1::Node) -> Told {
    let annotation = node.metadata.annotations.as_ref().and_then(|all| all.get(NETWORK_ANNOTATION));
    annotation.map_or(Told::Nothing, |text| Told::parse(text))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::{FailingPath, Masquerading, NetworkMode, PathFacts, PoolFacts, TunnelMode, UnderlayFacts};

    use super::*;

    fn mk_facts(mtu: u32, peers: Vec<(String, u32, Option<u32>)>, used: u64) -> NodeFacts {
        let failing = peers
            .into_iter()
            .map(|(peer, sends, passes)| (NodeName::from(peer), FailingPath { sends, passes }));
        let addresses = ["172.31.0.11/24", "fd00::1:b/64"].map(|text| text.parse().expect("an address"));
        NodeFacts {
            underlay: UnderlayFacts { link: "eth0".into(), addresses: addresses.into(), mtu },
            tunnel: TunnelMode::Auto,
            links: NetworkMode::Routed,
            masquerade: Masquerading::default(),
            paths: PathFacts { probed: true, failing: failing.collect(), more_failing: 0 },
            pools: vec![PoolFacts {
                range: "10.244.0.0/24".parse().expect("a range"),
                size: 254,
                used,
                resting: 3,
            }],
            lacks_sctp: false,
            taken_health_check_ports: Default::default(),
        }
    }

    #[test]
    fn the_annotation_is_short_and_in_words_of_the_api() {
        let facts = mk_facts(1500, vec![("node-b".to_owned(), 1450, Some(1400))], 7);
        assert_eq!(
            serde_json::to_string(&facts).expect("json"),
            r#"{"underlay":{"link":"eth0","addresses":["172.31.0.11/24","fd00::1:b/64"],"mtu":1500},"#
                .to_owned()
                + r#""tunnel":"auto","links":"routed","#
                + r#""paths":{"probed":true,"failing":{"node-b":{"sends":1450,"passes":1400}}},"#
                + r#""pools":[{"range":"10.244.0.0/24","size":254,"used":7,"resting":3}]}"#
        );
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        let underlay = r#""underlay":{"link":"eth0","addresses":[],"mtu":1500},"links":"routed""#;
        let read = |rest: &str| Told::parse(&format!("{{{underlay}{rest}}}"));
        assert!(read(r#","tunnel":"vxlan""#).facts().is_some());
        assert!(read(r#","tunnel":"vxlan","later":1"#).facts().is_some());
        for damage in ["", r#","tunnel":"gre""#, r#","tunnel":"vxlan"}{"#] {
            assert!(matches!(read(damage), Told::Damaged(_)), "{damage}");
        }
        assert!(matches!(Told::parse(r#"{"addresses":["172.31.0.11"]}"#), Told::Damaged(_)));
    }

    proptest! {
        #[test]
        fn facts_are_read_as_they_were_written(
            mtu in 0..=u32::MAX,
            peers in prop::collection::vec(("[a-z0-9.-]{1,20}", 0..=u32::MAX, prop::option::of(0..=u32::MAX)), 0..5),
            used in 0..=u64::MAX,
        ) {
            let facts = mk_facts(mtu, peers, used);
            let text = serde_json::to_string(&facts).expect("json");
            prop_assert_eq!(Told::parse(&text), Told::Facts(Box::new(facts)));
        }

        #[test]
        fn no_text_is_too_much(text in "\\PC{0,200}", cut in 0..200_usize, put in "\\PC{0,3}") {
            let _ = Told::parse(&text);
            let mut damaged = serde_json::to_string(&mk_facts(1500, Vec::new(), 0)).expect("json");
            damaged.replace_range(cut.min(damaged.len()).., &put);
            prop_assert!(matches!(Told::parse(&damaged), Told::Damaged(_) | Told::Facts(_)));
        }
    }
}
