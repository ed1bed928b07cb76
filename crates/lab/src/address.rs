//! Where everything in a lab is: names, addresses and ports, the same in every lab of the same address families.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use types::{IpFamily, NodeName, Prefix};

/// Port of the API on the underlay.
pub const API_PORT: u16 = 6443;
/// The cluster's DNS domain.
pub const CLUSTER_DOMAIN: &str = "cluster.local";
/// Where every agent answers for its health, on its node's address; kube-proxy's port.
pub const AGENT_ADMIN_PORT: u16 = 10256;
/// Most nodes a lab can have: one for each letter.
pub const MAX_NODES: u8 = 26;
/// Number of the first node in the underlay.
const FIRST_NODE: u8 = 11;

/// Which address families a lab's Pods, Services and nodes have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabFamilies {
    /// IPv4 alone.
    #[default]
    Ipv4,
    /// IPv6 alone.
    Ipv6,
    /// Both; IPv4 is the primary one.
    Dual,
}

impl LabFamilies {
    /// The families, the primary one first.
    #[must_use]
    pub fn families(self) -> &'static [IpFamily] {
        match self {
            Self::Ipv4 => &[IpFamily::V4],
            Self::Ipv6 => &[IpFamily::V6],
            Self::Dual => &[IpFamily::V4, IpFamily::V6],
        }
    }

    /// What is where in each family, the primary one first.
    pub fn addresses(self) -> impl Iterator<Item = FamilyAddresses> {
        self.families().iter().copied().map(FamilyAddresses::of)
    }

    /// What is where in the primary family.
    #[must_use]
    pub fn primary(self) -> FamilyAddresses {
        FamilyAddresses::of(self.families()[0])
    }
}

/// What is where in one address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyAddresses {
    /// The family.
    pub family: IpFamily,
    /// The lab's own address on the underlay; clients there are "outside" the cluster.
    pub outside: IpAddr,
    /// Prefix length of the underlay.
    pub underlay_prefix_len: u8,
    /// The cluster DNS address.
    pub cluster_dns: IpAddr,
    /// `kubernetes.default`, where this is the primary family.
    pub kubernetes_service: IpAddr,
    /// Pod range of the whole cluster.
    pub pod_cidr: Prefix,
    /// Service range of the cluster.
    pub service_cidr: Prefix,
    /// First and last address of the LoadBalancer pool.
    pub load_balancer_pool: (IpAddr, IpAddr),
}

impl FamilyAddresses {
    /// Those of a family. The IPv6 ranges are unique local addresses (RFC 4193) that look like their IPv4 counterparts.
    #[must_use]
    pub fn of(family: IpFamily) -> Self {
        let (pod_cidr, service_cidr) = match family {
            IpFamily::V4 => ("10.244.0.0/16", "10.96.0.0/16"),
            IpFamily::V6 => ("fd00:10:244::/56", "fd00:10:96::/112"),
        };
        let service_cidr = prefix(service_cidr);
        let service = |number| service_cidr.nth(number).expect("a range for thousands of Services");
        Self {
            family,
            outside: on_underlay(family, 1),
            underlay_prefix_len: if family == IpFamily::V4 { 24 } else { 64 },
            cluster_dns: service(10),
            kubernetes_service: service(1),
            pod_cidr: prefix(pod_cidr),
            service_cidr,
            load_balancer_pool: (on_underlay(family, 200), on_underlay(family, 250)),
        }
    }

    fn node_pod_cidr(&self, index: u8) -> Prefix {
        match self.family {
            IpFamily::V4 => prefix(&format!("10.244.{index}.0/24")),
            IpFamily::V6 => prefix(&format!("fd00:10:244:{index:x}::/64")),
        }
    }
}

/// The address of this number on the underlay; IPv6 shows the same digits.
fn on_underlay(family: IpFamily, number: u8) -> IpAddr {
    match family {
        IpFamily::V4 => Ipv4Addr::new(172, 31, 0, number).into(),
        IpFamily::V6 => {
            let number = u16::from(number);
            let digits = (number / 100) << 8 | (number / 10 % 10) << 4 | (number % 10);
            Ipv6Addr::new(0xfd00, 0x172, 0x31, 0, 0, 0, 0, digits).into()
        }
    }
}

/// One node of a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabNode {
    /// `node-a`, `node-b` …
    pub name: NodeName,
    /// Topology zone: `a`, `b` …
    pub zone: String,
    /// Its addresses on the underlay, one for each family, the primary one first.
    pub addresses: Vec<IpAddr>,
    /// Its Pod ranges, in the same order.
    pub pod_cidrs: Vec<Prefix>,
}

impl LabNode {
    /// Its address of the primary family.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.addresses[0]
    }

    /// Where its agent answers for its health.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        SocketAddr::new(self.address(), AGENT_ADMIN_PORT)
    }
}

/// The nodes of a lab, at most [`MAX_NODES`].
#[must_use]
pub fn nodes(count: u8, families: LabFamilies) -> Vec<LabNode> {
    (0..count.min(MAX_NODES))
        .map(|index| {
            let letter = char::from(b'a' + index);
            LabNode {
                name: NodeName::from(format!("node-{letter}")),
                zone: letter.to_string(),
                addresses: families
                    .addresses()
                    .map(|at| on_underlay(at.family, FIRST_NODE + index))
                    .collect(),
                pod_cidrs: families.addresses().map(|at| at.node_pod_cidr(index)).collect(),
            }
        })
        .collect()
}

/// A prefix that this file spells.
fn prefix(text: &str) -> Prefix {
    text.parse().expect("prefixes in this crate are well-formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(families: LabFamilies) -> Vec<String> {
        let text = |node: &LabNode| {
            let (addresses, ranges) = (&node.addresses, &node.pod_cidrs);
            format!("{} {} {addresses:?} {ranges:?}", node.name, node.zone).replace('"', "")
        };
        nodes(26, families).iter().map(text).collect()
    }

    #[test]
    fn nodes_are_named_and_numbered_in_order() {
        assert_eq!(shown(LabFamilies::Ipv4)[1], "node-b b [172.31.0.12] [10.244.1.0/24]");
        assert_eq!(shown(LabFamilies::Ipv6)[25], "node-z z [fd00:172:31::36] [fd00:10:244:19::/64]");
        assert_eq!(
            shown(LabFamilies::Dual)[0],
            "node-a a [172.31.0.11, fd00:172:31::11] [10.244.0.0/24, fd00:10:244::/64]"
        );
        assert_eq!(super::nodes(99, LabFamilies::Ipv4).len(), 26);
    }

    #[test]
    fn what_belongs_to_a_family_is_of_that_family_and_in_its_ranges() {
        for at in LabFamilies::Dual.addresses() {
            let (first, last) = at.load_balancer_pool;
            for address in [at.outside, at.cluster_dns, at.kubernetes_service, first, last] {
                assert_eq!(IpFamily::of(address), at.family);
            }
            assert!(at.service_cidr.contains(at.cluster_dns) && !at.pod_cidr.overlaps(at.service_cidr));
            assert!((0..MAX_NODES).all(|index| at.pod_cidr.covers(at.node_pod_cidr(index))));
        }
        assert_eq!(LabFamilies::Ipv6.primary().load_balancer_pool.0.to_string(), "fd00:172:31::200");
        assert_eq!(LabFamilies::Ipv6.primary().cluster_dns.to_string(), "fd00:10:96::a");
    }
}
