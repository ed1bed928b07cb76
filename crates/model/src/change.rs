//! Watched kinds, their objects, and the differences that a watch reports.

use types::ObjectRef;

use crate::{
    ConfigMap, EndpointSlice, Ingress, IngressClass, Namespace, NetworkPolicy, Node, Pod, Rejected, Secret,
    Service, ServiceCidr,
};

/// A kind that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `v1` Node.
    Node,
    /// `v1` Namespace.
    Namespace,
    /// `v1` Pod.
    Pod,
    /// `v1` Service.
    Service,
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice,
    /// `networking.k8s.io/v1` NetworkPolicy.
    NetworkPolicy,
    /// `networking.k8s.io/v1` Ingress.
    Ingress,
    /// `networking.k8s.io/v1` IngressClass.
    IngressClass,
    /// `networking.k8s.io/v1` ServiceCIDR.
    ServiceCidr,
    /// `v1` Secret, of type `kubernetes.io/tls` only.
    Secret,
    /// `v1` ConfigMap, those of [`crate::COREFILE_CONFIG_MAPS`] only.
    ConfigMap,
}

impl Kind {
    /// Every watched kind.
    pub const ALL: [Self; 11] = [
        Self::Node,
        Self::Namespace,
        Self::Pod,
        Self::Service,
        Self::EndpointSlice,
        Self::NetworkPolicy,
        Self::Ingress,
        Self::IngressClass,
        Self::ServiceCidr,
        Self::Secret,
        Self::ConfigMap,
    ];

    /// The kind as in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Namespace => "Namespace",
            Self::Pod => "Pod",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Ingress => "Ingress",
            Self::IngressClass => "IngressClass",
            Self::ServiceCidr => "ServiceCIDR",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }

    /// The watched kind of this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An object of a watched kind, lowered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is named after the kind it holds")]
pub enum Object {
    Node(Node),
    Namespace(Namespace),
    Pod(Pod),
    Service(Service),
    EndpointSlice(EndpointSlice),
    NetworkPolicy(NetworkPolicy),
    Ingress(Ingress),
    IngressClass(IngressClass),
    ServiceCidr(ServiceCidr),
    Secret(Secret),
    ConfigMap(ConfigMap),
}

impl Object {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Node(_) => Kind::Node,
            Self::Namespace(_) => Kind::Namespace,
            Self::Pod(_) => Kind::Pod,
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::NetworkPolicy(_) => Kind::NetworkPolicy,
            Self::Ingress(_) => Kind::Ingress,
            Self::IngressClass(_) => Kind::IngressClass,
            Self::ServiceCidr(_) => Kind::ServiceCidr,
            Self::Secret(_) => Kind::Secret,
            Self::ConfigMap(_) => Kind::ConfigMap,
        }
    }

    /// Its kind, namespace and name.
    #[must_use]
    pub fn object_ref(&self) -> ObjectRef {
        let kind = self.kind().as_str();
        match self {
            Self::Node(node) => ObjectRef::cluster(kind, node.name.as_str()),
            Self::Namespace(namespace) => ObjectRef::cluster(kind, &namespace.name),
            Self::Pod(pod) => ObjectRef::namespaced(kind, &pod.name),
            Self::Service(service) => ObjectRef::namespaced(kind, &service.name),
            Self::EndpointSlice(slice) => ObjectRef::namespaced(kind, &slice.name),
            Self::NetworkPolicy(policy) => ObjectRef::namespaced(kind, &policy.name),
            Self::Ingress(ingress) => ObjectRef::namespaced(kind, &ingress.name),
            Self::IngressClass(class) => ObjectRef::cluster(kind, &class.name),
            Self::ServiceCidr(cidr) => ObjectRef::cluster(kind, &cidr.name),
            Self::Secret(secret) => ObjectRef::namespaced(kind, &secret.name),
            Self::ConfigMap(map) => ObjectRef::namespaced(kind, &map.name),
        }
    }
}

/// One typed difference to a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The object is there, in this form.
    Put(Object),
    /// The object is gone.
    Remove(ObjectRef),
    /// The object is there, in a form that cannot be read as meant.
    Rejected(Rejected),
    /// All objects of a kind, as listed; what is not listed is gone.
    Replace {
        /// The kind.
        kind: Kind,
        /// Those that could be read.
        objects: Vec<Object>,
        /// Those that could not.
        rejected: Vec<Rejected>,
    },
}

impl Change {
    /// The change that says "this API object is there now".
    pub fn put<K: Lower>(object: &K) -> Self {
        match object.lower() {
            Ok(object) => Self::Put(object),
            Err(rejected) => Self::Rejected(rejected),
        }
    }

    /// The change that says "of this kind, exactly these API objects are there now".
    pub fn replace<'a, K: Lower + 'a>(listed: impl IntoIterator<Item = &'a K>) -> Self {
        let mut objects = Vec::new();
        let mut rejected = Vec::new();
        for object in listed {
            match object.lower() {
                Ok(object) => objects.push(object),
                Err(rejection) => rejected.push(rejection),
            }
        }
        Self::Replace { kind: K::KIND, objects, rejected }
    }
}

/// An API type that can be lowered to an [`Object`].
pub trait Lower: Sized {
    /// Its kind.
    const KIND: Kind;

    /// The fields that `compile` needs.
    ///
    /// # Errors
    /// The object cannot be read as meant.
    #[allow(clippy::result_large_err, reason = "an accepted object is larger still")]
    fn lower(&self) -> Result<Object, Rejected>;
}
