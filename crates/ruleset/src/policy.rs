//! NetworkPolicy: isolated Pods, identities of peers, and what each Pod allows, as exact keys.
//!
//! Addresses that are in the same peer sets share an identity. A connection is allowed by an element of (Pod,
//! identity, protocol, port), or of fewer of these where a rule does not care.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use plan::{IpBlock, Isolation, Peers, PolicyPorts, PolicyRule, PolicyTable};
use types::{IpFamily, Prefix, Protocol};

use crate::render::{Numbering, member, numbered, put};
use crate::segment::{after, as_key, before, boundaries, highest};
use crate::value::{Key, Ruleset, Value};

/// Indexes of the peer sets an address is in.
type Membership = BTreeSet<usize>;

/// Seen from the Pod.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

pub(crate) fn fill(rules: &mut Ruleset, table: &PolicyTable) {
    let names = peer_set_names(table);
    for family in [IpFamily::V4, IpFamily::V6] {
        let identities = Identities::of(table, &names, family);
        identities.fill(rules, family);
        for (address, pod) in table.pods.iter().filter(|(address, _)| IpFamily::of(**address) == family) {
            for (direction, isolation) in
                [(Direction::Ingress, &pod.ingress), (Direction::Egress, &pod.egress)]
            {
                let Some(isolation) = isolation.as_ref().filter(|isolation| !allows_all(isolation)) else {
                    continue;
                };
                let policies: Vec<String> = isolation.policies.iter().map(ToString::to_string).collect();
                let comment = format!("{} {}: {}", pod.pod, direction.word(), policies.join(" "));
                let key = Key::exact(vec![Value::Address(*address)]);
                for set in ["isolated", "denied"] {
                    put(rules, &format!("{set}_{}", direction.word()), family, key.clone(), member(&comment));
                }
                fill_allowed(rules, *address, direction, isolation, &identities);
            }
        }
    }
}

/// Whether one rule lets everything through, so that the Pod need not be isolated in this direction.
fn allows_all(isolation: &Isolation) -> bool {
    isolation.rules.iter().any(|rule| rule.peers == Peers::Any && rule.ports == PolicyPorts::Any)
}

// === peers ===

/// A name for each peer set that some rule uses: the first rule that does, which outlives changes of its members.
///
/// An egress rule with a named port may have been split into several with different peers; these are told apart by
/// the order of their sets.
fn peer_set_names(table: &PolicyTable) -> BTreeMap<usize, String> {
    let mut names: BTreeMap<usize, String> = BTreeMap::new();
    for pod in table.pods.values() {
        for (direction, isolation) in [(Direction::Ingress, &pod.ingress), (Direction::Egress, &pod.egress)] {
            for rule in isolation.iter().flat_map(|isolation| &isolation.rules) {
                let Peers::Set(index) = rule.peers else { continue };
                let name = rule_comment(rule, direction);
                names
                    .entry(index)
                    .and_modify(|known| *known = known.clone().min(name.clone()))
                    .or_insert(name);
            }
        }
    }
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for name in names.values_mut() {
        let before = uses.entry(name.clone()).or_default();
        *before += 1;
        if *before > 1 {
            *name = format!("{name} {before}");
        }
    }
    names
}

fn rule_comment(rule: &PolicyRule, direction: Direction) -> String {
    format!("{} {}[{}]", rule.policy, direction.word(), rule.index)
}

/// Who has which identity, in one family.
struct Identities {
    addresses: BTreeMap<IpAddr, u32>,
    blocks: Vec<(IpAddr, IpAddr, u32)>,
    /// Identities whose addresses are in a peer set.
    in_set: BTreeMap<usize, Vec<u32>>,
}

impl Identities {
    fn of(table: &PolicyTable, names: &BTreeMap<usize, String>, family: IpFamily) -> Self {
        let sets: Vec<(usize, &plan::PeerSet)> =
            names.keys().filter_map(|index| Some((*index, table.peer_sets.get(*index)?))).collect();
        let mut exact: BTreeMap<IpAddr, Membership> = BTreeMap::new();
        for (index, set) in &sets {
            for address in set.addresses.iter().filter(|address| IpFamily::of(**address) == family) {
                exact.entry(*address).or_default().insert(*index);
            }
        }
        let blocks: Vec<(usize, &IpBlock)> =
            sets.iter().flat_map(|(index, set)| set.blocks.iter().map(|block| (*index, block))).collect();
        let in_blocks = |address: IpAddr| -> Membership {
            blocks.iter().filter(|(_, block)| block.contains(address)).map(|(index, _)| *index).collect()
        };
        for (address, membership) in &mut exact {
            membership.extend(in_blocks(*address));
        }
        let segments = segments(&blocks, family, in_blocks);

        let all: BTreeSet<&Membership> =
            exact.values().chain(segments.iter().map(|(_, _, membership)| membership)).collect();
        let mut numbering = Numbering::default();
        let mut in_set: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        let mut numbers: BTreeMap<Membership, u32> = BTreeMap::new();
        for membership in all {
            let name: Vec<&str> = membership.iter().map(|index| names[index].as_str()).collect();
            let number = numbering.number(&name.join(","));
            for index in membership {
                in_set.entry(*index).or_default().push(number);
            }
            numbers.insert(membership.clone(), number);
        }
        let addresses = exact.iter().map(|(address, membership)| (*address, numbers[membership])).collect();
        let blocks =
            segments.iter().map(|(first, last, membership)| (*first, *last, numbers[membership])).collect();
        Self { addresses, blocks, in_set }
    }

