//! What the CNI plugin and the node agent tell each other: files in the node's state directory, and one question.
//!
//! Layout of a state directory: `network.json` holds a [`NodeNetwork`], written by the agent;
//! `attachments/<container ID>-<ifname>.json` holds one [`Attachment`] each, written by the plugin;
//! `agent.sock` is a unix stream socket on which the agent answers one [`AgentRequest`] per connection,
//! both sides as one line of JSON. `addresses/`, `last-given.json`, `released/`, `lock` and unfinished files (`*.tmp`) are the plugin's alone.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Bandwidth, LinkName, Mac, PodName, PortMapping, Prefix};

/// How Pods of one node are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// One host route per Pod and no bridge.
    #[default]
    Routed,
    /// Every Pod is a port of one bridge, and one route per range leads to it.
    Bridge,
}

/// Name of the bridge that Pods are ports of.
pub const POD_BRIDGE: &str = "sealane-br";

/// Link-layer address of that bridge, on every node: bridges of two nodes are never joined, and a Pod that has it written
/// down needs not ask when the bridge was made anew.
#[must_use]
pub fn pod_bridge_mac() -> Mac {
    Mac::derived(POD_BRIDGE)
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Routed => "routed",
            Self::Bridge => "bridge",
        })
    }
}

/// How the link of a Pod is made, and how large the packets are that its routes let it send.
///
/// The link carries what stays inside the node, so it may be larger than any path between nodes: the Pod's default
/// route is held to the path's MTU, and only routes to ranges that never leave the node are not.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodLink {
    /// How it is joined to the node.
    pub mode: NetworkMode,
    /// MTU of both ends of the link, in bytes; never below that of the path.
    pub mtu: u32,
    /// MTU of the Pod's default route, in bytes: what gets to other nodes and out of the cluster.
    pub path_mtu: u32,
    /// Ranges to which packets may be as large as the link's MTU: the node's own Pod ranges.
    ///
    /// Never a range of Services or the addresses of nodes: behind those may be a Pod of another node, and the first
    /// datagram that is too large for the way there would be lost.
    pub local: Vec<Prefix>,
}

/// What the agent knows about its node and the plugin needs for ADD.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeNetwork {
    /// Ranges from which this node's Pods get addresses, at most one per family.
    pub pod_cidrs: Vec<Prefix>,
    /// How links of Pods are made from now on.
    pub link: PodLink,
}

/// Whose link an attachment is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LinkOrigin {
    /// Ours: link, routes and addresses.
    #[default]
    Own,
    /// Of a plugin before us in the configuration list: we only know of it, so that policy and Services do.
    Previous,
}

/// One network interface of one Pod, as given out by ADD.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_IFNAME`, the link's name inside the Pod.
    pub ifname: LinkName,
    /// `CNI_NETNS`, a path.
    pub netns: String,
    /// From `CNI_ARGS`: `K8S_POD_NAMESPACE` and `K8S_POD_NAME`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pod: Option<PodName>,
    /// The Pod's addresses; of a link of our own, at most one per family.
    pub addresses: Vec<IpAddr>,
    /// Link on the node's side.
    pub host_link: LinkName,
    /// Link-layer address of the node's side.
    pub host_mac: Mac,
    /// Link-layer address of the Pod's side.
    pub pod_mac: Mac,
    /// How its link was made; not known of attachments that are older than this field.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub link: Option<PodLink>,
    /// Whose link it is.
    #[serde(default)]
    pub origin: LinkOrigin,
    /// Ports of the node that lead here.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub port_mappings: Vec<PortMapping>,
    /// How fast it may be.
    #[serde(skip_serializing_if = "Bandwidth::is_unlimited", default)]
    pub bandwidth: Bandwidth,
}

impl Attachment {
    /// Whether it is a port of our bridge.
    #[must_use]
    pub fn is_bridged(&self) -> bool {
        self.origin == LinkOrigin::Own
            && self.link.as_ref().is_some_and(|link| link.mode == NetworkMode::Bridge)
    }

    /// Name of an attachment's file below `attachments/`. `a-b` with `c` has the same as `a` with `b-c`.
    #[must_use]
    pub fn file_name(container_id: &str, ifname: &LinkName) -> String {
        format!("{container_id}-{ifname}.json")
    }

    /// Who has it: the Pod, or where the runtime knows of no Pods, the container, in no Namespace.
    #[must_use]
    pub fn owner(&self) -> PodName {
        self.pod.clone().unwrap_or_else(|| PodName::new("", self.container_id.clone()))
    }
}

/// What the plugin asks of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AgentRequest {
    /// Answer when this attachment's policy and routes are in the kernel, so that the Pod may start.
    Added {
        /// `CNI_CONTAINERID`.
        container_id: String,
        /// `CNI_IFNAME`.
        ifname: LinkName,
    },
    /// This attachment is gone; answered at once.
    Removed {
        /// `CNI_CONTAINERID`.
        container_id: String,
        /// `CNI_IFNAME`.
        ifname: LinkName,
    },
    /// Whether ADD can be served.
    Status,
    /// Whether it can be behind another plugin, which gives the addresses.
    ChainedStatus,
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AgentAnswer {
    /// Done, at this plan revision.
    Ready {
        /// Revision of the plan in the kernel.
        revision: u64,
    },
    /// Not possible now; worth another try.
    TryLater {
        /// Why, for a person.
        reason: String,
    },
    /// Not possible, as long as somebody else has what the attachment asks for.
    Refused {
        /// Why, for a person.
        reason: String,
    },
}
