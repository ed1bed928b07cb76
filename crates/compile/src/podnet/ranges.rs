//! Pod ranges of Nodes: which are impossible, and which a Node without one gets.

use std::collections::{BTreeMap, BTreeSet};

use model::{Node, Snapshot};
use types::{IpFamily, NodeName, ObjectRef, Prefix};

use crate::findings::{Findings, error, warning};
use crate::{ClusterContext, NodeMask};

/// Why ranges that somebody configured cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeError {
    /// A Node's range would be larger than the range it is cut from.
    MaskTooShort {
        /// The range.
        range: Prefix,
        /// Prefix length of a Node's range.
        mask: u8,
    },
    /// A Node's range would have no address for a Pod.
    MaskTooLong {
        /// The family.
        family: IpFamily,
        /// Prefix length of a Node's range.
        mask: u8,
    },
    /// Two ranges share addresses.
    Overlap {
        /// One.
        range: Prefix,
        /// The other.
        other: Prefix,
    },
}

impl std::fmt::Display for RangeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MaskTooShort { range, mask } => {
                write!(f, "a Node's range of {mask} bits does not fit into {range}; take a longer mask")
            }
            Self::MaskTooLong { family, mask } => {
                write!(f, "an {family} range of {mask} bits has no address for a Pod; take a shorter mask")
            }
            Self::Overlap { range, other } => write!(f, "{range} overlaps {other}"),
        }
    }
}

impl std::error::Error for RangeError {}

/// Whether the cluster's ranges can be used together, and be cut for Nodes by these masks if there are any.
///
/// # Errors
/// The first reason why not.
pub fn check_ranges(pods: &[Prefix], services: &[Prefix], masks: Option<NodeMask>) -> Result<(), RangeError> {
    for (index, range) in pods.iter().enumerate() {
        let mask = masks.map(|masks| masks.of(range.family()));
        if let Some(mask) = mask {
            if mask < range.len() {
                return Err(RangeError::MaskTooShort { range: *range, mask });
            }
            // The first address is the node's own in the tunnel, the last is IPv4's for broadcasts.
            if mask > range.family().host_prefix_len() - 2 {
                return Err(RangeError::MaskTooLong { family: range.family(), mask });
            }
        }
        let others = pods[..index].iter().chain(services);
        if let Some(other) = others.copied().find(|other| other.overlaps(*range)) {
            return Err(RangeError::Overlap { range: *range, other });
        }
    }
    Ok(())
}

/// Nodes that cannot take part in the Pod network, and ranges that something else has, too.
pub(crate) fn check(snapshot: &Snapshot, services: &BTreeSet<Prefix>, findings: &mut Findings) {
    let mut owners: Vec<(&NodeName, Prefix)> = Vec::new();
    for node in snapshot.nodes.values() {
        let object = || ObjectRef::cluster("Node", node.name.as_str());
        if node.pod_cidrs.is_empty() {
            let message = "the Node has no Pod range, so its Pods get no addresses; \
                           set spec.podCIDR or let the cluster loop assign one";
            findings.insert(warning(object(), "spec.podCIDR", "NoPodCIDR", message));
        }
        if node.addresses.is_empty() {
            let message = "the Node has no address of type InternalIP, so other nodes cannot reach its Pods";
            findings.insert(warning(object(), "status.addresses", "NoNodeAddress", message));
        }
        for cidr in &node.pod_cidrs {
            if let Some((owner, other)) = owners.iter().find(|(_, other)| other.overlaps(*cidr)) {
                let message = format!("{cidr} overlaps {other} of Node {owner}, which keeps its route");
                findings.insert(error(object(), "spec.podCIDR", "PodCIDROverlap", message));
            }
            if let Some(service) = services.iter().find(|service| service.overlaps(*cidr)) {
                let message = format!("{cidr} overlaps the range {service} of Service addresses");
                findings.insert(error(object(), "spec.podCIDR", "ServiceCIDROverlap", message));
            }
            owners.push((&node.name, *cidr));
        }
    }
    check_addresses(snapshot, &owners, findings);
}

/// An address of a Node in a Pod range leads to a Pod, or nowhere.
fn check_addresses(snapshot: &Snapshot, owners: &[(&NodeName, Prefix)], findings: &mut Findings) {
    for node in snapshot.nodes.values() {
        for address in &node.addresses {
            if let Some((owner, cidr)) = owners.iter().find(|(_, cidr)| cidr.contains(*address)) {
                let object = ObjectRef::cluster("Node", node.name.as_str());
                let message = format!("{address} is in the Pod range {cidr} of Node {owner}");
                findings.insert(error(object, "status.addresses", "NodeAddressInPodCIDR", message));
            }
        }
    }
}

