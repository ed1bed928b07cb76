//! The kinds we write, so that an object's `apiVersion` and `kind` lead to its URL without asking the server.

use k8s_openapi::api::{apps, batch, coordination, core, discovery, networking, policy, rbac, storage};
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::Resource;

use crate::Error;

/// Where objects of one kind live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    api_version: String,
    kind: String,
    plural: String,
    scope: Scope,
}

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Cluster,
    Namespaced,
}

/// Every known kind.
fn kinds() -> Vec<Kind> {
    vec![
        cluster::<core::v1::Namespace>(),
        cluster::<core::v1::Node>(),
        cluster::<core::v1::PersistentVolume>(),
        cluster::<networking::v1::IngressClass>(),
        cluster::<rbac::v1::ClusterRole>(),
        cluster::<rbac::v1::ClusterRoleBinding>(),
        cluster::<storage::v1::StorageClass>(),
        namespaced::<core::v1::ConfigMap>(),
        namespaced::<core::v1::Endpoints>(),
        namespaced::<core::v1::Event>(),
        namespaced::<core::v1::PersistentVolumeClaim>(),
        namespaced::<core::v1::Pod>(),
        namespaced::<core::v1::Secret>(),
        namespaced::<core::v1::Service>(),
        namespaced::<core::v1::ServiceAccount>(),
        namespaced::<apps::v1::ControllerRevision>(),
        namespaced::<apps::v1::DaemonSet>(),
        namespaced::<apps::v1::Deployment>(),
        namespaced::<apps::v1::ReplicaSet>(),
        namespaced::<apps::v1::StatefulSet>(),
        namespaced::<batch::v1::CronJob>(),
        namespaced::<batch::v1::Job>(),
        namespaced::<coordination::v1::Lease>(),
        namespaced::<discovery::v1::EndpointSlice>(),
        namespaced::<networking::v1::Ingress>(),
        namespaced::<networking::v1::NetworkPolicy>(),
        namespaced::<policy::v1::PodDisruptionBudget>(),
        namespaced::<rbac::v1::Role>(),
        namespaced::<rbac::v1::RoleBinding>(),
    ]
}

fn cluster<K: Resource<DynamicType = (), Scope = ClusterResourceScope>>() -> Kind {
    kind::<K>(Scope::Cluster)
}

fn namespaced<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>() -> Kind {
    kind::<K>(Scope::Namespaced)
}

fn kind<K: Resource<DynamicType = ()>>(scope: Scope) -> Kind {
    Kind {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        plural: K::plural(&()).into_owned(),
        scope,
    }
}

/// Whether objects of this kind can be written.
#[must_use]
pub fn is_known(api_version: &str, kind: &str) -> bool {
    find(api_version, kind).is_ok()
}

pub(crate) fn find(api_version: &str, kind: &str) -> Result<Kind, Error> {
    kinds()
        .into_iter()
        .find(|known| known.api_version == api_version && known.kind == kind)
        .ok_or_else(|| Error::UnknownKind { api_version: api_version.to_owned(), kind: kind.to_owned() })
}

impl Kind {
    /// Path of the collection; a namespaced kind without a namespace is looked for in `default`, as kubectl does.
    pub(crate) fn path(&self, namespace: Option<&str>) -> String {
        // Only the core group has an apiVersion without a slash, and only it lives under /api.
        let root = if self.api_version.contains('/') { "/apis" } else { "/api" };
        let Self { api_version, plural, .. } = self;
        match self.scope {
            Scope::Cluster => format!("{root}/{api_version}/{plural}"),
            Scope::Namespaced => {
                format!("{root}/{api_version}/namespaces/{}/{plural}", namespace.unwrap_or("default"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_leads_to_its_url() {
        let path =
            |api_version, kind, namespace| find(api_version, kind).map(|kind| kind.path(namespace)).ok();
        assert_eq!(path("v1", "Pod", Some("shop")).as_deref(), Some("/api/v1/namespaces/shop/pods"));
        assert_eq!(path("v1", "Node", None).as_deref(), Some("/api/v1/nodes"));
        assert_eq!(
            path("networking.k8s.io/v1", "NetworkPolicy", None).as_deref(),
            Some("/apis/networking.k8s.io/v1/namespaces/default/networkpolicies")
        );
        assert!(find("v1", "Gadget").is_err());
    }
}
