//! NetworkPolicy for this node's Pods: selectors become addresses, port names become numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{NetworkPolicy, Pod, Snapshot};
use plan::{Isolation, PeerSet, Peers, PodPolicy, PolicyPorts, PolicyRule, PolicyTable};
use types::{NamespacedName, PodName};

use crate::NodeContext;
use crate::pods::PodDirectory;

mod peers;
mod ports;

use peers::PeerIndex;

pub(crate) fn compile(snapshot: &Snapshot, context: &NodeContext, pods: &PodDirectory<'_>) -> PolicyTable {
    let mut compiler = Compiler {
        peers: PeerIndex::new(snapshot, context, pods),
        sets: PeerSets::default(),
        egress_rules: BTreeMap::new(),
        peer_sets_of: BTreeMap::new(),
    };
    let mut by_namespace: BTreeMap<&str, Vec<&NetworkPolicy>> = BTreeMap::new();
    for policy in snapshot.network_policies.values() {
        by_namespace.entry(&policy.name.namespace).or_default().push(policy);
    }
    let mut table = PolicyTable::default();
    for (address, name) in pods.local() {
        let policies = by_namespace.get(name.namespace.as_str()).map(Vec::as_slice).unwrap_or_default();
        let policy = match pods.object(name) {
            Some(pod) => compiler.pod_policy(pod, policies),
            None => closed(name, policies),
        };
        table.pods.insert(*address, policy);
    }
    table.peer_sets = compiler.sets.in_order;
    table
}

/// Whether what a Pod of another node is, or was, can make a difference to the policy of Pods in these Namespaces.
pub(crate) fn may_be_peer(snapshot: &Snapshot, namespaces: &BTreeSet<&str>, pod: &Pod) -> bool {
    namespaces.iter().any(|namespace| {
        let first = NamespacedName::new(*namespace, "");
        let policies = snapshot.network_policies.iter_from(&first);
        let mut policies =
            policies.map(|(_, policy)| policy).take_while(|policy| policy.name.namespace == **namespace);
        policies.any(|policy| {
            let rules = policy.ingress.iter().chain(&policy.egress).flatten();
            rules.into_iter().any(|rule| peers::may_be_peer(snapshot, namespace, rule, pod))
        })
    })
}

/// A Pod that runs here and that the API has not told us of: its labels are unknown, so every policy of its
/// Namespace isolates it and none allows anything.
fn closed(name: &PodName, policies: &[&NetworkPolicy]) -> PodPolicy {
    let isolation = |isolates: fn(&NetworkPolicy) -> bool| {
        let isolating = policies.iter().filter(|policy| isolates(policy));
        let policies: BTreeSet<NamespacedName> = isolating.map(|policy| policy.name.clone()).collect();
        (!policies.is_empty()).then_some(Isolation { policies, rules: Vec::new() })
    };
    PodPolicy {
        pod: name.clone(),
        ingress: isolation(|policy| policy.ingress.is_some()),
        egress: isolation(|policy| policy.egress.is_some()),
    }
}

/// Peer sets, each held once.
#[derive(Default)]
struct PeerSets {
    in_order: Vec<PeerSet>,
    index_of: BTreeMap<PeerSet, usize>,
}

impl PeerSets {
    fn intern(&mut self, set: PeerSet) -> Peers {
        if let Some(index) = self.index_of.get(&set) {
            return Peers::Set(*index);
        }
        let index = self.in_order.len();
        self.in_order.push(set.clone());
        self.index_of.insert(set, index);
        Peers::Set(index)
    }
}

/// A policy and the index of one of its rules.
type RuleKey<'a> = (&'a NamespacedName, usize);

/// Works out each policy's rules once, however many Pods the policy selects.
struct Compiler<'a> {
    peers: PeerIndex<'a>,
    sets: PeerSets,
    egress_rules: BTreeMap<RuleKey<'a>, Vec<PolicyRule>>,
    peer_sets_of: BTreeMap<RuleKey<'a>, Peers>,
}

