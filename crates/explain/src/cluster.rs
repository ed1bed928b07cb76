//! The plans of all nodes, and who is where.

use std::collections::BTreeMap;
use std::net::IpAddr;

use plan::{FrontendAddress, NodePlan};
use types::{NodeName, PodName, Port, Protocol};

use crate::Client;

/// The plans of all nodes.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// One plan per node.
    pub plans: BTreeMap<NodeName, NodePlan>,
}

/// A client with all that is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The address it uses; none for somebody outside whose address was not said.
    pub(crate) address: Option<IpAddr>,
    /// All its addresses.
    pub(crate) addresses: Vec<IpAddr>,
    /// The node whose rules its packets meet first; none outside.
    pub(crate) node: Option<NodeName>,
    /// The Pod, when it is one.
    pub(crate) pod: Option<PodName>,
}

impl Source {
    pub(crate) fn of(addresses: Vec<IpAddr>, node: Option<NodeName>, pod: Option<PodName>) -> Self {
        Self { address: addresses.first().copied(), addresses, node, pod }
    }

    /// The same client as it goes to an address: with its own address of that family; `None` when it has none.
    pub(crate) fn towards(self, address: IpAddr) -> Option<Self> {
        let is_alike = |own: &&IpAddr| own.is_ipv4() == address.is_ipv4();
        match self.addresses.iter().find(is_alike).copied() {
            Some(own) => Some(Self { address: Some(own), ..self }),
            None => self.addresses.is_empty().then_some(self),
        }
    }
}

impl Cluster {
    /// Everything known about a client; `None` when there is no such Pod or Node.
    pub(crate) fn source(&self, client: &Client) -> Option<Source> {
        match client {
            Client::Pod(pod) => {
                let (_, node) = self.pod_address(pod)?;
                let pods = self.plans.get(node).map(|plan| plan.podnet.local_pods.iter());
                let own = pods.into_iter().flatten().filter(|(_, name)| *name == pod);
                let addresses = own.map(|(address, _)| *address).collect();
                Some(Source::of(addresses, Some(node.clone()), Some(pod.clone())))
            }
            Client::Node(name) => {
                let plan = self.plans.get(name)?;
                let addresses = plan.services.node_addresses.iter().copied().collect();
                Some(Source::of(addresses, Some(name.clone()), None))
            }
            Client::Outside(address) => match address.and_then(|address| self.pod_at(address)) {
                Some((pod, node)) => {
                    let addresses = address.iter().copied().collect();
                    Some(Source::of(addresses, Some(node.clone()), Some(pod.clone())))
                }
                None => {
                    let node = address.and_then(|address| self.node_at(address));
                    let addresses = address.iter().copied().collect();
                    Some(Source::of(addresses, node.map(|plan| plan.node.clone()), None))
                }
            },
        }
    }

    /// A Pod's first address and its node.
    pub(crate) fn pod_address(&self, pod: &PodName) -> Option<(IpAddr, &NodeName)> {
        self.plans.values().find_map(|plan| {
            let (address, _) = plan.podnet.local_pods.iter().find(|(_, name)| *name == pod)?;
            Some((*address, &plan.node))
        })
    }

    /// The Pod that has an address, and its node.
    pub(crate) fn pod_at(&self, address: IpAddr) -> Option<(&PodName, &NodeName)> {
        self.plans.values().find_map(|plan| Some((plan.podnet.local_pods.get(&address)?, &plan.node)))
    }

    /// The ports that a Service's address has.
    pub(crate) fn service_ports(&self, address: IpAddr) -> Vec<(Port, Protocol)> {
        let frontends = self.plans.values().next().map(|plan| plan.services.frontends.keys());
        let at_address = frontends
            .into_iter()
            .flatten()
            .filter(|frontend| frontend.address == FrontendAddress::Vip(address));
        at_address.map(|frontend| (frontend.port, frontend.protocol)).collect()
    }

    /// The plan of the node that has an address on the underlay.
    pub(crate) fn node_at(&self, address: IpAddr) -> Option<&NodePlan> {
        self.plans.values().find(|plan| plan.services.node_addresses.contains(&address))
    }

    /// The plan whose rules a packet from `source` to `address` meets first.
    pub(crate) fn deciding_plan(&self, source: &Source, address: IpAddr) -> Option<&NodePlan> {
        let own = source.node.as_ref().and_then(|node| self.plans.get(node));
        let announcing = || self.plans.values().find(|plan| plan.lb.announce.contains_key(&address));
        own.or_else(|| self.node_at(address)).or_else(announcing).or_else(|| self.plans.values().next())
    }

    /// A person's name for an address.
    pub(crate) fn describe(&self, address: IpAddr) -> String {
        match self.pod_at(address) {
            Some((pod, node)) => format!("Pod {pod} on {node}"),
            None => match self.node_at(address) {
                Some(plan) => format!("Node {}", plan.node),
                None => address.to_string(),
            },
        }
    }
}
