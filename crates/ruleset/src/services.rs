//! Services: two elements per ClusterIP, one per slot of a backend, and a few more where a frontend asks for more.

use std::collections::BTreeSet;
use std::net::IpAddr;

use plan::{
    Backend, Frontend, FrontendAddress, FrontendRule, FrontendScope, NodePlan, Outcome, Scheduling,
    ServiceTable, SourceAddress,
};
use types::{IpFamily, Port, Prefix, Protocol};

use crate::diff::{Step, Transaction};
use crate::fixed::{EXTERNAL_SLOTS, MAX_BACKENDS, class, step};
use crate::segment::merged;
use crate::sink::{Entry, Sink};
use crate::slots::{choice, draw_of, slots};
use crate::value::{Key, Ruleset, Value, comment_text};

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

    fn values(self) -> [Value; 3] {
        [
            Value::Address(self.address),
            Value::Protocol(self.protocol.number()),
            Value::Port(self.port.number()),
        ]
    }

    /// The frontend, and what follows it in a key.
    fn values_with(self, last: Value) -> [Value; 4] {
        let [address, protocol, port] = self.values();
        [address, protocol, port, last]
    }

    /// The frontend, and a slot or a step.
    pub(crate) fn key_at(self, number: u32) -> Key {
        Key::exact(self.values_with(Value::Number(number)).to_vec())
    }
}

/// Which clients an outcome is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clients {
    Internal,
    External,
}

/// What is said of every frontend by itself, and of its address; affinity comes on top.
pub(crate) fn fill(rules: &mut impl Sink, plan: &NodePlan) {
    let vips = plan.services.frontends.keys().filter_map(|frontend| match frontend.address {
        FrontendAddress::Vip(address) => Some(address),
        FrontendAddress::NodePort => None,
    });
    let mut addresses: Vec<IpAddr> = vips.collect();
    addresses.extend(plan.services.served_elsewhere.keys());
    addresses.extend(plan.services.local_vips.iter().chain(&plan.services.node_addresses));
    addresses.sort_unstable();
    addresses.dedup();
    for address in addresses {
        fill_address(rules, plan, address);
    }
    for (aim, rule) in aims(plan) {
        fill_frontend(rules, plan, aim, rule);
    }
}

