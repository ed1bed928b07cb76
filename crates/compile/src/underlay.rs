//! Which of the nodes' addresses Pod traffic goes by.

use std::net::IpAddr;

use model::{Node, Snapshot};
use types::IpFamily;

use crate::{NodeContext, UnderlayAddress};

/// This node's address of a family on the underlay: the one that the Node object has, else the link's first.
pub(crate) fn own(snapshot: &Snapshot, context: &NodeContext, family: IpFamily) -> Option<UnderlayAddress> {
    let node = snapshot.nodes.get(&context.node);
    let is_nodes = |address: &IpAddr| node.is_some_and(|node| node.addresses.contains(address));
    let mut held =
        context.underlay.addresses.iter().filter(|held| IpFamily::of(held.address) == family).copied();
    held.clone().find(|held| is_nodes(&held.address)).or_else(|| held.next())
}

/// A node's first InternalIP of a family.
pub(crate) fn of(node: &Node, family: IpFamily) -> Option<IpAddr> {
    node.addresses.iter().copied().find(|address| IpFamily::of(*address) == family)
}

/// The family of a node's first InternalIP, which is the one that its tunnel uses on the underlay.
pub(crate) fn primary_family(node: &Node) -> Option<IpFamily> {
    node.addresses.first().copied().map(IpFamily::of)
}

/// This node's address on the underlay, of its primary family if the link has one of that.
pub(crate) fn primary(snapshot: &Snapshot, context: &NodeContext) -> Option<UnderlayAddress> {
    let family = snapshot.nodes.get(&context.node).and_then(primary_family);
    family
        .and_then(|family| own(snapshot, context, family))
        .or_else(|| own(snapshot, context, IpFamily::V4))
        .or_else(|| own(snapshot, context, IpFamily::V6))
}

/// This node's addresses on the underlay, at most one per family.
pub(crate) fn all(snapshot: &Snapshot, context: &NodeContext) -> Vec<IpAddr> {
    let families = [IpFamily::V4, IpFamily::V6].into_iter();
    families.filter_map(|family| own(snapshot, context, family)).map(|held| held.address).collect()
}
