//! Services: addresses, ports and the fields that decide where their traffic goes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use types::{Labels, ObjectRef, PackedLabels, Port, Prefix, Protocol, ServiceName};

use crate::conditions::lower_conditions;
use crate::field::{
    FieldError, Read, namespaced_name_of, read_address, read_port, read_prefix, read_protocol,
};
use crate::{Conditions, Kind, Lower, Object, Rejected, Scheduling};

/// Label that hands a Service to another proxy (kubernetes `pkg/proxy/apis/well_known_labels.go`).
const PROXY_NAME_LABEL: &str = "service.kubernetes.io/service-proxy-name";
/// Label that says "never programmed" (k8s.io/api/core/v1 `IsHeadlessService`).
pub(crate) const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
/// Affinity timeout when none is given (k8s.io/api/core/v1 `DefaultClientIPServiceAffinitySeconds`).
const DEFAULT_AFFINITY_SECONDS: i32 = 10_800;

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name.
    pub name: ServiceName,
    /// Labels.
    pub labels: PackedLabels,
    /// `spec.type`.
    pub kind: ServiceType,
    /// `spec.clusterIPs`; empty when headless, ExternalName, or not yet assigned.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.clusterIP: None`.
    pub headless: bool,
    /// `spec.externalName`, only for type ExternalName.
    pub external_name: Option<String>,
    /// `spec.selector`; `None` when the user keeps the EndpointSlices.
    pub selector: Option<Labels>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// `spec.externalIPs`.
    pub external_ips: BTreeSet<IpAddr>,
    /// Fields of type LoadBalancer; `None` for other types.
    pub load_balancer: Option<LoadBalancer>,
    /// What `status.loadBalancer.ingress` says, whatever the type.
    pub status: Vec<LoadBalancerIngress>,
    /// Conditions of ours in `status.conditions`.
    pub conditions: Conditions,
    /// `spec.internalTrafficPolicy`.
    pub internal_policy: TrafficPolicy,
    /// `spec.externalTrafficPolicy`.
    pub external_policy: TrafficPolicy,
    /// `spec.healthCheckNodePort`, only for type LoadBalancer with `externalTrafficPolicy: Local`.
    pub health_check_node_port: Option<Port>,
    /// Timeout of `spec.sessionAffinity: ClientIP`, in seconds; `None` without affinity.
    pub affinity_seconds: Option<u32>,
    /// `spec.publishNotReadyAddresses`.
    pub publish_not_ready: bool,
    /// Annotations `sealane.dev/scheduling` and `sealane.dev/weights`.
    pub scheduling: Scheduling,
    /// Labelled for another proxy, or as headless: no traffic rule of ours, only DNS.
    pub proxied_elsewhere: bool,
}

/// `spec.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the API")]
pub enum ServiceType {
    ClusterIp,
    NodePort,
    LoadBalancer,
    ExternalName,
}

/// A traffic policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrafficPolicy {
    /// Every endpoint of the cluster.
    #[default]
    Cluster,
    /// Only endpoints on the node that takes the traffic.
    Local,
}

/// One of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// `name`, empty when unnamed (as in EndpointSlices, where the unnamed port is "").
    pub name: String,
    /// `protocol`.
    pub protocol: Protocol,
    /// `port`.
    pub port: Port,
    /// `targetPort`.
    pub target: TargetPort,
    /// `nodePort`, only for types NodePort and LoadBalancer.
    pub node_port: Option<Port>,
}

/// `spec.ports[].targetPort`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// The same number on every Pod.
    Number(Port),
    /// The container port of this name, on each Pod for itself.
    Name(String),
}

/// Fields of type LoadBalancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadBalancer {
    /// `spec.loadBalancerClass`.
    pub class: Option<String>,
    /// `spec.loadBalancerIP`.
    pub wish: Option<IpAddr>,
    /// `spec.loadBalancerSourceRanges`; empty lets every client in.
    pub source_ranges: BTreeSet<Prefix>,
}

/// One of `status.loadBalancer.ingress` that has an `ip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadBalancerIngress {
    /// `ip`.
    pub address: IpAddr,
    /// `ipMode`.
    pub mode: IpMode,
}

/// `status.loadBalancer.ingress[].ipMode` (KEP-1860).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpMode {
    /// Packets arrive with the address as destination: nodes take it.
    Vip,
    /// A proxy takes the address: nodes leave it alone.
    Proxy,
}