    fn fill(&self, rules: &mut Ruleset, family: IpFamily) {
        for (address, number) in &self.addresses {
            put(rules, "peers", family, Key::exact(vec![Value::Address(*address)]), numbered(*number, ""));
        }
        for (first, last, number) in &self.blocks {
            put(rules, "blocks", family, as_key((*first, *last)), numbered(*number, ""));
        }
    }
}

/// The address space cut where any block or exception begins or ends; neighbours of equal membership are one.
fn segments(
    blocks: &[(usize, &IpBlock)],
    family: IpFamily,
    membership: impl Fn(IpAddr) -> Membership,
) -> Vec<(IpAddr, IpAddr, Membership)> {
    let prefixes: Vec<Prefix> = blocks
        .iter()
        .flat_map(|(_, block)| std::iter::once(&block.cidr).chain(&block.except))
        .copied()
        .collect();
    let starts: Vec<IpAddr> = boundaries(&prefixes, family).into_iter().collect();
    let mut segments: Vec<(IpAddr, IpAddr, Membership)> = Vec::new();
    for (index, first) in starts.iter().enumerate() {
        let last = starts.get(index + 1).and_then(|next| before(*next)).unwrap_or(highest(family));
        let members = membership(*first);
        match segments.last_mut() {
            Some((_, end, same)) if *same == members && after(*end) == Some(*first) => *end = last,
            _ => segments.push((*first, last, members)),
        }
    }
    segments.retain(|(_, _, members)| !members.is_empty());
    segments
}

// === what is allowed ===

/// Allowed port ranges of one Pod and peer, and the rule that allows each.
type Ranges = BTreeMap<(Option<u32>, Protocol), BTreeMap<(u16, u16), String>>;

fn fill_allowed(
    rules: &mut Ruleset,
    pod: IpAddr,
    direction: Direction,
    isolation: &Isolation,
    identities: &Identities,
) {
    let family = IpFamily::of(pod);
    let word = direction.word();
    let mut ranges = Ranges::new();
    for rule in &isolation.rules {
        let comment = rule_comment(rule, direction);
        let peers: Vec<Option<u32>> = match rule.peers {
            Peers::Any => vec![None],
            Peers::Set(index) => {
                identities.in_set.get(&index).into_iter().flatten().copied().map(Some).collect()
            }
        };
        for peer in peers {
            match (&rule.ports, peer) {
                (PolicyPorts::Any, Some(peer)) => {
                    let key = Key::exact(vec![Value::Address(pod), Value::Number(peer)]);
                    put(rules, &format!("{word}_peers"), family, key, member(&comment));
                }
                (PolicyPorts::Any, None) => {}
                (PolicyPorts::Only(ports), peer) => {
                    for port in ports {
                        let first = port.first.map_or(0, |port| port.number());
                        let last = port.last.map_or(u16::MAX, |port| port.number());
                        let same = ranges.entry((peer, port.protocol)).or_default();
                        same.entry((first, last)).or_insert_with(|| comment.clone());
                    }
                }
            }
        }
    }
    for ((peer, protocol), ranges) in ranges {
        let peer_word = if peer.is_some() { "peer_" } else { "" };
        let ends = |port| {
            let mut values = vec![Value::Address(pod)];
            values.extend(peer.map(Value::Number));
            values.extend([Value::Protocol(protocol.number()), Value::Port(port)]);
            values
        };
        for ((first, last), comment) in disjoint(ranges) {
            let (name, key) = if first == last {
                (format!("{word}_{peer_word}ports"), Key::exact(ends(first)))
            } else {
                (format!("{word}_{peer_word}port_ranges"), Key::range(ends(first), ends(last)))
            };
            put(rules, &name, family, key, member(&comment));
        }
    }
}

/// Overlapping ranges become one, with the comment of the lowest; the kernel refuses overlaps in an interval set.
fn disjoint(ranges: BTreeMap<(u16, u16), String>) -> Vec<((u16, u16), String)> {
    let mut disjoint: Vec<((u16, u16), String)> = Vec::new();
    for ((first, last), comment) in ranges {
        match disjoint.last_mut() {
            Some(((_, end), _)) if first <= *end => *end = last.max(*end),
            _ => disjoint.push(((first, last), comment)),
        }
    }
    disjoint
}
