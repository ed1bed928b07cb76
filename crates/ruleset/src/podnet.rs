//! Address ranges of the Pod network: who is a Pod, who is this node, and what is masqueraded when it leaves.

use std::collections::BTreeSet;
use std::net::IpAddr;

use plan::{FrontendRule, NodePlan, Outcome};
use types::{IpFamily, Prefix, Protocol};

use crate::render::{member, put};
use crate::segment::{as_key, merged};
use crate::value::{Key, Ruleset, Value};

pub(crate) fn fill(rules: &mut Ruleset, plan: &NodePlan) {
    let nodes = own_addresses(plan);
    let hosts: Vec<Prefix> = nodes.iter().map(|node| Prefix::host(*node)).collect();
    for family in [IpFamily::V4, IpFamily::V6] {
        let masquerade = &plan.podnet.masquerade;
        for (name, ranges) in [
            ("pods", merged(&plan.services.pod_cidrs, family)),
            ("inside", merged(plan.services.pod_cidrs.iter().chain(&hosts), family)),
            ("serviceranges", merged(&plan.services.service_cidrs, family)),
            ("masqueraded", merged(&masquerade.sources, family)),
            ("unmasqueraded", merged(&masquerade.except, family)),
        ] {
            for range in ranges {
                put(rules, name, family, as_key(range), member(""));
            }
        }
    }
    for address in nodes {
        let key = Key::exact(vec![Value::Address(address)]);
        put(rules, "nodes", IpFamily::of(address), key, member(""));
    }
    if let Some(vxlan) = &plan.podnet.vxlan {
        let port = [Value::Protocol(Protocol::Udp.number()), Value::Port(vxlan.port)];
        for end in plan.tunnel_ends() {
            let key = [&[Value::Address(end.ip())], port.as_slice()].concat();
            put(rules, "tunnels", IpFamily::of(end.ip()), Key::exact(key), member(""));
        }
        let ports = rules.sets.get_mut("tunnelports").expect("fixed.nft has the set tunnelports");
        ports.elements.insert(Key::exact(port.to_vec()), member(""));
    }
}

/// Which addresses reach themselves through a Service.
pub(crate) fn fill_selves(rules: &mut Ruleset, plan: &NodePlan) {
    for rule in plan.services.frontends.values() {
        backends_here(plan, rule).for_each(|address| fill_self(rules, address));
    }
    pods_here(plan).for_each(|address| fill_self(rules, address));
}

/// That this address reaches itself.
pub(crate) fn fill_self(rules: &mut Ruleset, address: IpAddr) {
    let key = Key::exact(vec![Value::Address(address); 2]);
    put(rules, "self", IpFamily::of(address), key, member(""));
}

/// Addresses that packets of this node itself may carry. A program that connects to an address which the node holds
/// has that address as its own, too; a backend elsewhere could not answer it.
fn own_addresses(plan: &NodePlan) -> BTreeSet<IpAddr> {
    let held = plan.podnet.local_addresses.keys();
    plan.services.node_addresses.iter().chain(held).copied().collect()
}

/// Addresses of this node's Pods, which may be sent back to themselves by one of their own Services.
pub(crate) fn pods_here(plan: &NodePlan) -> impl Iterator<Item = IpAddr> {
    plan.podnet.local_pods.keys().chain(plan.policy.pods.keys()).copied()
}

/// Addresses of a frontend's backends that may be Pods of this node.
pub(crate) fn backends_here(plan: &NodePlan, rule: &FrontendRule) -> impl Iterator<Item = IpAddr> {
    let outcomes = [&rule.internal, &rule.external].into_iter();
    let backends = outcomes.filter_map(|outcome| match outcome {
        Outcome::Forward { backends, .. } => Some(backends),
        Outcome::Reject | Outcome::Drop => None,
    });
    let is_here = |address: &IpAddr| plan.podnet.pod_cidrs.iter().any(|range| range.contains(*address));
    backends.flatten().map(|backend| backend.address).filter(is_here)
}
