//! What a node's agent tells the cluster of itself: one annotation of its Node, as JSON.
//!
//! Field names are camel case. A field that is not known here is a newer agent's and passed over, as everywhere in the
//! API: agents and controller are never all upgraded at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{IpFamily, LinkName, NetworkMode, NodeName, Port, Prefix};

/// The annotation's name.
pub const NETWORK_ANNOTATION: &str = "sealane.dev/network";

/// What a node's agent knows of its own part of the network, and nobody else can know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeFacts {
    /// The node's place on the network that joins the nodes.
    pub underlay: UnderlayFacts,
    /// How Pods of other nodes are reached.
    pub tunnel: TunnelMode,
    /// How Pods of the node are joined.
    pub links: NetworkMode,
    /// Which of their packets get the node's address as their source.
    #[serde(default, skip_serializing_if = "Masquerading::is_default")]
    pub masquerade: Masquerading,
    /// What probing the ways to the other nodes has shown.
    #[serde(default, skip_serializing_if = "PathFacts::is_default")]
    pub paths: PathFacts,
    /// How much of the node's Pod ranges is in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<PoolFacts>,
    /// The node's kernel does not track SCTP, and so cannot lead it to endpoints of a Service.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacks_sctp: bool,
    /// Health check ports of Services that a process of the node already has.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub taken_health_check_ports: BTreeSet<Port>,
}

/// A node's place on the network that joins the nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnderlayFacts {
    /// The link that faces the other nodes.
    pub link: LinkName,
    /// Its addresses, IPv4 first.
    pub addresses: Vec<SubnetAddress>,
    /// Its MTU, in bytes.
    pub mtu: u32,
}

/// An address and the length of its subnet's prefix, written `172.31.0.11/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SubnetAddress {
    /// The address.
    pub address: IpAddr,
    /// The subnet.
    pub subnet: Prefix,
}

/// Why a text is not a [`SubnetAddress`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address with a prefix length, such as 172.31.0.11/24")]
pub struct SubnetAddressError {
    /// What was given.
    pub text: String,
}

/// Which packets of Pods get their node's address as their source. Never those to Pods and nodes of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Masquerading {
    /// Those that leave the cluster.
    LeavingCluster {
        /// Destinations that know the way back to Pods.
        except: BTreeSet<Prefix>,
    },
    /// None.
    Off,
}

impl Default for Masquerading {
    fn default() -> Self {
        Self::LeavingCluster { except: BTreeSet::new() }
    }
}

impl Masquerading {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How Pods of other nodes are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TunnelMode {
    /// Always through the VXLAN tunnel.
    #[default]
    Vxlan,
    /// Always by routes; every node must be on one subnet.
    Direct,
    /// By routes to nodes on the same subnet, else through the tunnel.
    Auto,
}

/// What probing the ways to the other nodes has shown: every peer that is not named here lets full-size packets pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathFacts {
    /// Every peer has been probed at least once since the agent started; one that has just joined may not have been.
    pub probed: bool,
    /// Peers that full-size packets do not reach, at most [`MOST_FAILING_PATHS`] of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failing: BTreeMap<NodeName, FailingPath>,
    /// How many more such peers there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_failing: usize,
}

/// How many peers [`PathFacts::failing`] names at most: a node that is cut off fails towards all of them, and an object's
/// annotations share 256 KiB (`TotalAnnotationSizeLimitB` in apimachinery's `validation/objectmeta.go`).
pub const MOST_FAILING_PATHS: usize = 64;

/// A way to a peer on which full-size packets are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailingPath {
    /// Size of the packets that Pods send there, in bytes with the IP header.
    pub sends: u32,
    /// The largest that was answered; none when nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes: Option<u32>,
}

/// How much of one Pod range is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolFacts {
    /// The range.
    pub range: Prefix,
    /// Addresses that Pods can have.
    pub size: u64,
    /// Addresses that Pods have.
    pub used: u64,
    /// Freed addresses that are not given again yet.
    pub resting: u64,
}

impl PathFacts {
    /// Without the names that are too many.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        let count = self.failing.len();
        if let Some((first_out, _)) = self.failing.iter().nth(MOST_FAILING_PATHS) {
            let first_out = first_out.clone();
            drop(self.failing.split_off(&first_out));
        }
        self.more_failing += count - self.failing.len();
        self
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl SubnetAddress {
    /// An address in a subnet of this prefix length; `None` when that exceeds the family's width.
    #[must_use]
    pub fn new(address: IpAddr, prefix_len: u8) -> Option<Self> {
        Some(Self { address, subnet: Prefix::new(address, prefix_len)? })
    }

    /// Address family.
    #[must_use]
    pub fn family(self) -> IpFamily {
        IpFamily::of(self.address)
    }
}

impl FromStr for SubnetAddress {
    type Err = SubnetAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (address, len) = text.split_once('/')?;
            Self::new(address.parse().ok()?, len.parse().ok()?)
        };
        parse().ok_or_else(|| SubnetAddressError { text: text.to_owned() })
    }
}

impl TryFrom<String> for SubnetAddress {
    type Error = SubnetAddressError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SubnetAddress> for String {
    fn from(address: SubnetAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for SubnetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.subnet.len())
    }
}

impl fmt::Display for TunnelMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Vxlan => "vxlan",
            Self::Direct => "direct",
            Self::Auto => "auto",
        })
    }
}
