//! What all Pods of a node, and of the lab, share: places, writers, and the objects that containers refer to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apply_kube::{EventKind, EventNote, Events, Subject, Writer};
use engine_kubelet::environment::Sources;
use engine_kubelet::files::Resolver;
use engine_kubelet::image_map::ImageMap;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service};
use netns::Netns;
use types::{NamespacedName, NodeName, ObjectRef};

use crate::pods::Pods;

/// One node.
pub struct NodeContext {
    /// Its name.
    pub name: NodeName,
    /// Its address.
    pub address: IpAddr,
    /// Its network namespace.
    pub netns: Arc<Netns>,
    /// Directory that its agent shares with the CNI plugin.
    pub state: PathBuf,
    /// What all nodes share.
    pub shared: Arc<Shared>,
}

/// What all nodes of a lab share.
pub struct Shared {
    /// Writes objects.
    pub writer: Writer,
    /// Writes Events.
    pub events: Events,
    /// What stands in for images.
    pub images: ImageMap,
    /// Resolver settings of Pods.
    pub resolver: Resolver,
    /// `PATH` of this machine.
    pub host_path: String,
    /// Where output of containers goes.
    pub logs: PathBuf,
    /// Where network namespaces of Pods are bound.
    pub netns_dir: PathBuf,
    /// The Pods that are here.
    pub pods: Arc<Pods>,
    /// What PersistentVolumeClaims are bound to.
    pub storage: Storage,
    /// Objects that containers refer to.
    pub sources: HeldSources,
}

/// Volumes of the lab's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Their driver, as PersistentVolumes name it.
    pub driver: &'static str,
    /// Where what they hold is kept.
    pub directory: PathBuf,
}

/// ConfigMaps, Secrets, Services, claims and volumes of all Namespaces.
#[derive(Debug, Default)]
pub struct HeldSources {
    held: Mutex<AllSources>,
}

/// The objects, by name.
#[derive(Debug, Default)]
pub struct AllSources {
    /// ConfigMaps.
    pub config_maps: BTreeMap<NamespacedName, ConfigMap>,
    /// Secrets.
    pub secrets: BTreeMap<NamespacedName, Secret>,
    /// Services.
    pub services: BTreeMap<NamespacedName, Service>,
    /// PersistentVolumeClaims.
    pub claims: BTreeMap<NamespacedName, PersistentVolumeClaim>,
    /// PersistentVolumes.
    pub volumes: BTreeMap<NamespacedName, PersistentVolume>,
}

impl HeldSources {
    /// All of them, to change.
    pub fn locked(&self) -> MutexGuard<'_, AllSources> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a Pod of this Namespace may refer to.
    #[must_use]
    pub fn of_namespace(&self, namespace: &str, storage: &Path) -> Sources {
        fn within<K: Clone>(all: &BTreeMap<NamespacedName, K>, namespace: &str) -> BTreeMap<String, K> {
            let own = all.iter().filter(|(name, _)| name.namespace == namespace);
            own.map(|(name, object)| (name.name.clone(), object.clone())).collect()
        }
        let held = self.locked();
        let master = NamespacedName::new("default", "kubernetes");
        let mut services = within(&held.services, namespace);
        if let Some(service) = held.services.get(&master) {
            services.insert(master.name.clone(), service.clone());
        }
        let bound = |claim: &PersistentVolumeClaim| {
            let name = claim.spec.as_ref()?.volume_name.clone()?;
            held.volumes.get(&NamespacedName::new("", name)).cloned()
        };
        let claims = within(&held.claims, namespace).into_iter();
        Sources {
            claims: claims.map(|(name, claim)| (name, (claim.clone(), bound(&claim)))).collect(),
            storage: storage.to_owned(),
            config_maps: within(&held.config_maps, namespace),
            secrets: within(&held.secrets, namespace),
            services: services.into_values().collect(),
            tokens: BTreeMap::new(),
        }
    }
}

impl NodeContext {
    /// Writes an Event about a Pod; a failure is logged and nothing else.
    pub async fn note(&self, pod: &Pod, kind: EventKind, reason: &str, message: String) {
        let name = NamespacedName::new(
            pod.metadata.namespace.clone().unwrap_or_default(),
            pod.metadata.name.clone().unwrap_or_default(),
        );
        let subject = Subject {
            api_version: "v1".to_owned(),
            object: ObjectRef::namespaced("Pod", &name),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
        };
        let note = EventNote {
            subject,
            kind,
            reason: reason.to_owned(),
            message,
            component: "kubelet".to_owned(),
            host: Some(self.name.0.clone()),
        };
        if let Err(error) = self.shared.events.note(&note).await {
            tracing::debug!(pod = %name, reason, %error, "an Event could not be written");
        }
    }
}
