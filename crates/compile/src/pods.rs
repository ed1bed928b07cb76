//! Where Pods are: what the API says, merged with what this node's CNI plugin already knows.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{Pod, Snapshot};
use types::{NodeName, PodName, SharedMap};

use crate::NodeContext;

/// Addresses of every Pod that has a network namespace of its own.
pub(crate) struct PodDirectory<'a> {
    local: BTreeMap<IpAddr, PodName>,
    /// Addresses of this node's Pods, and of those that its attachments speak of; the API alone knows of the others.
    here: BTreeMap<PodName, BTreeSet<IpAddr>>,
    of_node: Vec<&'a Pod>,
    pods: &'a SharedMap<PodName, Pod>,
}

/// The Pods that run on a node as the API says.
pub(crate) fn pods_of_node(snapshot: &Snapshot, node: &NodeName) -> BTreeSet<PodName> {
    let here = snapshot.pods.values().filter(|pod| pod.node.as_ref() == Some(node));
    here.map(|pod| pod.name.clone()).collect()
}

impl<'a> PodDirectory<'a> {
    /// Attachments decide which local Pod has an address: the API hears of it later, and of its end later too.
    ///
    /// `local` are the node's Pods as the API says.
    pub(crate) fn new(snapshot: &'a Snapshot, context: &NodeContext, local: &BTreeSet<PodName>) -> Self {
        let known = |name: &PodName| -> BTreeSet<IpAddr> {
            let pod = snapshot.pods.get(name).filter(|pod| has_own_network(pod));
            pod.into_iter().flat_map(|pod| pod.addresses.iter().copied()).collect()
        };
        let mut by_address = BTreeMap::new();
        let mut here: BTreeMap<PodName, BTreeSet<IpAddr>> = BTreeMap::new();
        let of_node: Vec<&Pod> = local.iter().filter_map(|name| snapshot.pods.get(name)).collect();
        for pod in of_node.iter().filter(|pod| has_own_network(pod)) {
            here.insert(pod.name.clone(), pod.addresses.iter().copied().collect());
            by_address.extend(pod.addresses.iter().map(|address| (*address, pod.name.clone())));
        }
        for attachment in context.attachments.values() {
            let Some(pod) = &attachment.pod else { continue };
            for address in &attachment.addresses {
                let api_says = by_address.insert(*address, pod.clone());
                if let Some(stale) = api_says.filter(|other| other != pod) {
                    let addresses = here.entry(stale).or_insert_with_key(known);
                    addresses.remove(address);
                }
                here.entry(pod.clone()).or_insert_with_key(known).insert(*address);
            }
        }
        Self { local: by_address, here, of_node, pods: &snapshot.pods }
    }

    /// This node's Pods by address.
    pub(crate) fn local(&self) -> &BTreeMap<IpAddr, PodName> {
        &self.local
    }

    /// This node's Pods as the API says, in order.
    pub(crate) fn of_node(&self) -> impl Iterator<Item = &'a Pod> {
        self.of_node.iter().copied()
    }

    /// The API object, when the API has told us of it.
    pub(crate) fn object(&self, name: &PodName) -> Option<&'a Pod> {
        self.pods.get(name)
    }

    /// Every Pod of the API with its addresses.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'a Pod, Cow<'_, BTreeSet<IpAddr>>)> {
        self.pods.iter().filter_map(|(name, pod)| match self.here.get(name) {
            Some(addresses) => Some((pod, Cow::Borrowed(addresses))),
            None if has_own_network(pod) => Some((pod, Cow::Owned(pod.addresses.iter().copied().collect()))),
            None => None,
        })
    }
}

/// Whether the Pod has addresses that are its own: neither the node's, nor those of a Pod that came after it.
pub(crate) fn has_own_network(pod: &Pod) -> bool {
    !pod.host_network && !pod.finished
}
