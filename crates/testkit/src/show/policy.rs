//! NetworkPolicy of Pods as text.

use plan::{Isolation, PeerSet, Peers, PolicyPorts, PolicyRule, PolicyTable, PortRange};

use super::{joined, lines};

pub(super) fn show(table: &PolicyTable) -> String {
    let mut text = String::new();
    for (address, policy) in &table.pods {
        text += &format!("{} {address}\n", policy.pod);
        text += &direction(table, "ingress", "from", policy.ingress.as_ref());
        text += &direction(table, "egress", "to", policy.egress.as_ref());
    }
    text
}

fn direction(table: &PolicyTable, name: &str, preposition: &str, isolation: Option<&Isolation>) -> String {
    let Some(isolation) = isolation else { return format!("  {name}: open\n") };
    let rule = |rule: &PolicyRule| {
        let peers = match &rule.peers {
            Peers::Any => "everybody".to_owned(),
            Peers::Set(index) => table.peer_sets.get(*index).map(peer_set).unwrap_or_default(),
        };
        format!("    {}[{}] {preposition} {peers}: {}", rule.policy, rule.index, ports(&rule.ports))
    };
    let head = format!("  {name}: isolated by {}\n", joined(&isolation.policies, ", "));
    head + &lines(isolation.rules.iter().map(rule))
}

fn peer_set(set: &PeerSet) -> String {
    let blocks = set.blocks.iter().map(|block| match block.except.is_empty() {
        true => block.cidr.to_string(),
        false => format!("{} less {}", block.cidr, joined(&block.except, " ")),
    });
    match set.addresses.is_empty() && set.blocks.is_empty() {
        true => "nobody".to_owned(),
        false => joined(set.addresses.iter().map(ToString::to_string).chain(blocks), ", "),
    }
}

fn ports(ports: &PolicyPorts) -> String {
    match ports {
        PolicyPorts::Any => "every port".to_owned(),
        PolicyPorts::Only(ranges) if ranges.is_empty() => "no port".to_owned(),
        PolicyPorts::Only(ranges) => joined(ranges.iter().map(range), ", "),
    }
}

fn range(range: &PortRange) -> String {
    match (range.first, range.last) {
        (Some(first), Some(last)) if first == last => format!("{first}/{}", range.protocol),
        (Some(first), Some(last)) => format!("{first}-{last}/{}", range.protocol),
        _ => format!("*/{}", range.protocol),
    }
}
