//! The ConfigMaps that hold a Corefile: each by its name, so that no other ConfigMap of the cluster is read, and no right to
//! read others is needed.

use futures_util::future::{BoxFuture, try_join_all};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::{Api, Client};
use model::{COREFILE_CONFIG_MAPS, COREFILE_NAMESPACE, Change, Kind, Object, Rejected};

use crate::changes::{change, lower};
use crate::objects::{decoded_or_not, guarded_from};
use crate::{Error, ObjectBatch, Selection};

/// What is known of each: nothing before it was listed.
type Known = [Option<(Vec<Object>, Vec<Rejected>)>; COREFILE_CONFIG_MAPS.len()];

/// All of them as one list, anew with every change of one.
pub(crate) fn changes(client: &Client) -> BoxStream<'static, Change> {
    let watches = COREFILE_CONFIG_MAPS.iter().enumerate().map(|(index, name)| {
        let batches = guarded_from(api(client), Selection::fields(selector(name)), lower);
        batches.map(move |batch| (index, change(Kind::ConfigMap, batch))).boxed()
    });
    let lists = stream::select_all(watches).scan(Known::default(), |known, (index, change)| {
        known[index] = Some(standing(change));
        std::future::ready(Some(whole(known)))
    });
    lists.filter_map(std::future::ready).boxed()
}

/// All of them, once.
pub(crate) fn list(client: &Client) -> BoxFuture<'static, Result<Change, Error>> {
    let api = api(client);
    async move {
        let unlisted = |source| Error::List { kind: Kind::ConfigMap.to_string(), source: Box::new(source) };
        let lists = COREFILE_CONFIG_MAPS.iter().map(|name| {
            let (api, params) = (api.clone(), ListParams::default().fields(&selector(name)));
            async move { api.list(&params).await }
        });
        let lists = try_join_all(lists).await.map_err(unlisted)?;
        let objects = lists.into_iter().flat_map(|list| list.items).map(decoded_or_not);
        Ok(change(Kind::ConfigMap, ObjectBatch::Replace(objects.map(lower::<ConfigMap>).collect())))
    }
    .boxed()
}

fn api(client: &Client) -> Api<DeserializeGuard<ConfigMap>> {
    Api::namespaced(client.clone(), COREFILE_NAMESPACE)
}

fn selector(name: &str) -> String {
    format!("metadata.name={name}")
}

/// What a change of the only object of a watch leaves.
fn standing(change: Change) -> (Vec<Object>, Vec<Rejected>) {
    match change {
        Change::Replace { objects, rejected, .. } => (objects, rejected),
        Change::Put(object) => (vec![object], Vec::new()),
        Change::Rejected(rejected) => (Vec::new(), vec![rejected]),
        Change::Remove(_) => (Vec::new(), Vec::new()),
    }
}

/// The list of all; nothing before each was listed.
fn whole(known: &Known) -> Option<Change> {
    let (mut objects, mut rejected) = (Vec::new(), Vec::new());
    for part in known {
        let (own, bad) = part.as_ref()?;
        objects.extend(own.iter().cloned());
        rejected.extend(bad.iter().cloned());
    }
    Some(Change::Replace { kind: Kind::ConfigMap, objects, rejected })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_put(name: &str) -> Change {
        let metadata = kube::core::ObjectMeta { name: Some(name.to_owned()), ..Default::default() };
        Change::put(&ConfigMap { metadata, ..ConfigMap::default() })
    }

    #[test]
    fn the_list_is_whole_once_both_are_known() {
        let mut known = Known::default();
        known[0] = Some(standing(mk_put("coredns")));
        assert_eq!(whole(&known), None);
        let gone = types::ObjectRef::cluster("ConfigMap", "coredns-custom");
        known[1] = Some(standing(Change::Remove(gone)));
        let Some(Change::Replace { kind, objects, .. }) = whole(&known) else { panic!("both are known") };
        assert_eq!((kind, objects.len()), (Kind::ConfigMap, 1));
    }
}
