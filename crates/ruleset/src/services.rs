//! Services: one element per frontend, one per slot of a backend, and a few more where a frontend asks for more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use plan::{
    Backend, Frontend, FrontendAddress, FrontendRule, FrontendScope, NodePlan, Outcome, ServiceTable,
    SourceAddress,
};
use types::{IpFamily, Port, Prefix, Protocol};

use crate::affinity::Pools;
use crate::diff::{Step, Transaction};
use crate::fixed::{EXTERNAL_SLOTS, MAX_BACKENDS, class, step};
use crate::render::{member, numbered, put};
use crate::segment::merged;
use crate::slots::{choice, slots};
use crate::value::{Data, Element, Key, Ruleset, Value};

/// A frontend with its one address: what the maps are keyed by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Aim {
    pub(crate) address: IpAddr,
    pub(crate) protocol: Protocol,
    pub(crate) port: Port,
}

impl Aim {
    pub(crate) fn family(self) -> IpFamily {
        IpFamily::of(self.address)
    }

    fn values(self) -> Vec<Value> {
        vec![
            Value::Address(self.address),
            Value::Protocol(self.protocol.number()),
            Value::Port(self.port.number()),
        ]
    }

    fn key(self) -> Key {
        Key::exact(self.values())
    }

    /// The frontend, and a slot or a step.
    pub(crate) fn key_at(self, number: u32) -> Key {
        let mut values = self.values();
        values.push(Value::Number(number));
        Key::exact(values)
    }
}

/// Which clients an outcome is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clients {
    Internal,
    External,
}

pub(crate) fn fill(rules: &mut Ruleset, plan: &NodePlan) {
    let aims = aims(plan);
    let addresses: BTreeSet<IpAddr> = aims.keys().map(|aim| aim.address).collect();
    let others = plan.services.served_elsewhere.keys().chain(&plan.services.local_vips);
    for address in addresses.iter().chain(others.filter(|address| !addresses.contains(address))) {
        fill_address(rules, plan, *address);
    }
    for (aim, rule) in &aims {
        fill_frontend(rules, plan, *aim, rule);
    }
    Pools::fill(rules, &aims);
}

/// What is said of an address, whatever the ports.
pub(crate) fn fill_address(rules: &mut Ruleset, plan: &NodePlan, address: IpAddr) {
    let table = &plan.services;
    let (family, key) = (IpFamily::of(address), || Key::exact(vec![Value::Address(address)]));
    let is_local = table.local_vips.contains(&address);
    let mut ports = rules_at(table, FrontendAddress::Vip(address)).peekable();
    let has_node_ports = table.node_addresses.contains(&address)
        && rules_at(table, FrontendAddress::NodePort).next().is_some();
    let is_elsewhere = table.served_elsewhere.contains_key(&address);
    let is_known = is_local || is_elsewhere || ports.peek().is_some() || has_node_ports;
    if is_known && table.service_cidrs.iter().any(|range| range.contains(address)) {
        put(rules, "known", family, key(), member(""));
    }
    let cluster_ips = ports.filter(|rule| rule.scope == FrontendScope::ClusterIp && !is_local);
    if let Some(rule) = cluster_ips.last() {
        put(rules, "clusterips", family, key(), member(&rule.owner.to_string()));
    }
}

/// The rules of all ports of an address.
fn rules_at(table: &ServiceTable, address: FrontendAddress) -> impl Iterator<Item = &FrontendRule> {
    let first = Frontend { address, protocol: LOWEST_PROTOCOL, port: LOWEST_PORT };
    let from = table.frontends.iter_from(&first);
    from.take_while(move |(frontend, _)| frontend.address == address).map(|(_, rule)| rule)
}

/// Where the rules of an address begin.
const LOWEST_PROTOCOL: Protocol = Protocol::Tcp;
const LOWEST_PORT: Port = Port::new(1).expect("1 is not 0");

/// The rule for what is sent to an address and port; a virtual address comes before a NodePort.
pub(crate) fn rule_at(table: &ServiceTable, aim: Aim) -> Option<&FrontendRule> {
    let Aim { address, protocol, port } = aim;
    let at = |address| table.frontends.get(&Frontend { address, protocol, port });
    let node_port = || at(FrontendAddress::NodePort).filter(|_| table.node_addresses.contains(&address));
    let is_local = table.local_vips.contains(&address);
    at(FrontendAddress::Vip(address)).or_else(node_port).filter(|_| !is_local)
}

