//! Ports of the Node that a Pod takes: no two Pods can have the same one (upstream:
//! `pkg/scheduler/framework/plugins/nodeports`).

use k8s_openapi::api::core::v1::{Container, Pod};

/// One taken port.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostPort<'a> {
    port: i32,
    protocol: &'a str,
    /// None means every address of the Node.
    address: Option<&'a str>,
}

impl HostPort<'_> {
    /// Whether both cannot be on one Node.
    pub(super) fn meets(&self, other: &HostPort<'_>) -> bool {
        let is_same_address = self.address.zip(other.address).is_none_or(|(one, another)| one == another);
        self.port == other.port && self.protocol == other.protocol && is_same_address
    }
}

/// What a Pod takes, with its sidecars.
pub(super) fn host_ports(pod: &Pod) -> impl Iterator<Item = HostPort<'_>> {
    pod.spec.iter().flat_map(|spec| {
        let is_sidecar = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
        let sidecars = spec.init_containers.iter().flatten().filter(is_sidecar);
        spec.containers.iter().chain(sidecars).flat_map(ports_of)
    })
}

fn ports_of(container: &Container) -> impl Iterator<Item = HostPort<'_>> {
    container.ports.iter().flatten().filter_map(|declared| {
        Some(HostPort {
            port: declared.host_port.filter(|port| *port != 0)?,
            protocol: declared.protocol.as_deref().unwrap_or("TCP"),
            address: declared.host_ip.as_deref().filter(|address| !["", "0.0.0.0", "::"].contains(address)),
        })
    })
}