impl Lower for v1::Service {
    const KIND: Kind = Kind::Service;

    fn lower(&self) -> Result<Object, Rejected> {
        let rejected = |error: FieldError, stand_in: Option<Service>| Rejected {
            conditions: Some(read_conditions(self)),
            stand_in: stand_in.map(|service| Box::new(Object::Service(service))),
            ..error.of(ObjectRef::namespaced("Service", &namespaced_name_of(&self.metadata)))
        };
        let mut service = read_service(self).map_err(|error| rejected(error, None))?;
        match Scheduling::of(self.metadata.annotations.as_ref()) {
            Ok(scheduling) => service.scheduling = scheduling,
            // It is served all the same, evenly.
            Err(error) => return Err(rejected(error, Some(service))),
        }
        Ok(Object::Service(service))
    }
}

fn read_service(service: &v1::Service) -> Read<Service> {
    let spec = service.spec.as_ref().ok_or_else(|| FieldError::missing("spec"))?;
    let kind = read_type(spec)?;
    let labels = service.metadata.labels.as_ref();
    let has_label = |label: &str| labels.is_some_and(|labels| labels.contains_key(label));
    let headless = spec.cluster_ip.as_deref() == Some("None");
    let cluster_ips =
        if headless || kind == ServiceType::ExternalName { Vec::new() } else { read_cluster_ips(spec)? };
    Ok(Service {
        name: namespaced_name_of(&service.metadata),
        labels: labels.map(PackedLabels::from).unwrap_or_default(),
        kind,
        cluster_ips,
        headless,
        external_name: spec.external_name.clone().filter(|_| kind == ServiceType::ExternalName),
        selector: spec.selector.clone().filter(|selector| !selector.is_empty()),
        ports: read_ports(spec, kind)?,
        external_ips: read_addresses("spec.externalIPs", spec.external_ips.as_deref())?.into_iter().collect(),
        load_balancer: match kind {
            ServiceType::LoadBalancer => Some(read_load_balancer(spec)?),
            _ => None,
        },
        status: read_status(service)?,
        conditions: read_conditions(service),
        internal_policy: read_policy("spec.internalTrafficPolicy", spec.internal_traffic_policy.as_deref())?,
        external_policy: read_policy("spec.externalTrafficPolicy", spec.external_traffic_policy.as_deref())?,
        health_check_node_port: read_health_check_port(spec, kind)?,
        affinity_seconds: read_affinity(spec)?,
        publish_not_ready: spec.publish_not_ready_addresses == Some(true),
        scheduling: Scheduling::default(),
        proxied_elsewhere: has_label(PROXY_NAME_LABEL) || has_label(HEADLESS_LABEL),
    })
}

fn read_type(spec: &v1::ServiceSpec) -> Read<ServiceType> {
    match spec.type_.as_deref() {
        None | Some("" | "ClusterIP") => Ok(ServiceType::ClusterIp),
        Some("NodePort") => Ok(ServiceType::NodePort),
        Some("LoadBalancer") => Ok(ServiceType::LoadBalancer),
        Some("ExternalName") => Ok(ServiceType::ExternalName),
        Some(other) => Err(FieldError::invalid("spec.type", format!("`{other}` is not a Service type"))),
    }
}

fn read_policy(field: &str, text: Option<&str>) -> Read<TrafficPolicy> {
    match text {
        None | Some("" | "Cluster") => Ok(TrafficPolicy::Cluster),
        Some("Local") => Ok(TrafficPolicy::Local),
        Some(other) => Err(FieldError::invalid(field, format!("`{other}` is neither Cluster nor Local"))),
    }
}

fn read_addresses(field: &str, texts: Option<&[String]>) -> Read<Vec<IpAddr>> {
    let texts = texts.unwrap_or_default().iter().enumerate();
    texts.map(|(index, text)| read_address(|| format!("{field}[{index}]"), text)).collect()
}

fn read_cluster_ips(spec: &v1::ServiceSpec) -> Read<Vec<IpAddr>> {
    match (&spec.cluster_ips, &spec.cluster_ip) {
        (Some(addresses), _) if !addresses.is_empty() => read_addresses("spec.clusterIPs", Some(addresses)),
        (_, Some(address)) if !address.is_empty() => {
            Ok(vec![read_address(|| "spec.clusterIP".to_owned(), address)?])
        }
        _ => Ok(Vec::new()),
    }
}

