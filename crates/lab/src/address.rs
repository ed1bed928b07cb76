//! Where everything in a lab is: names, addresses and ports, the same in every lab.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use types::{NodeName, Prefix};

/// The lab's own address on the underlay; clients there are "outside" the cluster.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 1);
/// Prefix length of the underlay.
pub const UNDERLAY_PREFIX_LEN: u8 = 24;
/// Port of the API on the underlay.
pub const API_PORT: u16 = 6443;
/// The cluster DNS address.
pub const CLUSTER_DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// `kubernetes.default`.
pub const KUBERNETES_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// The cluster's DNS domain.
pub const CLUSTER_DOMAIN: &str = "cluster.local";
/// Pod range of the whole cluster.
pub const POD_CIDR: &str = "10.244.0.0/16";
/// Service range of the cluster.
pub const SERVICE_CIDR: &str = "10.96.0.0/16";
/// Where every agent answers for its health, on its node's address; kube-proxy's port.
pub const AGENT_ADMIN_PORT: u16 = 10256;
/// First and last address of the LoadBalancer pool.
pub const LOAD_BALANCER_POOL: (Ipv4Addr, Ipv4Addr) =
    (Ipv4Addr::new(172, 31, 0, 200), Ipv4Addr::new(172, 31, 0, 250));
/// Most nodes a lab can have: one for each letter.
pub const MAX_NODES: u8 = 26;

/// One node of a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabNode {
    /// `node-a`, `node-b` …
    pub name: NodeName,
    /// Topology zone: `a`, `b` …
    pub zone: String,
    /// Its address on the underlay.
    pub address: Ipv4Addr,
    /// Its Pod range.
    pub pod_cidr: Prefix,
}

impl LabNode {
    /// Where its agent answers for its health.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        SocketAddr::new(self.address.into(), AGENT_ADMIN_PORT)
    }
}

/// The nodes of a lab, at most [`MAX_NODES`].
#[must_use]
pub fn nodes(count: u8) -> Vec<LabNode> {
    (0..count.min(MAX_NODES))
        .map(|index| {
            let letter = char::from(b'a' + index);
            LabNode {
                name: NodeName(format!("node-{letter}")),
                zone: letter.to_string(),
                address: Ipv4Addr::new(172, 31, 0, 11 + index),
                pod_cidr: prefix(&format!("10.244.{index}.0/24")),
            }
        })
        .collect()
}

/// A prefix that this file spells.
#[must_use]
pub fn prefix(text: &str) -> Prefix {
    text.parse().expect("prefixes in this crate are well-formed")
}

/// The LoadBalancer pool as addresses of any family.
#[must_use]
pub fn load_balancer_pool() -> (IpAddr, IpAddr) {
    (LOAD_BALANCER_POOL.0.into(), LOAD_BALANCER_POOL.1.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_and_numbered_in_order() {
        let nodes = nodes(3);
        let shown: Vec<String> = nodes
            .iter()
            .map(|node| format!("{} {} {} {}", node.name, node.zone, node.address, node.pod_cidr))
            .collect();
        let expected = [
            "node-a a 172.31.0.11 10.244.0.0/24",
            "node-b b 172.31.0.12 10.244.1.0/24",
            "node-c c 172.31.0.13 10.244.2.0/24",
        ];
        assert_eq!(shown, expected);
        assert_eq!(super::nodes(99).len(), 26);
    }
}
