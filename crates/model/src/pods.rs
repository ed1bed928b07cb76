//! Pods: where they are, their addresses, labels and named ports.

use std::net::IpAddr;

use k8s_openapi::api::core::v1;
use types::{Labels, NodeName, ObjectRef, PodName, Port, Protocol, Shared};

use crate::field::{Read, namespaced_name_of, read_address, read_port, read_protocol};
use crate::{Kind, Lower, Object, Rejected};

/// A Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub name: PodName,
    /// Labels; those of the Pods of one ReplicaSet are one and the same, where a snapshot has them.
    pub labels: Shared<Labels>,
    /// `spec.nodeName`.
    pub node: Option<NodeName>,
    /// `status.podIPs`, at most one per family.
    pub addresses: Vec<IpAddr>,
    /// `spec.hostNetwork`: it shares the node's addresses.
    pub host_network: bool,
    /// `status.phase` is Succeeded or Failed: its addresses may belong to another Pod.
    pub finished: bool,
    /// Whether its resolver searches its Namespace, the cluster domain and then what its node searches, and nothing else:
    /// `dnsPolicy: ClusterFirst` without `dnsConfig.searches` (kubelet, `pkg/kubelet/network/dns`).
    pub cluster_search: bool,
    /// Declared ports, of containers and then of restartable init containers.
    pub ports: Vec<ContainerPort>,
}

/// One of `spec.containers[].ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    /// `name`.
    pub name: Option<String>,
    /// `containerPort`.
    pub port: Port,
    /// `protocol`.
    pub protocol: Protocol,
    /// `hostPort`: the same port of the Pod's node leads here.
    pub host_port: Option<Port>,
    /// `hostIP`: on this address alone; none when the field is empty or means every address.
    pub host_ip: Option<IpAddr>,
}

impl Pod {
    /// The number of a named port; the first declared one wins, as in the EndpointSlice controller.
    #[must_use]
    pub fn named_port(&self, name: &str, protocol: Protocol) -> Option<Port> {
        self.ports
            .iter()
            .find(|port| port.protocol == protocol && port.name.as_deref() == Some(name))
            .map(|port| port.port)
    }
}

impl Lower for v1::Pod {
    const KIND: Kind = Kind::Pod;

    fn lower(&self) -> Result<Object, Rejected> {
        read_pod(self)
            .map(Object::Pod)
            .map_err(|error| error.of(ObjectRef::namespaced("Pod", &namespaced_name_of(&self.metadata))))
    }
}

fn read_pod(pod: &v1::Pod) -> Read<Pod> {
    let spec = pod.spec.as_ref();
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    Ok(Pod {
        name: namespaced_name_of(&pod.metadata),
        labels: pod.metadata.labels.clone().unwrap_or_default().into(),
        node: spec
            .and_then(|spec| spec.node_name.clone())
            .filter(|name| !name.is_empty())
            .map(NodeName::from),
        addresses: read_addresses(pod)?,
        host_network: spec.is_some_and(|spec| spec.host_network == Some(true)),
        finished: matches!(phase, Some("Succeeded" | "Failed")),
        cluster_search: spec.is_none_or(has_cluster_search),
        ports: spec.map(read_ports).transpose()?.unwrap_or_default(),
    })
}

fn has_cluster_search(spec: &v1::PodSpec) -> bool {
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let own = spec.dns_config.as_ref().and_then(|config| config.searches.as_ref());
    // With the node's network, `ClusterFirst` means the node's resolver.
    let is_first = policy == "ClusterFirst" && spec.host_network != Some(true);
    is_first && own.is_none_or(Vec::is_empty)
}

fn read_addresses(pod: &v1::Pod) -> Read<Vec<IpAddr>> {
    let Some(status) = &pod.status else { return Ok(Vec::new()) };
    match (&status.pod_ips, &status.pod_ip) {
        (Some(addresses), _) if !addresses.is_empty() => addresses
            .iter()
            .enumerate()
            .map(|(index, address)| read_address(|| format!("status.podIPs[{index}].ip"), &address.ip))
            .collect(),
        (_, Some(address)) if !address.is_empty() => {
            Ok(vec![read_address(|| "status.podIP".to_owned(), address)?])
        }
        _ => Ok(Vec::new()),
    }
}

fn read_ports(spec: &v1::PodSpec) -> Read<Vec<ContainerPort>> {
    let containers = spec
        .containers
        .iter()
        .enumerate()
        .map(|(index, container)| (format!("spec.containers[{index}]"), container));
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .enumerate()
        .filter(|(_, container)| container.restart_policy.as_deref() == Some("Always"))
        .map(|(index, container)| (format!("spec.initContainers[{index}]"), container));
    let mut ports = Vec::new();
    for (field, container) in containers.chain(sidecars) {
        for (index, port) in container.ports.iter().flatten().enumerate() {
            let at = |leaf: &str| format!("{field}.ports[{index}].{leaf}");
            ports.push(ContainerPort {
                name: port.name.clone().filter(|name| !name.is_empty()),
                port: read_port(|| at("containerPort"), port.container_port)?,
                protocol: read_protocol(|| at("protocol"), port.protocol.as_deref())?,
                host_port: read_host_port(&at, port)?,
                host_ip: read_host_ip(&at, port)?,
            });
        }
    }
    // Clusters have many Pods, most of them with one port.
    ports.shrink_to_fit();
    Ok(ports)
}

fn read_host_port(at: &impl Fn(&str) -> String, port: &v1::ContainerPort) -> Read<Option<Port>> {
    let number = port.host_port.filter(|number| *number != 0);
    number.map(|number| read_port(|| at("hostPort"), number)).transpose()
}

fn read_host_ip(at: &impl Fn(&str) -> String, port: &v1::ContainerPort) -> Read<Option<IpAddr>> {
    let text = port.host_ip.as_deref().filter(|text| !text.is_empty());
    let address = text.map(|text| read_address(|| at("hostIP"), text)).transpose()?;
    Ok(address.filter(|address| !address.is_unspecified()))
}
