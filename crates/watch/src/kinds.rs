//! The kinds that are watched: one line each.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery, networking::v1 as networking};
use kube::core::ApiResource;
use kube::{Client, Resource};
use model::{Change, Kind, Lower};

use crate::changes::{changes_of, list_of};
use crate::{Error, Watched, config_maps};

/// Every watched kind.
pub(crate) const KINDS: [WatchedKind; 11] = [
    watched::<core::Node>(),
    watched::<core::Namespace>(),
    watched::<core::Pod>(),
    watched::<core::Service>(),
    watched::<discovery::EndpointSlice>(),
    watched::<networking::NetworkPolicy>(),
    watched::<networking::Ingress>(),
    watched::<networking::IngressClass>(),
    watched::<networking::ServiceCIDR>(),
    watched::<core::Secret>(),
    WatchedKind {
        kind: Kind::ConfigMap,
        changes: config_maps::changes,
        list: config_maps::list,
        resource: resource_of::<core::ConfigMap>,
    },
];

/// How one kind is read.
pub(crate) struct WatchedKind {
    pub(crate) kind: Kind,
    /// Its list, then its changes.
    pub(crate) changes: fn(&Client) -> BoxStream<'static, Change>,
    /// Its list, once.
    pub(crate) list: fn(&Client) -> BoxFuture<'static, Result<Change, Error>>,
    /// Its name in URLs.
    pub(crate) resource: fn() -> ApiResource,
}

const fn watched<K: Watched + Lower + Sync>() -> WatchedKind {
    WatchedKind { kind: K::KIND, changes: changes_of::<K>, list: list_of::<K>, resource: resource_of::<K> }
}

fn resource_of<K: Resource<DynamicType = ()>>() -> ApiResource {
    ApiResource::erase::<K>(&())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_model_is_watched_once() {
        let watched: Vec<Kind> = KINDS.iter().map(|entry| entry.kind).collect();
        assert_eq!(watched, Kind::ALL);
    }

    #[test]
    fn kinds_are_named_as_in_the_api() {
        for entry in KINDS {
            assert_eq!((entry.resource)().kind, entry.kind.as_str());
        }
    }
}
