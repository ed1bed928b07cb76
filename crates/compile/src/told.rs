//! What nodes tell of themselves, as far as somebody has to do something about it.

use model::{Node, Snapshot, Told};
use types::{NETWORK_ANNOTATION, ObjectRef};

use crate::findings::{Findings, warning};

/// Looks at every Node's annotation.
pub(crate) fn check(snapshot: &Snapshot, findings: &mut Findings) {
    for node in snapshot.nodes.values() {
        match &node.network {
            Told::Nothing => {}
            Told::Facts(_) => {}
            Told::Damaged(why) => {
                let message = format!(
                    "what the Node's agent tells cannot be read: {why}; the agent writes it anew, unless it is of \
                     another version"
                );
                findings.insert(warning(object(node), field(), "NodeFactsUnreadable", message));
            }
        }
    }
}

fn object(node: &Node) -> ObjectRef {
    ObjectRef::cluster("Node", node.name.as_str())
}

fn field() -> String {
    format!("metadata.annotations[{NETWORK_ANNOTATION}]")
}
