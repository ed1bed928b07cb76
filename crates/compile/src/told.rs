//! What nodes tell of themselves, as far as somebody has to do something about it.

use model::{Node, Snapshot, Told};
use plan::Finding;
use types::{FailingPath, NETWORK_ANNOTATION, NodeFacts, NodeName, ObjectRef, PoolFacts};

use crate::findings::{Findings, error, warning};
use crate::pools::{self, Level};

/// Looks at what every Node tells.
pub(crate) fn check(snapshot: &Snapshot, findings: &mut Findings) {
    for node in snapshot.nodes.values() {
        match &node.network {
            Told::Nothing => {}
            Told::Facts(facts) => {
                findings.extend(of_paths(snapshot, node, facts));
                findings.extend(facts.pools.iter().filter_map(|pool| of_pool(node, pool)));
            }
            Told::Damaged(why) => {
                let field = format!("metadata.annotations[{NETWORK_ANNOTATION}]");
                let message = format!(
                    "what the Node's agent tells cannot be read: {why}; the agent writes it anew, unless it is of \
                     another version"
                );
                findings.insert(warning(object(node), field, "NodeFactsUnreadable", message));
            }
        }
    }
}

fn of_paths<'a>(
    snapshot: &'a Snapshot,
    node: &'a Node,
    facts: &'a NodeFacts,
) -> impl Iterator<Item = Finding> + 'a {
    // What a Node that is not ready does not answer, its own condition tells.
    let is_ready =
        |peer: &NodeName| snapshot.nodes.get(peer).is_some_and(|peer| peer.ready && !peer.deleting);
    let told = facts.paths.failing.iter().filter(move |(peer, _)| node.ready && is_ready(peer));
    told.map(|(peer, path)| of_path(node, peer, *path))
}

fn of_path(node: &Node, peer: &NodeName, path: FailingPath) -> Finding {
    let FailingPath { sends, passes } = path;
    let Some(passes) = passes else {
        let message = format!(
            "Node {peer} does not answer ICMP echo from here, so Pods here likely do not reach Pods there; see that the \
             network between the two Nodes lets VXLAN (UDP port 8472), or with direct routes Pod addresses and ICMP, pass"
        );
        return error(object(node), "", "PeerUnreachable", message);
    };
    let message = format!(
        "packets to Node {peer} above {passes} bytes are lost, and Pods send up to {sends}; they are held to {passes} \
         meanwhile; raise the MTU of the network between the two Nodes by {missing}, or lower that of the Nodes' links",
        missing = sends.saturating_sub(passes),
    );
    error(object(node), "", "PathMTU", message)
}

fn of_pool(node: &Node, pool: &PoolFacts) -> Option<Finding> {
    let PoolFacts { range, size, used, resting } = pool;
    let numbers = format!("of the {size} addresses of {range}, Pods have {used} and {resting} rest");
    let remedy = "move Pods elsewhere, lower the kubelet's maxPods, or give Nodes larger ranges";
    match pools::level(pool) {
        Level::Room => None,
        Level::NearlyFull => {
            let free = size - pools::taken(pool);
            let message = format!("{numbers}: {free} are free; {remedy}");
            Some(warning(object(node), "spec.podCIDR", "PodAddressesNearlyExhausted", message))
        }
        Level::Full => {
            let message = format!("{numbers}: none is free, so no Pod can start here; {remedy}");
            Some(error(object(node), "spec.podCIDR", "PodAddressesExhausted", message))
        }
    }
}

fn object(node: &Node) -> ObjectRef {
    ObjectRef::cluster("Node", node.name.as_str())
}
