//! YAML manifests to the objects of a snapshot, completed as an API server and its controllers would.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::networking::v1 as networking;
use model::{Change, Kind, Lower, Namespace, Object, Snapshot};
use serde_json::Value;

use crate::slices::derive_slices;

/// Why manifests could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not YAML.
    #[error("not YAML: {0}")]
    Yaml(String),
    /// A document of a kind that nobody watches.
    #[error("document {index} is of kind `{kind}`, which is not watched")]
    Kind {
        /// Position in the manifests, from 0.
        index: usize,
        /// `kind`.
        kind: String,
    },
    /// A document that is not of the form of its kind.
    #[error("document {index} is no {kind}: {message}")]
    Form {
        /// Position in the manifests, from 0.
        index: usize,
        /// Its kind.
        kind: Kind,
        /// What is wrong.
        message: String,
    },
}

/// Objects read from YAML, each as a change to a snapshot.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// One change per document, in their order.
    pub changes: Vec<Change>,
    pods: Vec<core::Pod>,
    services: Vec<core::Service>,
}

impl Manifests {
    /// Reads YAML documents. `apiVersion` may be left out, and a Namespace nobody declared is made.
    ///
    /// # Errors
    /// The text is not YAML, or not what it says it is.
    pub fn parse(yaml: &str) -> Result<Self, ManifestError> {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(yaml).map_err(|error| ManifestError::Yaml(error.to_string()))?;
        let mut manifests = Self::default();
        for (index, document) in documents.into_iter().enumerate().filter(|(_, document)| !document.is_null())
        {
            manifests.add(index, document)?;
        }
        Ok(manifests)
    }

    fn add(&mut self, index: usize, document: Value) -> Result<(), ManifestError> {
        let text = document["kind"].as_str().unwrap_or_default();
        let Some(kind) = Kind::parse(text) else {
            return Err(ManifestError::Kind { index, kind: text.to_owned() });
        };
        let read = Reader { index, kind, document };
        let change = match kind {
            Kind::Node => read.change::<core::Node>()?,
            Kind::Namespace => read.change::<core::Namespace>()?,
            Kind::Pod => {
                let pod: core::Pod = read.object()?;
                let change = Change::put(&pod);
                self.pods.push(pod);
                change
            }
            Kind::Service => {
                let service: core::Service = read.object()?;
                let change = Change::put(&service);
                self.services.push(service);
                change
            }
            Kind::EndpointSlice => read.change::<discovery::EndpointSlice>()?,
            Kind::NetworkPolicy => read.change::<networking::NetworkPolicy>()?,
            Kind::Ingress => read.change::<networking::Ingress>()?,
            Kind::IngressClass => read.change::<networking::IngressClass>()?,
            Kind::ServiceCidr => read.change::<networking::ServiceCIDR>()?,
            Kind::Secret => read.change::<core::Secret>()?,
            Kind::ConfigMap => read.change::<core::ConfigMap>()?,
        };
        self.changes.push(change);
        Ok(())
    }

    /// Folds the objects into a snapshot, with the Namespaces and EndpointSlices that a cluster would add.
    pub fn apply_to(&self, snapshot: &mut Snapshot) {
        for change in self.changes.iter().cloned() {
            snapshot.apply(change);
        }
        let missing: BTreeSet<String> = snapshot
            .pods
            .keys()
            .chain(snapshot.services.keys())
            .chain(snapshot.network_policies.keys())
            .chain(snapshot.ingresses.keys())
            .map(|name| name.namespace.clone())
            .filter(|namespace| !snapshot.namespaces.contains_key(namespace))
            .collect();
        for name in missing {
            let namespace = Namespace::new(&name, types::Labels::new());
            snapshot.apply(Change::Put(Object::Namespace(namespace)));
        }
        for slice in derive_slices(&self.services, &self.pods, snapshot) {
            snapshot.apply(Change::put(&slice));
        }
    }
}

/// One document on its way to an object.
struct Reader {
    index: usize,
    kind: Kind,
    document: Value,
}

impl Reader {
    fn object<K: serde::de::DeserializeOwned>(self) -> Result<K, ManifestError> {
        let Self { index, kind, document } = self;
        serde_json::from_value(document).map_err(|error| ManifestError::Form {
            index,
            kind,
            message: error.to_string(),
        })
    }

    fn change<K: Lower + serde::de::DeserializeOwned>(self) -> Result<Change, ManifestError> {
        Ok(Change::put(&self.object::<K>()?))
    }
}
