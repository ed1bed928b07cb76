//! Objects of any kind by their metadata alone, for those who only delete and release them.

use futures_util::{Stream, StreamExt, stream};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, ObjectMeta, PartialObjectMeta};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};

use crate::ObjectBatch;
use crate::objects::{Pauses, Relist};

/// A kind by the names that lead to its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Resource name.
    pub plural: String,
}

/// The metadata of all objects of a kind; the first batch is the list.
pub fn metadata(
    client: &Client,
    named: &Named,
) -> impl Stream<Item = ObjectBatch<ObjectMeta>> + Send + use<> {
    let kind = GroupVersionKind::gvk(&named.group, &named.version, &named.kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, &named.plural);
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client.clone(), &resource);
    let events = watcher(api, watcher::Config::default());
    let state = (Box::pin(events), Relist::default(), Pauses::default());
    let what = named.plural.clone();
    let batches = stream::unfold((state, what), |((mut events, mut relist, mut pauses), what)| async {
        loop {
            match events.next().await? {
                Ok(event) => {
                    if let Some(batch) = relist.fold(event) {
                        pauses.start_over();
                        return Some((batch, ((events, relist, pauses), what)));
                    }
                }
                Err(error) => {
                    // A kind may be gone for good: whoever reads this stream notices and drops it.
                    tracing::debug!(resource = what, %error, "watch of metadata interrupted");
                    tokio::time::sleep(pauses.draw()).await;
                }
            }
        }
    });
    batches.map(|batch| batch.map(|object| object.metadata))
}
