//! Peers of a policy rule: which Pods a selector means, and their addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{ContainerPort, Pod, PolicyPeer, PolicyRule, Snapshot};
use plan::{IpBlock, PeerSet};
use types::{LabelSelector, Labels, Port, Protocol, Shared};

use super::ports;
use crate::NodeContext;
use crate::pods::PodDirectory;

/// Namespace and labels under which the cluster DNS address can be selected, as if it were a Pod; every DNS add-on
/// carries this label (kubernetes `cluster/addons/dns`).
const DNS_NAMESPACE: &str = "kube-system";
const DNS_LABEL: (&str, &str) = ("k8s-app", "kube-dns");
/// The port DNS is asked on (RFC 1035 section 4.2).
const DNS_PORT: Port = Port::new(53).expect("53 is not 0");
/// Port names of the DNS add-on.
const DNS_PORTS: [(&str, Protocol); 2] = [("dns", Protocol::Udp), ("dns-tcp", Protocol::Tcp)];

/// Everything a selector can select.
pub(super) struct PeerIndex<'a> {
    snapshot: &'a Snapshot,
    pods: Vec<PeerPod>,
}

/// Something with labels and addresses in a Namespace: a Pod, or the cluster DNS.
#[derive(Clone, Debug)]
pub(super) struct PeerPod {
    namespace: String,
    labels: Shared<Labels>,
    addresses: BTreeSet<IpAddr>,
    ports: Vec<ContainerPort>,
}

impl PeerPod {
    pub(super) fn named_port(&self, name: &str, protocol: Protocol) -> Option<Port> {
        let mut ports = self.ports.iter();
        ports
            .find(|port| port.protocol == protocol && port.name.as_deref() == Some(name))
            .map(|port| port.port)
    }
}

/// What a list of peers stands for.
pub(super) struct Resolved<'a> {
    /// Selected Pods by address.
    pub(super) pods: BTreeMap<IpAddr, &'a PeerPod>,
    /// `ipBlock` entries.
    pub(super) blocks: BTreeSet<IpBlock>,
}

impl Resolved<'_> {
    pub(super) fn into_set(self) -> PeerSet {
        PeerSet { addresses: self.pods.into_keys().collect(), blocks: self.blocks }
    }
}

impl<'a> PeerIndex<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, context: &NodeContext, pods: &PodDirectory<'a>) -> Self {
        // Without a policy nobody asks.
        let api = pods.all().take_while(|_| !snapshot.network_policies.is_empty());
        let api = api.filter(|(_, addresses)| !addresses.is_empty()).map(|(pod, addresses)| PeerPod {
            namespace: pod.name.namespace.clone(),
            labels: pod.labels.clone(),
            addresses: addresses.into_owned(),
            ports: pod.ports.clone(),
        });
        Self { snapshot, pods: api.chain([cluster_dns(context)]).collect() }
    }

    /// Every Pod by address.
    pub(super) fn everyone(&self) -> BTreeMap<IpAddr, &PeerPod> {
        by_address(self.pods.iter())
    }

    /// The peers that a policy in this Namespace means.
    pub(super) fn resolve(&self, namespace: &str, entries: &[PolicyPeer]) -> Resolved<'_> {
        let mut resolved = Resolved { pods: BTreeMap::new(), blocks: BTreeSet::new() };
        for entry in entries {
            match entry {
                PolicyPeer::Block { cidr, except } => {
                    resolved.blocks.insert(IpBlock { cidr: *cidr, except: except.clone() });
                }
                PolicyPeer::Pods { pods, namespaces } => {
                    let in_namespace = |pod: &&PeerPod| match namespaces {
                        None => pod.namespace == namespace,
                        Some(selector) => selects_namespace(self.snapshot, selector, &pod.namespace),
                    };
                    let selected = self.pods.iter().filter(|pod| pods.matches(&pod.labels));
                    resolved.pods.extend(by_address(selected.filter(in_namespace)));
                }
            }
        }
        resolved
    }
}

/// Whether a rule in this Namespace may mean this Pod, whatever its addresses.
pub(super) fn may_be_peer(snapshot: &Snapshot, namespace: &str, rule: &PolicyRule, pod: &Pod) -> bool {
    let Some(entries) = &rule.peers else {
        // Everybody; but of ports with names, each Pod's own number counts.
        return rule.ports.as_ref().is_some_and(|ports| ports::has_names(ports));
    };
    entries.iter().any(|entry| match entry {
        PolicyPeer::Block { .. } => false,
        PolicyPeer::Pods { pods, namespaces: None } => {
            pod.name.namespace == namespace && pods.matches(&pod.labels)
        }
        PolicyPeer::Pods { pods, namespaces: Some(selector) } => {
            pods.matches(&pod.labels) && selects_namespace(snapshot, selector, &pod.name.namespace)
        }
    })
}

/// A Namespace that is not known has no labels to judge by, and is not selected.
fn selects_namespace(snapshot: &Snapshot, selector: &LabelSelector, name: &str) -> bool {
    snapshot.namespaces.get(name).is_some_and(|namespace| selector.matches(&namespace.labels))
}

fn by_address<'p>(pods: impl Iterator<Item = &'p PeerPod>) -> BTreeMap<IpAddr, &'p PeerPod> {
    pods.flat_map(|pod| pod.addresses.iter().map(move |address| (*address, pod))).collect()
}

fn cluster_dns(context: &NodeContext) -> PeerPod {
    let port = |(name, protocol): (&str, Protocol)| ContainerPort {
        name: Some(name.to_owned()),
        port: DNS_PORT,
        protocol,
        host_port: None,
        host_ip: None,
    };
    PeerPod {
        namespace: DNS_NAMESPACE.to_owned(),
        labels: Labels::from([(DNS_LABEL.0.to_owned(), DNS_LABEL.1.to_owned())]).into(),
        addresses: context.dns_addresses.clone(),
        ports: DNS_PORTS.into_iter().map(port).collect(),
    }
}