/// Where clients may aim at for a frontend.
pub(crate) fn aims_of(table: &ServiceTable, frontend: Frontend) -> impl Iterator<Item = Aim> {
    let Frontend { address, protocol, port } = frontend;
    let vip = match address {
        FrontendAddress::Vip(address) => Some(address),
        FrontendAddress::NodePort => None,
    };
    let node_addresses = table.node_addresses.iter().copied().filter(move |_| vip.is_none());
    vip.into_iter().chain(node_addresses).map(move |address| Aim { address, protocol, port })
}

/// Every frontend by address; a NodePort stands on each of this node's addresses, after every virtual address.
pub(crate) fn aims(plan: &NodePlan) -> BTreeMap<Aim, &FrontendRule> {
    let mut aims = BTreeMap::new();
    for (Frontend { address, protocol, port }, rule) in &plan.services.frontends {
        let (protocol, port) = (*protocol, *port);
        match address {
            FrontendAddress::Vip(address) => {
                aims.insert(Aim { address: *address, protocol, port }, rule);
            }
            FrontendAddress::NodePort => {
                for address in &plan.services.node_addresses {
                    aims.entry(Aim { address: *address, protocol, port }).or_insert(rule);
                }
            }
        }
    }
    for address in &plan.services.local_vips {
        aims.retain(|aim, _| aim.address != *address);
    }
    aims
}

pub(crate) fn fill_frontend(rules: &mut Ruleset, plan: &NodePlan, aim: Aim, rule: &FrontendRule) {
    let family = aim.family();
    let comment = comment(rule);
    let mut place = |name, key, element| put(rules, name, family, key, element);
    if !is_of_family(rule, family) {
        return;
    }
    if rule.scope != FrontendScope::ClusterIp && [&rule.internal, &rule.external].contains(&&Outcome::Reject)
    {
        place("refused", aim.key(), member(&comment));
    }
    if let Some(number) = entry_class(rule, family) {
        place("frontend", aim.key(), numbered(number, &comment));
        if number == class::GUARD || number == class::SPLIT {
            for (step, number) in steps(rule, family) {
                place("step", aim.key_at(step), numbered(number, &comment));
            }
        }
    }
    if let Some(ranges) = &rule.source_ranges {
        for (first, last) in allowed(plan, aim.address, ranges) {
            let ends = |end| [aim.values(), vec![Value::Address(end)]].concat();
            place("allowed", Key::range(ends(first), ends(last)), member(&comment));
        }
    }
    let after = after_class(rule);
    if after != class::AFTER {
        place("after", aim.key(), numbered(after, &comment));
    }
    let internal = backends(&rule.internal, family);
    let external = backends(&rule.external, family);
    let external = if internal == external { BTreeSet::new() } else { external };
    for (first_slot, backends) in [(0, internal), (EXTERNAL_SLOTS, external)] {
        for (slot, backend) in (first_slot..).zip(slots(&backends, &rule.scheduling)) {
            let data = vec![Value::Address(backend.address), Value::Port(backend.port.number())];
            let element = Element { data: Data::Values(data), comment: String::new() };
            place("backends", aim.key_at(slot), element);
        }
    }
}

/// Whether the frontend can serve this family; a NodePort of a single-stack Service stands on addresses of both.
pub(crate) fn is_of_family(rule: &FrontendRule, family: IpFamily) -> bool {
    [&rule.internal, &rule.external].iter().all(|outcome| match outcome {
        Outcome::Forward { backends, .. } => {
            backends.iter().any(|backend| IpFamily::of(backend.address) == family)
        }
        Outcome::Reject | Outcome::Drop => true,
    })
}

/// The Service (or Pod) and port an element is there for.
pub(crate) fn comment(rule: &FrontendRule) -> String {
    let scope = match rule.scope {
        FrontendScope::ClusterIp => "",
        FrontendScope::NodePort => " nodePort",
        FrontendScope::LoadBalancer => " loadBalancer",
        FrontendScope::ExternalIp => " externalIP",
        FrontendScope::HostPort => " hostPort",
    };
    format!("{}:{}{scope}", rule.owner, rule.port_name)
}

/// Backends of the frontend's own family, as many as can be drawn from.
pub(crate) fn backends(outcome: &Outcome, family: IpFamily) -> BTreeSet<Backend> {
    let Outcome::Forward { backends, .. } = outcome else { return BTreeSet::new() };
    let same_family = backends.iter().filter(|backend| IpFamily::of(backend.address) == family);
    same_family.take(MAX_BACKENDS as usize).cloned().collect()
}