fn read_ports(spec: &v1::ServiceSpec, kind: ServiceType) -> Read<Vec<ServicePort>> {
    let has_node_ports = matches!(kind, ServiceType::NodePort | ServiceType::LoadBalancer);
    let mut ports = Vec::with_capacity(spec.ports.as_ref().map_or(0, Vec::len));
    for (index, port) in spec.ports.iter().flatten().enumerate() {
        let at = |leaf: &str| format!("spec.ports[{index}].{leaf}");
        let number = read_port(|| at("port"), port.port)?;
        let target = match &port.target_port {
            None | Some(IntOrString::Int(0)) => TargetPort::Number(number),
            Some(IntOrString::Int(target)) => TargetPort::Number(read_port(|| at("targetPort"), *target)?),
            Some(IntOrString::String(name)) if name.is_empty() => TargetPort::Number(number),
            Some(IntOrString::String(name)) => TargetPort::Name(name.clone()),
        };
        let node_port = match port.node_port {
            Some(node_port) if has_node_ports && node_port != 0 => {
                Some(read_port(|| at("nodePort"), node_port)?)
            }
            _ => None,
        };
        ports.push(ServicePort {
            name: port.name.clone().unwrap_or_default(),
            protocol: read_protocol(|| at("protocol"), port.protocol.as_deref())?,
            port: number,
            target,
            node_port,
        });
    }
    Ok(ports)
}

fn read_load_balancer(spec: &v1::ServiceSpec) -> Read<LoadBalancer> {
    let ranges = spec.load_balancer_source_ranges.iter().flatten().enumerate();
    let wish = spec.load_balancer_ip.as_deref().filter(|text| !text.is_empty());
    Ok(LoadBalancer {
        class: spec.load_balancer_class.clone().filter(|class| !class.is_empty()),
        wish: wish.map(|text| read_address(|| "spec.loadBalancerIP".to_owned(), text)).transpose()?,
        source_ranges: ranges
            .map(|(index, text)| read_prefix(|| format!("spec.loadBalancerSourceRanges[{index}]"), text))
            .collect::<Read<_>>()?,
    })
}

fn read_health_check_port(spec: &v1::ServiceSpec, kind: ServiceType) -> Read<Option<Port>> {
    let is_local = spec.external_traffic_policy.as_deref() == Some("Local");
    let number = spec.health_check_node_port.filter(|number| *number != 0);
    let number = number.filter(|_| is_local && kind == ServiceType::LoadBalancer);
    number.map(|number| read_port(|| "spec.healthCheckNodePort".to_owned(), number)).transpose()
}

fn read_status(service: &v1::Service) -> Read<Vec<LoadBalancerIngress>> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let entries = status.iter().flat_map(|status| status.ingress.iter().flatten()).enumerate();
    let mut addresses = Vec::new();
    for (index, entry) in entries {
        let Some(text) = entry.ip.as_deref().filter(|text| !text.is_empty()) else { continue };
        let address = read_address(|| format!("status.loadBalancer.ingress[{index}].ip"), text)?;
        let mode = match entry.ip_mode.as_deref() {
            Some("Proxy") => IpMode::Proxy,
            _ => IpMode::Vip,
        };
        addresses.push(LoadBalancerIngress { address, mode });
    }
    Ok(addresses)
}

fn read_conditions(service: &v1::Service) -> Conditions {
    lower_conditions(service.status.as_ref().and_then(|status| status.conditions.as_ref()))
}

fn read_affinity(spec: &v1::ServiceSpec) -> Read<Option<u32>> {
    match spec.session_affinity.as_deref() {
        None | Some("" | "None") => return Ok(None),
        Some("ClientIP") => {}
        Some(other) => {
            let message = format!("`{other}` is neither ClientIP nor None");
            return Err(FieldError::invalid("spec.sessionAffinity", message));
        }
    }
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let seconds = config.and_then(|config| config.timeout_seconds).unwrap_or(DEFAULT_AFFINITY_SECONDS);
    match u32::try_from(seconds) {
        Ok(seconds @ 1..=86_400) => Ok(Some(seconds)),
        _ => Err(FieldError::invalid(
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
            format!("{seconds} must be between 1 and 86400, inclusive"),
        )),
    }
}
