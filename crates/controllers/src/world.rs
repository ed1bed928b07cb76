//! What controllers see, and what they may ask to be written.

use std::collections::BTreeMap;

use k8s_openapi::Metadata;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Secret,
    Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
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
            /// Metadata of objects of all other kinds, which controllers only delete and release.
            pub others: BTreeMap<OtherKind, Held<ObjectMeta>>,
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
            /// The object that this JSON is; none for kinds that the world does not have.
            #[cfg(test)]
            pub(crate) fn parse(object: Value) -> Option<Self> {
                let kind = object["kind"].as_str().unwrap_or_default().to_owned();
                $(if kind == <$kind as k8s_openapi::Resource>::KIND {
                    return Some(Self::$kind(serde_json::from_value(object).expect("an object of this kind")));
                })*
                None
            }

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
                        plural: <$kind as k8s_openapi::Resource>::URL_PATH_SEGMENT,
                        meta: object.metadata(),
                    })))*
                    .chain(self.others.iter().flat_map(|(kind, held)| held.values().map(|meta| Described {
                        api_version: &kind.api_version,
                        kind: &kind.kind,
                        plural: &kind.plural,
                        meta,
                    })))
            }

            /// Whether objects of this kind are in the world at all.
            pub(crate) fn holds(&self, kind: &str) -> bool {
                [$(<$kind as k8s_openapi::Resource>::KIND),*].contains(&kind)
                    || self.others.keys().any(|other| other.kind == kind)
            }

            /// Whether this kind's objects are held whole.
            #[must_use]
            pub fn is_whole(api_version: &str, kind: &str) -> bool {
                [$((<$kind as k8s_openapi::Resource>::API_VERSION, <$kind as k8s_openapi::Resource>::KIND)),*]
                    .contains(&(api_version, kind))
            }

            /// The whole object, as the API has it.
            #[cfg(test)]
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
    /// StatefulSets.
    stateful_sets: StatefulSet,
    /// DaemonSets.
    daemon_sets: DaemonSet,
    /// ControllerRevisions: earlier templates of StatefulSets and DaemonSets.
    revisions: ControllerRevision,
    /// Jobs.
    jobs: Job,
    /// CronJobs.
    cron_jobs: CronJob,
    /// PodDisruptionBudgets.
    disruption_budgets: PodDisruptionBudget,
    /// PersistentVolumeClaims.
    volume_claims: PersistentVolumeClaim,
    /// PersistentVolumes.
    volumes: PersistentVolume,
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

/// A kind of which only metadata is known here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OtherKind {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Resource name, such as `gateways`.
    pub plural: String,
}

/// What an object is, without its content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Described<'a> {
    pub(crate) api_version: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) plural: &'a str,
    pub(crate) meta: &'a ObjectMeta,
}

impl Described<'_> {
    /// The write that deletes this object, and no later one of the same name.
    pub(crate) fn deletion(&self) -> Write {
        self.deletion_with(Propagation::AsUsual)
    }

    /// The same, with a say in what becomes of dependents.
    pub(crate) fn deletion_with(&self, propagation: Propagation) -> Write {
        Write::Delete {
            api_version: self.api_version.to_owned(),
            kind: self.kind.to_owned(),
            name: name_of(self.meta),
            uid: self.meta.uid.clone().unwrap_or_default(),
            propagation,
        }
    }

    /// The write that changes one field of the metadata, if the object is still as it was seen.
    pub(crate) fn with_metadata(&self, field: &str, value: Value) -> Write {
        let version = self.meta.resource_version.clone();
        let mut metadata = serde_json::json!({ "uid": self.meta.uid, "resourceVersion": version });
        metadata[field] = value;
        Write::Patch {
            api_version: self.api_version.to_owned(),
            kind: self.kind.to_owned(),
            name: name_of(self.meta),
            patch: serde_json::json!({ "metadata": metadata }),
        }
    }
}

/// The write that deletes an object of a kind that is held whole.
pub(crate) fn deletion_of<K: k8s_openapi::Resource + Metadata<Ty = ObjectMeta>>(object: &K) -> Write {
    let (api_version, kind, plural) = (K::API_VERSION, K::KIND, K::URL_PATH_SEGMENT);
    Described { api_version, kind, plural, meta: object.metadata() }.deletion()
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
        /// What becomes of its dependents.
        propagation: Propagation,
    },
    /// PATCH with a JSON merge patch that names the resourceVersion it is meant for.
    Patch {
        /// Group and version.
        api_version: String,
        /// Kind.
        kind: String,
        /// Namespace (empty for cluster-scoped kinds) and name.
        name: NamespacedName,
        /// The patch.
        patch: Value,
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
    /// An Event about an object, for people to read; nothing depends on it.
    Note(Note),
}

/// What becomes of the objects that a deleted object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// As the kind has it.
    AsUsual,
    /// They are deleted before.
    Foreground,
}

/// What an Event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// `apiVersion` of the object it is about.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace (empty for cluster-scoped kinds) and name.
    pub name: NamespacedName,
    /// Its uid.
    pub uid: String,
    /// Whether it tells of trouble.
    pub severity: Severity,
    /// One CamelCase word.
    pub reason: &'static str,
    /// For a person.
    pub message: String,
    /// The controller, by upstream's name.
    pub component: &'static str,
}

/// `type` of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// `Normal`.
    Normal,
    /// `Warning`.
    Warning,
}

/// A typed object in the API's JSON form.
pub(crate) fn to_value<K: Serialize>(object: &K) -> Value {
    serde_json::to_value(object).expect("Kubernetes types serialize without fail: their keys are strings")
}
