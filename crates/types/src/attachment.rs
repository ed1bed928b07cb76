//! What the CNI plugin and the node agent tell each other: files in the node's state directory, and one question.
//!
//! Layout of a state directory: `network.json` holds a [`NodeNetwork`], written by the agent;
//! `attachments/<container ID>-<ifname>.json` holds one [`Attachment`] each, written by the plugin;
//! `agent.sock` is a unix stream socket on which the agent answers one [`AgentRequest`] per connection,
//! both sides as one line of JSON. `last-given.json`, `released/`, `lock` and unfinished files (`*.tmp`) are the plugin's alone.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{LinkName, Mac, PodName, Prefix};

/// How Pods of one node are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// One host route per Pod and no bridge.
    #[default]
    Routed,
}

/// What the agent knows about its node and the plugin needs for ADD.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeNetwork {
    /// Ranges from which this node's Pods get addresses, at most one per family.
    pub pod_cidrs: Vec<Prefix>,
    /// MTU of Pod links, in bytes.
    pub mtu: u32,
    /// How Pods are joined.
    pub mode: NetworkMode,
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
    /// The Pod's addresses, at most one per family.
    pub addresses: Vec<IpAddr>,
    /// Link on the node's side.
    pub host_link: LinkName,
    /// Link-layer address of the node's side.
    pub host_mac: Mac,
    /// Link-layer address of the Pod's side.
    pub pod_mac: Mac,
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
}
