//! All watched kinds as one stream of batches of changes, and all of them once as a snapshot.

use std::collections::BTreeSet;

use futures_util::future::{BoxFuture, try_join_all};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, Stream, StreamExt};
use kube::api::ListParams;
use kube::core::error_boundary::InvalidObject;
use kube::core::{DeserializeGuard, ObjectMeta};
use kube::{Api, Client};
use model::{Change, Kind, Lower, Object, Rejected, Snapshot};
use types::ObjectRef;

use crate::kinds::KINDS;
use crate::objects::{Decoded, decoded_or_not, guarded, is_kind_missing};
use crate::{Error, ObjectBatch, Selection, Watched};

/// Most changes in one batch, so that the first answer to a storm does not wait for its end.
const LONGEST_BATCH: usize = 1000;

/// Changes that arrived together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// In order of arrival; a relist is one [`Change::Replace`].
    pub changes: Vec<Change>,
    /// Whether every kind has been listed once, this batch included. Never false again once true.
    pub is_synced: bool,
}

/// Every watched kind, for as long as it is polled: the lists, then the changes.
pub fn changes(client: &Client) -> impl Stream<Item = Batch> + Send + use<> {
    changes_of_kinds(client, BTreeSet::from(Kind::ALL))
}

/// The kinds that names come from, so that a DNS server needs no right to read others.
pub fn changes_of_names(client: &Client) -> impl Stream<Item = Batch> + Send + use<> {
    let objects = [Kind::Namespace, Kind::Pod, Kind::Service, Kind::EndpointSlice];
    let settings = [Kind::ServiceCidr, Kind::ConfigMap];
    changes_of_kinds(client, objects.into_iter().chain(settings).collect())
}

fn changes_of_kinds(client: &Client, kinds: BTreeSet<Kind>) -> impl Stream<Item = Batch> + Send + use<> {
    let watched = KINDS.iter().filter(|watched| kinds.contains(&watched.kind));
    let changes = stream::select_all(watched.map(|kind| (kind.changes)(client)));
    batches(changes, kinds)
}

fn batches(
    changes: impl Stream<Item = Change> + Send,
    mut unlisted: BTreeSet<Kind>,
) -> impl Stream<Item = Batch> + Send {
    changes.ready_chunks(LONGEST_BATCH).map(move |changes| {
        for change in &changes {
            if let Change::Replace { kind, .. } = change {
                unlisted.remove(kind);
            }
        }
        Batch { changes, is_synced: unlisted.is_empty() }
    })
}

/// Every watched object, listed once; for commands that answer one question.
///
/// # Errors
/// When a kind cannot be listed.
pub async fn list_all(client: &Client) -> Result<Snapshot, Error> {
    let lists = try_join_all(KINDS.iter().map(|kind| (kind.list)(client))).await?;
    let mut snapshot = Snapshot::default();
    for list in lists {
        snapshot.apply(list);
    }
    Ok(snapshot)
}

pub(crate) fn changes_of<K: Watched + Lower>(client: &Client) -> BoxStream<'static, Change> {
    guarded::<K, _>(client, Selection::default(), lower).map(|batch| change(K::KIND, batch)).boxed()
}

pub(crate) fn list_of<K: Watched + Lower>(client: &Client) -> BoxFuture<'static, Result<Change, Error>> {
    let api: Api<DeserializeGuard<K>> = Api::all(client.clone());
    async move {
        let unlisted = |source| Error::List { kind: K::KIND.to_string(), source: Box::new(source) };
        let items = match api.list(&ListParams::default()).await {
            Ok(list) => list.items,
            Err(error) if is_kind_missing::<K>(&error) => Vec::new(),
            Err(error) => return Err(unlisted(error)),
        };
        let objects = items.into_iter().map(decoded_or_not).map(lower::<K>).collect();
        Ok(change(K::KIND, ObjectBatch::Replace(objects)))
    }
    .boxed()
}

/// An object as the model has it, or why it cannot be read as meant.
pub(crate) type Lowered = Result<Object, Rejected>;

#[allow(clippy::result_large_err, reason = "an accepted object is larger still")]
pub(crate) fn lower<K: Watched + Lower>(decoded: Decoded<K>) -> Lowered {
    match decoded {
        Ok(object) => object.lower(),
        Err(invalid) => Err(unreadable(K::KIND, &invalid)),
    }
}