/// What `frontend4` says: where the first packet goes, as directly as the frontend permits.
fn entry_class(rule: &FrontendRule, family: IpFamily) -> Option<u32> {
    let (internal, external) = (backends(&rule.internal, family), backends(&rule.external, family));
    match (&rule.internal, &rule.external) {
        _ if rule.source_ranges.is_some() => Some(class::GUARD),
        (Outcome::Reject, Outcome::Reject) => None,
        _ if rule.affinity_seconds.is_some() => Some(class::SPLIT),
        (Outcome::Drop, Outcome::Drop) => Some(class::DROP),
        (Outcome::Forward { .. }, Outcome::Forward { .. }) if internal == external => {
            choice(&internal, &rule.scheduling, Clients::Internal)
        }
        _ => Some(class::SPLIT),
    }
}

/// What `step4` says, except for identities of ServicePorts.
fn steps(rule: &FrontendRule, family: IpFamily) -> Vec<(u32, u32)> {
    let (internal, external) = (backends(&rule.internal, family), backends(&rule.external, family));
    let external_slots = if internal == external { Clients::Internal } else { Clients::External };
    let sides = [
        (
            &rule.internal,
            step::INTERNAL,
            step::INTERNAL_BALANCE,
            class::AFFINE_INTERNAL,
            Clients::Internal,
            &internal,
        ),
        (
            &rule.external,
            step::EXTERNAL,
            step::EXTERNAL_BALANCE,
            class::AFFINE_EXTERNAL,
            external_slots,
            &external,
        ),
    ];
    let mut steps = Vec::new();
    for (outcome, first, balance, affine, slots, backends) in sides {
        match (outcome, choice(backends, &rule.scheduling, slots)) {
            (Outcome::Drop, _) => steps.push((first, class::DROP)),
            (Outcome::Reject, _) | (_, None) => steps.push((first, class::PASS)),
            (Outcome::Forward { .. }, Some(draw)) if rule.affinity_seconds.is_some() => {
                steps.extend([(first, affine), (balance, draw)]);
            }
            (Outcome::Forward { .. }, Some(draw)) => steps.push((first, draw)),
        }
    }
    steps
}

/// `loadBalancerSourceRanges` as disjoint ranges; where they let this node in, the address itself counts as the node.
fn allowed(plan: &NodePlan, address: IpAddr, ranges: &BTreeSet<Prefix>) -> Vec<(IpAddr, IpAddr)> {
    let mut ranges = ranges.clone();
    let mut nodes = plan.services.node_addresses.iter();
    if nodes.any(|node| ranges.iter().any(|range| range.contains(*node))) {
        ranges.insert(Prefix::host(address));
    }
    merged(&ranges, IpFamily::of(address))
}

/// What `after4` says: source translation by kind of client, and affinity.
fn after_class(rule: &FrontendRule) -> u32 {
    let source = |outcome: &Outcome| match outcome {
        Outcome::Forward { source, .. } => *source,
        Outcome::Reject | Outcome::Drop => SourceAddress::Kept,
    };
    let external_translated = source(&rule.external) != SourceAddress::Kept;
    let translation = match (source(&rule.internal), external_translated) {
        (SourceAddress::Kept, false) => 0,
        (SourceAddress::Node, true) => 1,
        (SourceAddress::KeptForPods, true) => 2,
        (SourceAddress::KeptForPods, false) => 3,
        (SourceAddress::Kept, true) => 4,
        (SourceAddress::Node, false) => 5,
    };
    let remember = if rule.affinity_seconds.is_some() { class::REMEMBER } else { 0 };
    class::AFTER + remember + translation
}

// === what has gone ===

/// Whether a remembered client (key and data of an element of `clients4` or `clients6`) may stay remembered.
#[must_use]
pub fn is_client_current(rules: &Ruleset, family: IpFamily, key: &[Value], data: &[Value]) -> bool {
    let (Some(number), [address, port]) = (key.get(1), data) else { return false };
    let pool = if family == IpFamily::V4 { "pool4" } else { "pool6" };
    let wanted = Key::exact(vec![*number, *address, *port]);
    rules.sets.get(pool).is_some_and(|pool| pool.elements.contains_key(&wanted))
}

/// Whether the transaction takes a backend from a pool, so that clients may be remembered that should not be.
#[must_use]
pub fn shrinks_a_pool(transaction: &Transaction) -> bool {
    let shrinks = |step: &Step| matches!(step, Step::RemoveElements(set, _) if is_family_of(set, "pool"));
    transaction.steps.iter().any(shrinks)
}

/// Whether `set` is the IPv4 or IPv6 twin of this name.
pub(crate) fn is_family_of(set: &str, name: &str) -> bool {
    set.strip_prefix(name).is_some_and(|digit| matches!(digit, "4" | "6"))
}
