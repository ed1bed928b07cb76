//! Which ways to other nodes are to be proved, and with packets of which size.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::Snapshot;
use plan::{PodNetwork, Via};
use types::NodeName;

/// The ways of a plan to peers that can answer: their Node is ready, and their agent has told of itself.
///
/// A peer is asked at the address that Pods' packets are sent through: inside the tunnel where there is one, so that
/// encapsulation is part of what is proved. The size is that of the largest packets that Pods send there.
#[must_use]
pub fn paths_to_prove(snapshot: &Snapshot, network: &PodNetwork) -> BTreeMap<(NodeName, IpAddr), u32> {
    let mut wanted = BTreeMap::new();
    for (name, peer) in &network.peers {
        let can_answer = |node: &model::Node| node.ready && !node.deleting && node.network.facts().is_some();
        if !snapshot.nodes.get(name).is_some_and(can_answer) {
            continue;
        }
        for path in peer.paths.values() {
            let address = match path.via {
                Via::Vxlan { address, .. } => address,
                Via::Direct { nexthop } => nexthop,
            };
            wanted.insert((name.clone(), address), path.mtu);
        }
    }
    wanted
}
