//! What controllers see, and what they may ask to be written.

use std::collections::BTreeMap;

use k8s_openapi::Metadata;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Node, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::Value;
use types::{NamespacedName, NodeName, PodName};

/// Objects of one kind by namespace and name; cluster-scoped kinds have an empty namespace.
pub type Held<K> = BTreeMap<NamespacedName, K>;

/// The name under which an object is held.
pub(crate) fn name_of(meta: &ObjectMeta) -> NamespacedName {
    NamespacedName::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

macro_rules! world {
    ($($(#[$doc:meta])* $field:ident: $kind:ident,)*) => {
        /// All objects the controllers look at.
        #[derive(Clone, Debug, Default)]
        pub struct World {
            $($(#[$doc])* pub $field: Held<$kind>,)*
            /// PEM of the API's certificate authority, for `kube-root-ca.crt`; none until known.
            pub root_ca: Option<String>,
        }

        /// One object of any kind in the [`World`].
        #[derive(Clone, Debug)]
        #[allow(missing_docs, clippy::large_enum_variant, reason = "one variant per kind, moved once")]
        pub enum AnyObject { $($kind($kind),)* }

        $(impl From<$kind> for AnyObject {
            fn from(object: $kind) -> Self { Self::$kind(object) }
        })*

        impl AnyObject {
            /// The object's metadata.
            #[must_use]
            pub fn metadata(&self) -> &ObjectMeta {
                match self { $(Self::$kind(object) => object.metadata(),)* }
            }
        }

        impl World {
            /// Takes in the newest state of an object.
            pub fn put(&mut self, object: impl Into<AnyObject>) {
                match object.into() {
                    $(AnyObject::$kind(object) => { self.$field.insert(name_of(object.metadata()), object); })*
                }
            }

            /// Forgets an object that is gone.
            pub fn remove(&mut self, object: impl Into<AnyObject>) {
                match object.into() {
                    $(AnyObject::$kind(object) => { self.$field.remove(&name_of(object.metadata())); })*
                }
            }

            /// Every object's kind, API version and metadata.
            pub(crate) fn all_metadata(&self) -> impl Iterator<Item = Described<'_>> {
                std::iter::empty()
                    $(.chain(self.$field.values().map(|object| Described {
                        api_version: <$kind as k8s_openapi::Resource>::API_VERSION,
                        kind: <$kind as k8s_openapi::Resource>::KIND,
                        meta: object.metadata(),
                    })))*
            }

            /// Whether objects of this kind are in the world at all.
            pub(crate) fn holds(kind: &str) -> bool {
                [$(<$kind as k8s_openapi::Resource>::KIND),*].contains(&kind)
            }

            /// The whole object, as the API has it.
            pub(crate) fn object(&self, kind: &str, name: &NamespacedName) -> Option<Value> {
                $(if kind == <$kind as k8s_openapi::Resource>::KIND {
                    return self.$field.get(name).map(to_value);
                })*
                None
            }
        }
    };
}

world! {
    /// Namespaces.
    namespaces: Namespace,
    /// Nodes.
    nodes: Node,
    /// Pods.
    pods: Pod,
    /// ReplicaSets.
    replica_sets: ReplicaSet,
    /// Deployments.
    deployments: Deployment,
    /// Services.
    services: Service,
    /// EndpointSlices.
    endpoint_slices: EndpointSlice,
    /// Endpoints, the older form of EndpointSlices.
    endpoints: Endpoints,
    /// ServiceAccounts.
    service_accounts: ServiceAccount,
    /// ConfigMaps.
    config_maps: ConfigMap,
    /// Secrets.
    secrets: Secret,
    /// Ingresses.
    ingresses: Ingress,
    /// NetworkPolicies.
    network_policies: NetworkPolicy,
    /// Events.
    events: Event,
    /// Leases.
    leases: Lease,
}

/// What an object is, without its content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Described<'a> {
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) meta: &'a ObjectMeta,
}

impl Described<'_> {
    /// The write that deletes this object, and no later one of the same name.
    pub(crate) fn deletion(&self) -> Write {
        Write::Delete {
            api_version: self.api_version.to_owned(),
            kind: self.kind.to_owned(),
            name: name_of(self.meta),
            uid: self.meta.uid.clone().unwrap_or_default(),
        }
    }
}

/// One write to the Kubernetes API. Objects are whole, with `apiVersion` and `kind`.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// POST; the name may be left to `generateName`. An object that is already there is no failure.
    Create(Value),
    /// PUT, conditional on the object's resourceVersion.
    Replace(Value),
    /// PUT to `/status`, conditional on the object's resourceVersion.
    ReplaceStatus(Value),
    /// PUT to a Namespace's `/finalize`.
    Finalize(Value),
    /// DELETE with the kind's default grace, conditional on the uid. An object that is gone is no failure.
    Delete {
        /// Group and version.
        api_version: String,
        /// Kind.
        kind: String,
        /// Namespace (empty for cluster-scoped kinds) and name.
        name: NamespacedName,
        /// uid of the object meant.
        uid: String,
    },
    /// POST to a Pod's `/binding`.
    Bind {
        /// The Pod.
        pod: PodName,
        /// Its uid.
        uid: String,
        /// Where it shall run.
        node: NodeName,
    },
}

/// A typed object in the API's JSON form.
pub(crate) fn to_value<K: Serialize>(object: &K) -> Value {
    serde_json::to_value(object).expect("Kubernetes types serialize without fail: their keys are strings")
}