impl<'a> Compiler<'a> {
    fn pod_policy(&mut self, pod: &Pod, policies: &[&'a NetworkPolicy]) -> PodPolicy {
        let mut ingress: Option<Isolation> = None;
        let mut egress: Option<Isolation> = None;
        for policy in policies.iter().filter(|policy| policy.pod_selector.matches(&pod.labels)) {
            if let Some(rules) = &policy.ingress {
                let isolation = ingress.get_or_insert_with(no_rules);
                isolation.policies.insert(policy.name.clone());
                isolation.rules.extend(rules.iter().map(|rule| self.ingress_rule(policy, rule, pod)));
            }
            if let Some(rules) = &policy.egress {
                let isolation = egress.get_or_insert_with(no_rules);
                isolation.policies.insert(policy.name.clone());
                for rule in rules {
                    isolation.rules.extend(self.egress_rules(policy, rule));
                }
            }
        }
        PodPolicy { pod: pod.name.clone(), ingress, egress }
    }

    /// Port names are those of the Pod itself, which is the destination.
    fn ingress_rule(
        &mut self,
        policy: &'a NetworkPolicy,
        rule: &'a model::PolicyRule,
        pod: &Pod,
    ) -> PolicyRule {
        let key = (&policy.name, rule.index);
        let peers = match self.peer_sets_of.get(&key) {
            Some(peers) => peers.clone(),
            None => {
                let peers = match &rule.peers {
                    None => Peers::Any,
                    Some(entries) => {
                        self.sets.intern(self.peers.resolve(&policy.name.namespace, entries).into_set())
                    }
                };
                self.peer_sets_of.insert(key, peers.clone());
                peers
            }
        };
        let ports = match &rule.ports {
            None => PolicyPorts::Any,
            Some(ports) => {
                let named = |name: &str, protocol| pod.named_port(name, protocol);
                PolicyPorts::Only(ports::resolve(ports, named))
            }
        };
        PolicyRule { policy: policy.name.clone(), index: rule.index, peers, ports }
    }

    /// Port names are those of each peer, so peers with other numbers get a rule of their own.
    fn egress_rules(&mut self, policy: &'a NetworkPolicy, rule: &'a model::PolicyRule) -> Vec<PolicyRule> {
        let key = (&policy.name, rule.index);
        if let Some(rules) = self.egress_rules.get(&key) {
            return rules.clone();
        }
        let groups = self.egress_groups(policy, rule);
        let rules: Vec<PolicyRule> = groups
            .into_iter()
            .map(|(ports, peers)| PolicyRule {
                policy: policy.name.clone(),
                index: rule.index,
                peers: match peers {
                    None => Peers::Any,
                    Some(set) => self.sets.intern(set),
                },
                ports,
            })
            .collect();
        self.egress_rules.insert(key, rules.clone());
        rules
    }

    /// Peers of a rule (`None` for everybody) by the ports that are allowed at them.
    fn egress_groups(
        &self,
        policy: &NetworkPolicy,
        rule: &model::PolicyRule,
    ) -> Vec<(PolicyPorts, Option<PeerSet>)> {
        let namespace = &policy.name.namespace;
        let resolved = rule.peers.as_ref().map(|entries| self.peers.resolve(namespace, entries));
        let Some(ports) = &rule.ports else {
            return vec![(PolicyPorts::Any, resolved.map(peers::Resolved::into_set))];
        };
        let numbers = ports::resolve(ports, |_, _| None);
        if !ports::has_names(ports) {
            return vec![(PolicyPorts::Only(numbers), resolved.map(peers::Resolved::into_set))];
        }
        let everybody = resolved.is_none();
        let blocks = resolved.as_ref().map(|resolved| resolved.blocks.clone()).unwrap_or_default();
        let pods = resolved.map_or_else(|| self.peers.everyone(), |resolved| resolved.pods);
        let mut groups: BTreeMap<_, BTreeSet<IpAddr>> = BTreeMap::new();
        for (address, pod) in pods {
            let ports = ports::resolve(ports, |name, protocol| pod.named_port(name, protocol));
            groups.entry(ports).or_default().insert(address);
        }
        // Addresses outside the cluster have no port names: only the numbers are allowed there.
        let same = groups.remove(&numbers).unwrap_or_default();
        let plain = (!everybody).then_some(PeerSet { addresses: same, blocks });
        let with_names = groups
            .into_iter()
            .map(|(ports, addresses)| (ports, Some(PeerSet { addresses, blocks: BTreeSet::new() })));
        let mut rules: Vec<_> = std::iter::once((numbers, plain)).chain(with_names).collect();
        let allows_any = |(ports, peers): &(BTreeSet<_>, Option<PeerSet>)| {
            !ports.is_empty() && *peers != Some(PeerSet::default())
        };
        if rules.iter().any(allows_any) {
            rules.retain(allows_any);
        } else {
            rules.truncate(1);
        }
        rules.into_iter().map(|(ports, peers)| (PolicyPorts::Only(ports), peers)).collect()
    }
}

fn no_rules() -> Isolation {
    Isolation { policies: BTreeSet::new(), rules: Vec::new() }
}
