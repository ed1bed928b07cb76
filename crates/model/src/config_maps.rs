//! ConfigMaps that hold a Corefile: CoreDNS's configuration, which cluster DNS follows.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1;
use types::NamespacedName;

use crate::field::namespaced_name_of;
use crate::{Kind, Lower, Object, Rejected};

/// The Namespace of [`COREFILE_CONFIG_MAPS`].
pub const COREFILE_NAMESPACE: &str = "kube-system";
/// The only ConfigMaps that are read: kubeadm's, whose key `Corefile` counts, and the one that AKS and k3s import users' own files
/// from; watch with these names.
pub const COREFILE_CONFIG_MAPS: [&str; 2] = ["coredns", "coredns-custom"];

/// A ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMap {
    /// Namespace and name.
    pub name: NamespacedName,
    /// `data`.
    pub data: BTreeMap<String, String>,
}

impl Lower for v1::ConfigMap {
    const KIND: Kind = Kind::ConfigMap;

    fn lower(&self) -> Result<Object, Rejected> {
        let name = namespaced_name_of(&self.metadata);
        Ok(Object::ConfigMap(ConfigMap { name, data: self.data.clone().unwrap_or_default() }))
    }
}
