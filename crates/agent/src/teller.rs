//! Tells the cluster what this node is, in one annotation of its own Node: only what differs, and not often.

use std::time::Duration;

use apply_kube::{Error, Writer};
use model::Snapshot;
use tokio::sync::watch;
use tokio::task::JoinSet;
use types::{NodeFacts, NodeName};

/// Least time between two writes; what was written shows in the watch long before.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a write may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Writes in the background: a slow API must not hold up the node's loop.
pub(crate) struct Teller {
    node: NodeName,
    due: watch::Sender<Option<NodeFacts>>,
    /// Ends with the teller.
    _writing: JoinSet<()>,
}

impl Teller {
    pub(crate) fn new(client: ::watch::Client, node: NodeName) -> Self {
        let (due, wanted) = watch::channel(None);
        let mut writing = JoinSet::new();
        writing.spawn(write_on(Writer::new(client), node.clone(), wanted));
        Self { node, due, _writing: writing }
    }

    /// What the Node should say, given what it says; without a Node there is nobody to say it.
    pub(crate) fn tell(&self, facts: Option<NodeFacts>, snapshot: &Snapshot) {
        let told = snapshot.nodes.get(&self.node).map(|node| &node.network);
        let due = facts.filter(|facts| told.is_some_and(|told| told.facts() != Some(facts)));
        self.due.send_if_modified(|last| {
            let is_new = *last != due;
            *last = due;
            is_new
        });
    }
}

async fn write_on(writer: Writer, node: NodeName, mut wanted: watch::Receiver<Option<NodeFacts>>) {
    loop {
        let due = wanted.borrow_and_update().clone();
        if let Some(facts) = due {
            match tokio::time::timeout(LIMIT, apply_kube::tell_node_facts(&writer, &node, &facts)).await {
                Ok(Ok(()) | Err(Error::NotFound { .. })) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the Node could not be told of its network"),
                Err(_) => {
                    tracing::warn!("the Node could not be told of its network: the API does not answer")
                }
            }
            tokio::time::sleep(PAUSE).await;
        } else if wanted.changed().await.is_err() {
            return;
        }
    }
}
