//! Address ranges of the Pod network: who is a Pod, who is this node, and what is masqueraded when it leaves.

use std::collections::BTreeSet;
use std::net::IpAddr;

use plan::{NodePlan, Outcome};
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
    for address in reaching_themselves(plan) {
        let key = Key::exact(vec![Value::Address(address); 2]);
        put(rules, "self", IpFamily::of(address), key, member(""));
    }
}

/// Addresses that packets of this node itself may carry. A program that connects to an address which the node holds
/// has that address as its own, too; a backend elsewhere could not answer it.
fn own_addresses(plan: &NodePlan) -> BTreeSet<IpAddr> {
    let held = plan.podnet.local_addresses.keys();
    plan.services.node_addresses.iter().chain(held).copied().collect()
}

/// Addresses whose owner, a Pod of this node, may be sent back to itself by one of its own Services.
fn reaching_themselves(plan: &NodePlan) -> BTreeSet<IpAddr> {
    let mut addresses: BTreeSet<IpAddr> = plan.podnet.local_pods.keys().copied().collect();
    addresses.extend(plan.policy.pods.keys());
    let outcomes = plan.services.frontends.values().flat_map(|rule| [&rule.internal, &rule.external]);
    for outcome in outcomes {
        let Outcome::Forward { backends, .. } = outcome else { continue };
        let local = |address: &IpAddr| plan.podnet.pod_cidrs.iter().any(|range| range.contains(*address));
        addresses.extend(backends.iter().map(|backend| backend.address).filter(local));
    }
    addresses
}