/// Ranges for Nodes that have none: one of each family that the cluster's ranges have.
pub(crate) fn assign(
    snapshot: &Snapshot,
    context: &ClusterContext,
    findings: &mut Findings,
) -> BTreeMap<NodeName, Vec<Prefix>> {
    let mut taken: BTreeSet<Prefix> =
        snapshot.nodes.values().flat_map(|node| node.pod_cidrs.iter().copied()).collect();
    // Nobody would reach a node whose own address a Pod has, nor a Service.
    taken.extend(snapshot.nodes.values().flat_map(|node| node.addresses.iter().copied().map(Prefix::host)));
    taken.extend(&context.service_cidrs);
    let mut assigned = BTreeMap::new();
    for node in snapshot.nodes.values().filter(|node| node.pod_cidrs.is_empty() && !node.deleting) {
        let cidrs: Vec<_> = [IpFamily::V4, IpFamily::V6]
            .into_iter()
            .filter_map(|family| assign_one(node, family, context, &taken, findings))
            .collect();
        taken.extend(&cidrs);
        if !cidrs.is_empty() {
            assigned.insert(node.name.clone(), cidrs);
        }
    }
    assigned
}

/// A free range of a family from the first of the cluster's ranges that has one.
fn assign_one(
    node: &Node,
    family: IpFamily,
    context: &ClusterContext,
    taken: &BTreeSet<Prefix>,
    findings: &mut Findings,
) -> Option<Prefix> {
    let ranges: Vec<Prefix> =
        context.pod_cidrs.iter().filter(|range| range.family() == family).copied().collect();
    let len = context.node_mask.of(family);
    let found = ranges.iter().find_map(|range| free_subrange(*range, len, taken));
    if found.is_none() && !ranges.is_empty() {
        let ranges = ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let message = format!(
            "no range of {len} bits in {ranges} is free for the Node; give the cluster loop another range"
        );
        let object = ObjectRef::cluster("Node", node.name.as_str());
        findings.insert(error(object, "spec.podCIDR", "PodCIDRExhausted", message));
    }
    found
}

/// The first subrange of `range` that overlaps nothing in `taken`.
fn free_subrange(range: Prefix, len: u8, taken: &BTreeSet<Prefix>) -> Option<Prefix> {
    let in_range: Vec<Prefix> = taken.iter().filter(|other| other.overlaps(range)).copied().collect();
    let mut candidate = Prefix::new(range.first(), len).filter(|first| range.covers(*first))?;
    // Each step goes past one of finitely many ranges, so an IPv6 range of 2^64 subranges is no more to search.
    while let Some(other) = in_range.iter().find(|other| other.overlaps(candidate)) {
        let last = if other.covers(candidate) { other.last() } else { candidate.last() };
        let offset = range.offset(last)?.checked_add(1)?;
        candidate = Prefix::new(range.nth(offset)?, len)?;
    }
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().expect("a prefix")
    }

    fn free(range: &str, len: u8, taken: &[&str]) -> Option<String> {
        let taken = taken.iter().map(|text| prefix(text)).collect();
        free_subrange(prefix(range), len, &taken).map(|found| found.to_string())
    }

    #[test]
    fn the_first_gap_is_taken() {
        assert_eq!(free("10.0.0.0/16", 24, &[]).as_deref(), Some("10.0.0.0/24"));
        assert_eq!(free("10.0.0.0/16", 24, &["10.0.0.0/24", "10.0.2.0/24"]).as_deref(), Some("10.0.1.0/24"));
        assert_eq!(free("10.0.0.0/16", 24, &["10.0.0.7/32"]).as_deref(), Some("10.0.1.0/24"));
        assert_eq!(free("10.0.0.0/16", 24, &["10.0.0.0/17"]).as_deref(), Some("10.0.128.0/24"));
        assert_eq!(free("10.0.0.0/24", 25, &["10.0.0.0/25", "10.0.0.128/25"]), None);
        assert_eq!(free("10.0.0.0/24", 25, &["10.0.0.0/8"]), None);
        assert_eq!(free("10.0.0.0/24", 16, &[]), None);
        assert_eq!(free("0.0.0.0/0", 1, &["0.0.0.0/1", "128.0.0.0/1"]), None);
        assert_eq!(free("fd00::/16", 64, &["fd00::/64"]).as_deref(), Some("fd00:0:0:1::/64"));
    }

    #[test]
    fn impossible_ranges_are_named() {
        let check = |pods: &[&str], services: &[&str], v4, v6| {
            let parse = |texts: &[&str]| texts.iter().map(|text| prefix(text)).collect::<Vec<_>>();
            let masks = Some(NodeMask { v4, v6 });
            check_ranges(&parse(pods), &parse(services), masks).map_err(|error| error.to_string())
        };
        assert_eq!(check(&["10.0.0.0/16", "fd00::/48"], &["10.96.0.0/16"], 24, 64), Ok(()));
        assert_eq!(
            check(&["10.0.0.0/25"], &[], 24, 64).unwrap_err(),
            "a Node's range of 24 bits does not fit into 10.0.0.0/25; take a longer mask"
        );
        assert_eq!(
            check(&["10.0.0.0/16"], &[], 31, 64).unwrap_err(),
            "an IPv4 range of 31 bits has no address for a Pod; take a shorter mask"
        );
        assert_eq!(
            check(&["10.0.0.0/8"], &["10.96.0.0/16"], 24, 64).unwrap_err(),
            "10.0.0.0/8 overlaps 10.96.0.0/16"
        );
        assert_eq!(
            check(&["10.0.0.0/16", "10.0.4.0/22"], &[], 24, 64).unwrap_err(),
            "10.0.4.0/22 overlaps 10.0.0.0/16"
        );
    }
}
