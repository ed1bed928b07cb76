//! What a lab is asked to be, as meant.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::address::LabFamilies;

/// What a lab is asked to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabSettings {
    /// How many nodes, 1 to 26.
    pub nodes: u8,
    /// Which address families the cluster has.
    pub families: LabFamilies,
    /// Directory with everything that belongs to the running lab.
    pub state_dir: PathBuf,
    /// Directory where the cluster's objects survive; none forgets them.
    pub data_dir: Option<PathBuf>,
    /// Image map file, in front of the built-in one.
    pub image_map: Option<PathBuf>,
    /// How Pods of different nodes reach each other.
    pub node_path: NodePath,
    /// Further flags about the Pod network that every agent is started with, as typed.
    pub agent_flags: Vec<String>,
    /// Ports on the host's loopback.
    pub ports: PortWishes,
    /// Filter of the logs of all processes of the lab, as `RUST_LOG`.
    pub log: String,
}

/// How Pods of different nodes reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodePath {
    /// Through VXLAN.
    #[default]
    Vxlan,
    /// By routes.
    Direct,
    /// By routes within a subnet, else through VXLAN.
    Auto,
}

impl NodePath {
    /// Its word on command lines.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            Self::Direct => "direct",
            Self::Auto => "auto",
        }
    }
}

/// Ports wished for on the host's loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortWishes {
    /// The API.
    pub api: PortWish,
    /// HTTP entry.
    pub http: PortWish,
    /// HTTPS entry.
    pub https: PortWish,
    /// DNS, UDP and TCP.
    pub dns: PortWish,
}

/// One port wished for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PortWish {
    /// This one if it is free, else any.
    Preferably(u16),
    /// This one; 0 means any.
    Exactly(u16),
}

impl Default for PortWishes {
    fn default() -> Self {
        Self {
            api: PortWish::Preferably(16443),
            http: PortWish::Preferably(18080),
            https: PortWish::Preferably(18443),
            dns: PortWish::Preferably(15353),
        }
    }
}
