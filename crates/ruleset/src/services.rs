//! Services: one element per frontend, one per slot of a backend, and a few more where a frontend asks for more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use plan::{
    Backend, Frontend, FrontendAddress, FrontendRule, FrontendScope, NodePlan, Outcome, SourceAddress,
};
use types::{IpFamily, Port, Prefix, Protocol};

use crate::diff::{Step, Transaction};
use crate::fixed::{EXTERNAL_SLOTS, MAX_BACKENDS, add_remember_chain, class, draw_size, step};
use crate::render::{Numbering, member, numbered, put};
use crate::segment::merged;
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
    fn key_at(self, number: u32) -> Key {
        let mut values = self.values();
        values.push(Value::Number(number));
        Key::exact(values)
    }
}

/// Which clients an outcome is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clients {
    Internal,
    External,
}

pub(crate) fn fill(rules: &mut Ruleset, plan: &NodePlan) {
    let aims = aims(plan);
    let known = aims.keys().map(|aim| aim.address).chain(plan.services.local_vips.iter().copied());
    for address in
        known.filter(|address| plan.services.service_cidrs.iter().any(|range| range.contains(*address)))
    {
        let key = Key::exact(vec![Value::Address(address)]);
        put(rules, "known", IpFamily::of(address), key, member(""));
    }
    let pools = Pools::of(&aims);
    for (aim, rule) in &aims {
        fill_frontend(rules, plan, *aim, rule);
        if rule.affinity_seconds.is_some() {
            pools.fill(rules, *aim, rule);
        }
    }
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

fn fill_frontend(rules: &mut Ruleset, plan: &NodePlan, aim: Aim, rule: &FrontendRule) {
    let family = aim.family();
    let comment = comment(rule);
    let mut place = |name, key, element| put(rules, name, family, key, element);
    if rule.scope == FrontendScope::ClusterIp {
        place("clusterips", Key::exact(vec![Value::Address(aim.address)]), member(&rule.owner.to_string()));
    }
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
    let external = if internal == external { &[] } else { external.as_slice() };
    for (first_slot, backends) in [(0, internal.as_slice()), (EXTERNAL_SLOTS, external)] {
        for (slot, backend) in (first_slot..).zip(backends) {
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
fn comment(rule: &FrontendRule) -> String {
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
fn backends(outcome: &Outcome, family: IpFamily) -> Vec<Backend> {
    let Outcome::Forward { backends, .. } = outcome else { return Vec::new() };
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
            draw_class(internal.len(), Clients::Internal)
        }
        _ => Some(class::SPLIT),
    }
}

/// Draw one of this many backends; `None` for no backend.
fn draw_class(backends: usize, clients: Clients) -> Option<u32> {
    let backends = u32::try_from(backends).expect("backends are cut at MAX_BACKENDS");
    let base = if clients == Clients::Internal { class::INTERNAL } else { class::EXTERNAL };
    (backends > 0).then(|| base + draw_size(backends))
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
        let draw = draw_class(backends.len(), slots);
        match (outcome, draw) {
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

// === affinity ===

/// Which backends each ServicePort's clients may be remembered to use.
///
/// Clients are remembered per ServicePort, whichever of its addresses they used (semantics SD10); an outcome with
/// fewer backends than the ServicePort has, as under a `Local` traffic policy, remembers apart.
struct Pools {
    all: BTreeMap<String, BTreeSet<Backend>>,
    numbers: BTreeMap<String, u32>,
}

impl Pools {
    fn of(aims: &BTreeMap<Aim, &FrontendRule>) -> Self {
        let mut pools = Self { all: BTreeMap::new(), numbers: BTreeMap::new() };
        let affine = || aims.iter().filter(|(_, rule)| rule.affinity_seconds.is_some());
        for (aim, rule) in affine() {
            for outcome in [&rule.internal, &rule.external] {
                pools
                    .all
                    .entry(service_port(*aim, rule))
                    .or_default()
                    .extend(backends(outcome, aim.family()));
            }
        }
        let mut numbering = Numbering::default();
        let mut names = BTreeSet::new();
        for (aim, rule) in affine() {
            names.extend(
                [Clients::Internal, Clients::External].map(|clients| pools.name(*aim, rule, clients)),
            );
        }
        pools.numbers = names.into_iter().map(|name| (name.clone(), numbering.number(&name))).collect();
        pools
    }

    /// The name of what is remembered together.
    fn name(&self, aim: Aim, rule: &FrontendRule, clients: Clients) -> String {
        let port = service_port(aim, rule);
        let (outcome, word) = match clients {
            Clients::Internal => (&rule.internal, "internal"),
            Clients::External => (&rule.external, "external"),
        };
        let own: BTreeSet<Backend> = backends(outcome, aim.family()).into_iter().collect();
        if self.all.get(&port) == Some(&own) { port } else { format!("{port} {:?} {word}", rule.scope) }
    }

    fn fill(&self, rules: &mut Ruleset, aim: Aim, rule: &FrontendRule) {
        let Some(seconds) = rule.affinity_seconds else { return };
        let comment = comment(rule);
        let mut remembered = false;
        for (clients, step, outcome) in [
            (Clients::Internal, step::INTERNAL_PORT, &rule.internal),
            (Clients::External, step::EXTERNAL_PORT, &rule.external),
        ] {
            let number = self.numbers[&self.name(aim, rule, clients)];
            for backend in backends(outcome, aim.family()) {
                remembered = true;
                let key = vec![
                    Value::Number(number),
                    Value::Address(backend.address),
                    Value::Port(backend.port.number()),
                ];
                put(rules, "pool", aim.family(), Key::exact(key), numbered(seconds, ""));
            }
            if matches!(outcome, Outcome::Forward { .. }) {
                put(rules, "step", aim.family(), aim.key_at(step), numbered(number, &comment));
            }
        }
        if remembered {
            add_remember_chain(rules, seconds);
        }
    }
}

fn service_port(aim: Aim, rule: &FrontendRule) -> String {
    format!("{}:{} {} {}", rule.owner, rule.port_name, aim.protocol, aim.family())
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
