//! What a node's agent tells of itself, on its own Node.

use serde_json::json;
use types::{NETWORK_ANNOTATION, NodeFacts, NodeName};

use crate::{Error, Target, Writer};

/// Writes the facts into the Node's annotation and touches nothing else of it.
///
/// # Errors
/// [`Error::NotFound`] when there is no such Node, and every other [`Error`].
pub async fn tell_node_facts(writer: &Writer, node: &NodeName, facts: &NodeFacts) -> Result<(), Error> {
    let text = json!(facts).to_string();
    let patch = json!({ "metadata": { "annotations": { NETWORK_ANNOTATION: text } } });
    writer.merge_patch(&Target::cluster("v1", "Node", node.as_str()), &patch).await.map(drop)
}
