//! The network between the lab's nodes: one bridge, one link and one namespace for each node.

use std::sync::Arc;

use apply_netlink::Netlink;
use apply_netlink::underlay::Port;
use netns::Netns;
use types::LinkName;

use crate::address::{LabNode, OUTSIDE, UNDERLAY_PREFIX_LEN};
use crate::state::StateDir;

/// The bridge, in the lab's own namespace.
const BRIDGE: &str = "sealane-lab";
/// A node's link to the other nodes, as agents are told.
pub(crate) const NODE_LINK: &str = "eth0";

/// Makes the network and the nodes' namespaces.
pub(crate) fn make(state: &StateDir, nodes: Vec<LabNode>) -> anyhow::Result<Vec<(LabNode, Arc<Netns>)>> {
    let mut netlink = Netlink::open()?;
    let bridge = LinkName::from(BRIDGE);
    netlink.make_underlay(&bridge, OUTSIDE.into(), UNDERLAY_PREFIX_LEN)?;
    let mut made = Vec::new();
    for node in nodes {
        let netns = Netns::create(&state.netns(node.name.as_str()))?;
        let port = Port {
            bridge: bridge.clone(),
            host_link: LinkName(format!("sl-{}", node.name)),
            link: LinkName::from(NODE_LINK),
            address: node.address.into(),
            prefix_len: UNDERLAY_PREFIX_LEN,
            gateway: Some(OUTSIDE.into()),
        };
        netlink.join_underlay(&netns, &port)?;
        // As the router that nodes have in a network of their own knows the Pod ranges: Pods can be reached from
        // outside, which is how one looks at a single one.
        netlink.route_through(node.pod_cidr, node.address.into())?;
        made.push((node, Arc::new(netns)));
    }
    Ok(made)
}
