//! Where Pods are: what the API says, merged with what this node's CNI plugin already knows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{Pod, Snapshot};
use types::PodName;

use crate::NodeContext;

/// Addresses of every Pod that has a network namespace of its own.
pub(crate) struct PodDirectory<'a> {
    addresses: BTreeMap<PodName, BTreeSet<IpAddr>>,
    local: BTreeMap<IpAddr, PodName>,
    pods: &'a BTreeMap<PodName, Pod>,
}

impl<'a> PodDirectory<'a> {
    /// Attachments decide which local Pod has an address: the API hears of it later, and of its end later too.
    pub(crate) fn new(snapshot: &'a Snapshot, context: &NodeContext) -> Self {
        let mut local = BTreeMap::new();
        let mut addresses: BTreeMap<PodName, BTreeSet<IpAddr>> = BTreeMap::new();
        for pod in snapshot.pods.values().filter(|pod| has_own_network(pod)) {
            addresses.entry(pod.name.clone()).or_default().extend(&pod.addresses);
            if pod.node.as_ref() == Some(&context.node) {
                local.extend(pod.addresses.iter().map(|address| (*address, pod.name.clone())));
            }
        }
        for attachment in context.attachments.values() {
            let Some(pod) = &attachment.pod else { continue };
            for address in &attachment.addresses {
                let api_says = local.insert(*address, pod.clone());
                if let Some(stale) = api_says.filter(|other| other != pod) {
                    addresses.entry(stale).or_default().remove(address);
                }
                addresses.entry(pod.clone()).or_default().insert(*address);
            }
        }
        Self { addresses, local, pods: &snapshot.pods }
    }

    /// This node's Pods by address.
    pub(crate) fn local(&self) -> &BTreeMap<IpAddr, PodName> {
        &self.local
    }

    /// The API object, when the API has told us of it.
    pub(crate) fn object(&self, name: &PodName) -> Option<&'a Pod> {
        self.pods.get(name)
    }

    /// Every Pod of the API with its addresses.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'a Pod, &BTreeSet<IpAddr>)> {
        self.addresses.iter().filter_map(|(name, addresses)| Some((self.pods.get(name)?, addresses)))
    }
}

/// Whether the Pod has addresses that are its own: neither the node's, nor those of a Pod that came after it.
pub(crate) fn has_own_network(pod: &Pod) -> bool {
    !pod.host_network && !pod.finished
}
