//! What all Pods of a node, and of this machine, share: places, clients, and the objects that containers refer to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apply_kube::{EventKind, EventNote, Events, Subject, Writer};
use engine_kubelet::environment::Sources;
use engine_kubelet::files::Resolver;
use engine_kubelet::image_map::ImageMap;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service};
use netns::Netns;
use types::{NamespacedName, NodeName, ObjectRef};
use watch::Client;

use crate::pods::Pods;

/// One node's kubelet.
pub struct Kubelet {
    /// Where it is.
    pub place: NodePlace,
    /// Reads objects, with the node's rights.
    pub client: Client,
    /// Writes objects, with the node's rights.
    pub writer: Writer,
    /// Writes Events.
    pub(crate) events: Events,
    /// What all kubelets of this machine share.
    pub(crate) machine: Arc<Machine>,
    /// Objects that containers refer to.
    pub(crate) sources: HeldSources,
}

/// A node as part of this machine.
pub struct NodePlace {
    /// Its name.
    pub name: NodeName,
    /// Its addresses, the primary family's first.
    pub addresses: Vec<IpAddr>,
    /// Its network namespace.
    pub netns: Arc<Netns>,
    /// Directory that its agent shares with the CNI plugin.
    pub state: PathBuf,
}

/// What all kubelets of one machine share.
pub struct Machine {
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
    /// Where what PersistentVolumeClaims hold is kept.
    pub storage: PathBuf,
    /// Where the agents of all nodes answer: a Pod ends after they have stopped sending it new connections.
    pub agents: Vec<SocketAddr>,
}

/// ConfigMaps, Secrets and Services of all Namespaces.
#[derive(Debug, Default)]
pub(crate) struct HeldSources {
    held: Mutex<AllSources>,
}

/// The objects, by name.
#[derive(Debug, Default)]
pub(crate) struct AllSources {
    /// ConfigMaps.
    pub config_maps: BTreeMap<NamespacedName, ConfigMap>,
    /// Secrets.
    pub secrets: BTreeMap<NamespacedName, Secret>,
    /// Services.
    pub services: BTreeMap<NamespacedName, Service>,
}

impl HeldSources {
    /// All of them, to change.
    pub(crate) fn locked(&self) -> MutexGuard<'_, AllSources> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a Pod of this Namespace may refer to.
    fn of_namespace(&self, namespace: &str) -> Sources {
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
        Sources {
            config_maps: within(&held.config_maps, namespace),
            secrets: within(&held.secrets, namespace),
            services: services.into_values().collect(),
            ..Sources::default()
        }
    }
}

impl Kubelet {
    /// The kubelet of a node, acting as this client.
    #[must_use]
    pub fn new(client: Client, place: NodePlace, machine: Arc<Machine>) -> Self {
        let writer = Writer::new(client.clone());
        let events = Events::new(writer.clone());
        Self { place, client, writer, events, machine, sources: HeldSources::default() }
    }

    /// What the containers of a Pod of this Namespace may refer to, and these claims as they are now.
    pub(crate) async fn sources(&self, namespace: &str, claims: BTreeSet<String>) -> Sources {
        let mut sources = self.sources.of_namespace(namespace);
        sources.storage.clone_from(&self.machine.storage);
        for name in claims {
            match self.claim(&NamespacedName::new(namespace, name.as_str())).await {
                Ok(Some(found)) => drop(sources.claims.insert(name, found)),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(namespace, name, %error, "a PersistentVolumeClaim could not be read")
                }
            }
        }
        sources
    }

    async fn claim(
        &self,
        name: &NamespacedName,
    ) -> Result<Option<(PersistentVolumeClaim, Option<PersistentVolume>)>, watch::Error> {
        let claim = watch::object::<PersistentVolumeClaim>(&self.client, name).await?;
        let Some(claim) = claim else { return Ok(None) };
        let volume = match claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()) {
            Some(volume) => watch::object(&self.client, &NamespacedName::new("", volume)).await?,
            None => None,
        };
        Ok(Some((claim, volume)))
    }

    /// Writes an Event about a Pod; a failure is logged and nothing else.
    pub(crate) async fn note(&self, pod: &Pod, kind: EventKind, reason: &str, message: String) {
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
            host: Some(self.place.name.as_str().to_owned()),
        };
        if let Err(error) = self.events.note(&note).await {
            tracing::debug!(pod = %name, reason, %error, "an Event could not be written");
        }
    }
}
