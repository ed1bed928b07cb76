//! What `sealane status` knows of one Node: what its agent tells, and what its plan says.

use std::net::IpAddr;

use plan::{NodePlan, Peer, PeerPath, Via};
use serde::Serialize;
use types::{FailingPath, NetworkMode, PathFacts, Prefix};

/// One Node.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeStatus {
    pub(super) name: String,
    pub(super) ready: bool,
    pub(super) address: String,
    pub(super) zone: String,
    pub(super) pods: usize,
    /// Whether its agent has told of it; without that, modes and MTU are guessed.
    pub(super) told: bool,
    /// How Pods are joined to it; none while the agent has not told.
    pub(super) links: Option<NetworkMode>,
    /// MTU of the link that faces the other nodes; none while the agent has not told.
    pub(super) link_mtu: Option<u32>,
    /// Size of the largest packets that Pods send to other nodes.
    pub(super) path_mtu: u32,
    pub(super) pools: Vec<Pool>,
    pub(super) peers: Vec<PeerStatus>,
}

/// One of the Node's Pod ranges.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pool {
    pub(super) range: Prefix,
    /// Addresses that Pods have, by the API.
    pub(super) used: usize,
    /// Addresses that Pods can have, and freed ones that rest, as the agent told last; it does not tell of every Pod.
    pub(super) size: Option<u64>,
    pub(super) resting: Option<u64>,
}

/// The way to another Node.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PeerStatus {
    pub(super) name: String,
    pub(super) underlay: IpAddr,
    pub(super) paths: Vec<PathStatus>,
    pub(super) proved: Proved,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failing: Option<FailingPath>,
}

/// The way to one of its Pod ranges.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PathStatus {
    pub(super) range: Prefix,
    pub(super) mode: &'static str,
    pub(super) mtu: u32,
}

/// Whether packets of full size were seen to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Proved {
    Yes,
    No,
    /// Not probed yet, or not known who fails.
    Unknown,
}

impl NodeStatus {
    pub(super) fn new(node: &model::Node, plan: Option<&NodePlan>) -> Self {
        let facts = node.network.facts();
        let podnet = plan.map(|plan| &plan.podnet);
        let paths = facts.map(|facts| &facts.paths);
        let peers = podnet.into_iter().flat_map(|podnet| &podnet.peers);
        let pool = |range: &Prefix| {
            let told = facts.and_then(|facts| facts.pools.iter().find(|pool| pool.range == *range));
            let local = podnet.into_iter().flat_map(|podnet| podnet.local_pods.keys());
            Pool {
                range: *range,
                used: local.filter(|address| range.contains(**address)).count(),
                size: told.map(|told| told.size),
                resting: told.map(|told| told.resting),
            }
        };
        Self {
            name: node.name.to_string(),
            ready: node.ready,
            address: node.addresses.first().map(ToString::to_string).unwrap_or_default(),
            zone: node.zone.as_deref().unwrap_or_default().to_owned(),
            pods: podnet.map_or(0, |podnet| podnet.local_pods.len()),
            told: facts.is_some(),
            links: facts.map(|facts| facts.links),
            link_mtu: facts.map(|facts| facts.underlay.mtu),
            path_mtu: podnet.map_or(0, |podnet| podnet.link.path_mtu),
            pools: node.pod_cidrs.iter().map(pool).collect(),
            peers: peers.map(|(name, peer)| peer_status(name.as_str(), peer, paths)).collect(),
        }
    }
}

fn peer_status(name: &str, peer: &Peer, paths: Option<&PathFacts>) -> PeerStatus {
    let path = |(range, path): (&Prefix, &PeerPath)| PathStatus {
        range: *range,
        mode: match path.via {
            Via::Vxlan { .. } => "vxlan",
            Via::Direct { .. } => "direct",
        },
        mtu: path.mtu,
    };
    let proved = match paths {
        _ if peer.failing.is_some() => Proved::No,
        Some(paths) if paths.probed && paths.more_failing == 0 => Proved::Yes,
        _ => Proved::Unknown,
    };
    PeerStatus {
        name: name.to_owned(),
        underlay: peer.underlay,
        paths: peer.paths.iter().map(path).collect(),
        proved,
        failing: peer.failing,
    }
}
