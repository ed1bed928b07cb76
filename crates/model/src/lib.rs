//! What the cluster says: one snapshot, typed changes, and the lowering of each Kubernetes kind.
//!
//! Each file lowers one kind of the API to the few fields that `compile` needs, or says why it cannot
//! ([`Rejected`]). Nothing here decides what should happen because of an object, and nothing here reads the API.

mod change;
mod conditions;
mod config_maps;
mod endpoint_slices;
mod field;
mod ingress_classes;
mod ingresses;
mod namespaces;
mod network_policies;
mod nodes;
mod pods;
mod rejected;
mod scheduling;
mod secrets;
mod selectors;
mod service_cidrs;
mod services;
mod snapshot;

pub use change::{Change, Kind, Lower, Object};
pub use conditions::{Condition, Conditions};
pub use config_maps::{COREFILE_CONFIG_MAPS, COREFILE_NAMESPACE, ConfigMap};
pub use endpoint_slices::{Endpoint, EndpointPort, EndpointSlice, Hints, SERVICE_NAME_LABEL};
pub use ingress_classes::IngressClass;
pub use ingresses::{
    Ingress, IngressBackend, IngressPath, IngressRule, IngressTls, PathType, ServicePortRef,
};
pub use namespaces::Namespace;
pub use network_policies::{NetworkPolicy, PolicyPeer, PolicyPort, PolicyRule, PortMatch};
pub use nodes::{Node, Told};
pub use pods::{ContainerPort, Pod};
pub use rejected::Rejected;
pub use scheduling::{SCHEDULING_ANNOTATION, Scheduling, WEIGHTS_ANNOTATION, WeightGroup};
pub use secrets::{Secret, TLS_SECRET_TYPE};
pub use selectors::lower_selector;
pub use service_cidrs::ServiceCidr;
pub use services::{
    IpMode, LoadBalancer, LoadBalancerIngress, Service, ServicePort, ServiceType, TargetPort, TrafficPolicy,
};
pub use snapshot::Snapshot;