pub(crate) fn change(kind: Kind, batch: ObjectBatch<Lowered>) -> Change {
    match batch {
        ObjectBatch::Put(Ok(object)) => Change::Put(object),
        ObjectBatch::Put(Err(rejected)) => Change::Rejected(rejected),
        ObjectBatch::Remove(Ok(object)) => Change::Remove(object.object_ref()),
        ObjectBatch::Remove(Err(rejected)) => Change::Remove(rejected.object),
        ObjectBatch::Replace(listed) => {
            let (mut objects, mut rejected) = (Vec::with_capacity(listed.len()), Vec::new());
            for lowered in listed {
                match lowered {
                    Ok(object) => objects.push(object),
                    Err(rejection) => rejected.push(rejection),
                }
            }
            Change::Replace { kind, objects, rejected }
        }
    }
}

fn unreadable(kind: Kind, invalid: &InvalidObject) -> Rejected {
    Rejected::unreadable(object_ref(kind, &invalid.metadata), invalid.error.as_str())
}

fn object_ref(kind: Kind, metadata: &ObjectMeta) -> ObjectRef {
    ObjectRef {
        kind: kind.as_str().to_owned(),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Namespace;
    use k8s_openapi::api::networking::v1::NetworkPolicy;

    fn mk_listed(kind: Kind) -> Change {
        Change::Replace { kind, objects: Vec::new(), rejected: Vec::new() }
    }

    fn change_of<K: Watched + Lower>(batch: ObjectBatch<Decoded<K>>) -> Change {
        change(K::KIND, batch.map(lower))
    }

    fn mk_decoded<K: Watched + Lower>(text: &str) -> Decoded<K> {
        decoded_or_not(serde_json::from_str::<DeserializeGuard<K>>(text).expect("metadata is fine"))
    }

    #[tokio::test]
    async fn synced_comes_with_the_last_list() {
        let changes = stream::iter(Kind::ALL.map(mk_listed));
        // One at a time, as they come from a network.
        let slow = changes.then(|change| async {
            tokio::task::yield_now().await;
            change
        });
        let synced: Vec<bool> =
            batches(slow, BTreeSet::from(Kind::ALL)).map(|batch| batch.is_synced).collect().await;
        let (last, before) = synced.split_last().expect("batches");
        assert!(last);
        assert!(before.iter().all(|is_synced| !is_synced), "{before:?}");
    }

    #[tokio::test]
    async fn a_kind_listed_twice_does_not_stand_in_for_another() {
        let listed_twice = Kind::ALL.into_iter().skip(1).chain(Kind::ALL.into_iter().skip(1));
        let batches: Vec<Batch> =
            batches(stream::iter(listed_twice.map(mk_listed)), BTreeSet::from(Kind::ALL)).collect().await;
        assert!(batches.iter().all(|batch| !batch.is_synced));
    }

    #[tokio::test]
    async fn changes_that_arrive_together_are_one_batch() {
        let batches: Vec<Batch> =
            batches(stream::iter(Kind::ALL.map(mk_listed)), BTreeSet::from(Kind::ALL)).collect().await;
        assert_eq!(batches.len(), 1);
    }

    #[test]
    fn an_undecodable_object_is_rejected_and_the_others_stay() {
        let good = mk_decoded::<Namespace>(r#"{"metadata":{"name":"good"}}"#);
        let bad = mk_decoded::<Namespace>(r#"{"metadata":{"name":"bad"},"status":7}"#);
        let Change::Replace { objects, rejected, .. } = change_of(ObjectBatch::Replace(vec![good, bad]))
        else {
            panic!("a list replaces");
        };
        assert_eq!(objects.iter().map(|object| object.object_ref().name).collect::<Vec<_>>(), ["good"]);
        assert_eq!(rejected[0].object, ObjectRef::cluster("Namespace", "bad"));
    }

    #[test]
    fn an_undecodable_policy_denies() {
        let policy = mk_decoded::<NetworkPolicy>(
            r#"{"metadata":{"name":"p","namespace":"shop"},"spec":{"podSelector":7}}"#,
        );
        let Change::Rejected(rejected) = change_of(ObjectBatch::Put(policy)) else { panic!("not decodable") };
        assert!(matches!(rejected.stand_in.as_deref(), Some(Object::NetworkPolicy(_))));
    }

    #[test]
    fn an_undecodable_object_can_be_removed() {
        let bad = mk_decoded::<Namespace>(r#"{"metadata":{"name":"bad"},"status":7}"#);
        let expected = Change::Remove(ObjectRef::cluster("Namespace", "bad"));
        assert_eq!(change_of(ObjectBatch::Remove(bad)), expected);
    }
}