/// What is said of an address, whatever the ports.
pub(crate) fn fill_address(rules: &mut impl Sink, plan: &NodePlan, address: IpAddr) {
    let table = &plan.services;
    let first = [Value::Address(address)];
    let place = |set, comment| Entry {
        set,
        family: IpFamily::of(address),
        first: &first,
        last: None,
        data: &[],
        comment,
    };
    let is_local = table.local_vips.contains(&address);
    let mut ports = rules_at(table, FrontendAddress::Vip(address)).filter(|_| !is_local).peekable();
    let has_ports = ports.peek().is_some();
    let cluster_ip = ports.filter(|rule| rule.scope == FrontendScope::ClusterIp).last();
    if let Some(rule) = cluster_ip {
        rules.put(&place("clusterips", &comment_text(&rule.owner.to_string())));
        return;
    }
    let has_node_ports = || {
        table.node_addresses.contains(&address) && rules_at(table, FrontendAddress::NodePort).next().is_some()
    };
    let is_known = is_local || has_ports || table.served_elsewhere.contains_key(&address) || has_node_ports();
    if is_known && table.service_cidrs.iter().any(|range| range.contains(address)) {
        rules.put(&place("known", ""));
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

/// Every frontend by address, each once; a NodePort stands on each of this node's addresses where no virtual address has
/// the same port.
pub(crate) fn aims(plan: &NodePlan) -> impl Iterator<Item = (Aim, &FrontendRule)> {
    let table = &plan.services;
    table.frontends.iter().flat_map(move |(frontend, rule)| {
        let is_node_port = frontend.address == FrontendAddress::NodePort;
        let is_first = move |aim: &Aim| {
            let Aim { address, protocol, port } = *aim;
            let vip = Frontend { address: FrontendAddress::Vip(address), protocol, port };
            !(is_node_port && table.frontends.contains_key(&vip))
        };
        let is_served = |aim: &Aim| !table.local_vips.contains(&aim.address);
        aims_of(table, *frontend).filter(is_served).filter(is_first).map(move |aim| (aim, rule))
    })
}

pub(crate) fn fill_frontend(rules: &mut impl Sink, plan: &NodePlan, aim: Aim, rule: &FrontendRule) {
    let family = aim.family();
    if !is_of_family(rule, family) {
        return;
    }
    let comment = comment(rule);
    let comment = &*comment_text(&comment);
    let mut place = |set, first: &[Value], data: &[Value], comment| {
        rules.put(&Entry { set, family, first, last: None, data, comment });
    };
    let key = aim.values();
    if rule.scope != FrontendScope::ClusterIp && [&rule.internal, &rule.external].contains(&&Outcome::Reject)
    {
        place("refused", &key, &[], comment);
    }
    if let Some(number) = entry_class(rule, family) {
        place("frontend", &key, &[Value::Number(number)], comment);
        if number == class::GUARD || number == class::SPLIT {
            for (step, number) in steps(rule, family) {
                let key = aim.values_with(Value::Number(step));
                place("step", &key, &[Value::Number(number)], comment);
            }
        }
    }
    if let Some(after) = after_class(rule) {
        place("after", &key, &[Value::Number(after)], comment);
    }
    let external = if has_one_side(rule, family) { &Outcome::Drop } else { &rule.external };
    for (first_slot, outcome) in [(0, &rule.internal), (EXTERNAL_SLOTS, external)] {
        let mut slot = first_slot;
        each_slot(outcome, family, &rule.scheduling, |backend| {
            let data = [Value::Address(backend.address), Value::Port(backend.port.number())];
            place("backends", &aim.values_with(Value::Number(slot)), &data, "");
            slot += 1;
        });
    }
    let ranges = rule.source_ranges.iter().flat_map(|ranges| allowed(plan, aim.address, ranges));
    for (first, last) in ranges {
        let ends = [first, last].map(|end| aim.values_with(Value::Address(end)));
        let [first, last] = [&ends[0][..], &ends[1][..]];
        rules.put(&Entry { set: "allowed", family, first, last: Some(last), data: &[], comment });
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
pub(crate) fn backends(outcome: &Outcome, family: IpFamily) -> impl Iterator<Item = &Backend> {
    let backends = match outcome {
        Outcome::Forward { backends, .. } => Some(backends),
        Outcome::Reject | Outcome::Drop => None,
    };
    let same_family = move |backend: &&Backend| IpFamily::of(backend.address) == family;
    backends.into_iter().flatten().filter(same_family).take(MAX_BACKENDS as usize)
}

/// Whether clients of both kinds are sent to the same backends.
fn has_one_side(rule: &FrontendRule, family: IpFamily) -> bool {
    backends(&rule.internal, family).eq(backends(&rule.external, family))
}

/// What leads from the slots to the backends, in order.
fn each_slot(outcome: &Outcome, family: IpFamily, scheduling: &Scheduling, mut take: impl FnMut(&Backend)) {
    match scheduling.is_default() {
        true => backends(outcome, family).for_each(take),
        false => slots(&backends(outcome, family).cloned().collect(), scheduling).iter().for_each(&mut take),
    }
}

/// How one of an outcome's slots is found; `None` for no backend.
fn way(outcome: &Outcome, family: IpFamily, scheduling: &Scheduling, clients: Clients) -> Option<u32> {
    match scheduling.is_default() {
        true => draw_of(backends(outcome, family).count(), clients),
        false => choice(&backends(outcome, family).cloned().collect(), scheduling, clients),
    }
}

/// What `frontend4` says: where the first packet goes, as directly as the frontend permits.
fn entry_class(rule: &FrontendRule, family: IpFamily) -> Option<u32> {
    match (&rule.internal, &rule.external) {
        _ if rule.source_ranges.is_some() => Some(class::GUARD),
        (Outcome::Reject, Outcome::Reject) => None,
        _ if rule.affinity_seconds.is_some() => Some(class::SPLIT),
        (Outcome::Drop, Outcome::Drop) => Some(class::DROP),
        (Outcome::Forward { .. }, Outcome::Forward { .. }) if has_one_side(rule, family) => {
            way(&rule.internal, family, &rule.scheduling, Clients::Internal)
        }
        _ => Some(class::SPLIT),
    }
}

/// What `step4` says, except for identities of ServicePorts.
fn steps(rule: &FrontendRule, family: IpFamily) -> Vec<(u32, u32)> {
    let external_slots = if has_one_side(rule, family) { Clients::Internal } else { Clients::External };
    let sides = [
        (&rule.internal, step::INTERNAL, step::INTERNAL_BALANCE, class::AFFINE_INTERNAL, Clients::Internal),
        (&rule.external, step::EXTERNAL, step::EXTERNAL_BALANCE, class::AFFINE_EXTERNAL, external_slots),
    ];
    let mut steps = Vec::new();
    for (outcome, first, balance, affine, slots) in sides {
        match (outcome, way(outcome, family, &rule.scheduling, slots)) {
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

/// What `after4` says: source translation by kind of client, and affinity. Nothing where there is nothing to translate,
/// and where the rules do by themselves what is right: for a ClusterIP without affinity.
fn after_class(rule: &FrontendRule) -> Option<u32> {
    let source = |outcome: &Outcome| match outcome {
        Outcome::Forward { source, .. } => Some(*source),
        Outcome::Reject | Outcome::Drop => None,
    };
    let (internal, external) = (source(&rule.internal), source(&rule.external));
    internal.or(external)?;
    let external_translated = external.is_some_and(|source| source != SourceAddress::Kept);
    let translation = match (internal.unwrap_or(SourceAddress::Kept), external_translated) {
        (SourceAddress::Kept, false) => 0,
        (SourceAddress::Node, true) => 1,
        (SourceAddress::KeptForPods, true) => 2,
        (SourceAddress::KeptForPods, false) => 3,
        (SourceAddress::Kept, true) => 4,
        (SourceAddress::Node, false) => 5,
    };
    let remember = if rule.affinity_seconds.is_some() { class::REMEMBER } else { 0 };
    let after = class::AFTER + remember + translation;
    (rule.scope != FrontendScope::ClusterIp || after != class::AFTER_CLUSTER_IP).then_some(after)
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
