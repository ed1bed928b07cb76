//! What is remembered of Pods: which are on this node, and which have an address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::LazyLock;

use model::{Pod, Snapshot};
use plan::Frontend;
use types::{Attachment, Difference, LinkName, NamespacedName, PodName};

use super::State;
use super::changes::Changes;
use crate::pods::has_own_network;
use crate::{NodeContext, policy};

type Attachments = BTreeMap<(String, LinkName), Attachment>;

/// Indexes of Pods that the next compilation starts from.
#[derive(Debug, Default)]
pub(super) struct KnownPods {
    /// This node's, as the API says.
    pub(super) local: BTreeSet<PodName>,
    /// Host ports that this node's Pods ask for, whether or not they have them.
    pub(super) host_ports: BTreeSet<Frontend>,
    by_address: BTreeSet<(IpAddr, PodName)>,
}

impl KnownPods {
    /// Takes note of changed Pods; whether anything about this node's own is new, or about its attachments.
    pub(super) fn follow(
        &mut self,
        changes: &Changes<'_>,
        before: &Attachments,
        context: &NodeContext,
    ) -> bool {
        let attached: BTreeSet<&PodName> = match changes.pods.is_empty() {
            true => BTreeSet::new(),
            false => context.attachments.values().filter_map(|attachment| attachment.pod.as_ref()).collect(),
        };
        let mut is_here_new = *before != context.attachments;
        let mut added = Vec::new();
        for pod in &changes.pods {
            let is_here = |pod: &Pod| pod.node.as_ref() == Some(&context.node);
            is_here_new |= attached.contains(pod.key) || pod.old.is_some_and(is_here);
            if let Some(old) = pod.old {
                for address in old.addresses.iter().filter(|_| has_own_network(old)) {
                    self.by_address.remove(&(*address, old.name.clone()));
                }
            }
            if let Some(new) = pod.new {
                let addresses = new.addresses.iter().filter(|_| has_own_network(new));
                added.extend(addresses.map(|address| (*address, new.name.clone())));
            }
            if pod.new.is_some_and(is_here) {
                is_here_new = true;
                self.local.insert(pod.key.clone());
            } else {
                self.local.remove(pod.key);
            }
        }
        match self.by_address.is_empty() {
            // In one go, which leaves no gaps.
            true => self.by_address = added.into_iter().collect(),
            false => self.by_address.extend(added),
        }
        is_here_new
    }

    /// The last Pod by name that has this address.
    pub(super) fn last_at(&self, address: IpAddr) -> Option<&PodName> {
        static LOWEST: LazyLock<PodName> = LazyLock::new(|| NamespacedName::new("", ""));
        let first = (address, LOWEST.clone());
        let all = self.by_address.range(first..).take_while(|(other, _)| *other == address);
        all.last().map(|(_, pod)| pod)
    }
}

impl State {
    /// Whether a Pod of another node is, or was, somebody whom a policy of this node's Pods may mean.
    pub(super) fn may_be_peer(&self, snapshot: &Snapshot, pod: &Difference<'_, PodName, Pod>) -> bool {
        if snapshot.network_policies.is_empty() {
            return false;
        }
        let here = self.plan.policy.pods.values().map(|policy| &*policy.pod.namespace);
        let namespaces: BTreeSet<&str> = here.collect();
        let mut sides = [pod.old, pod.new].into_iter().flatten();
        sides.any(|pod| policy::may_be_peer(snapshot, &namespaces, pod))
    }
}
