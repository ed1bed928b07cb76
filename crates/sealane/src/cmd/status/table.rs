//! Status as text: a line for each node whatever their number, and all ways of one.

use std::collections::BTreeMap;

use comfy_table::{Table, presets};

use super::node::{NodeStatus, PathStatus, PeerStatus, Pool, Proved};

/// All nodes, a line each.
pub(super) fn of_nodes(nodes: &[NodeStatus]) -> String {
    let mut table =
        empty(["NODE", "READY", "ADDRESS", "ZONE", "POD RANGE", "USED", "LINKS", "MTU", "PEERS", "PROVED"]);
    for node in nodes {
        table.add_row([
            node.name.clone(),
            if node.ready { "yes" } else { "no" }.to_owned(),
            node.address.clone(),
            node.zone.clone(),
            joined(&node.pools, |pool| pool.range.to_string()),
            joined(&node.pools, used),
            node.links.map_or_else(|| "?".to_owned(), |links| links.to_string()),
            mtu(node),
            modes(&node.peers),
            proved(&node.peers),
        ]);
    }
    table.trim_fmt()
}

/// One node, with the way to each of the others.
pub(super) fn of_node(node: &NodeStatus) -> Vec<String> {
    let mut lines = vec![of_nodes(std::slice::from_ref(node)), String::new()];
    if !node.told {
        lines.push("its agent has not told of it: modes and MTU are guessed".to_owned());
    }
    let mut table = empty(["PEER", "UNDERLAY", "POD RANGE", "MODE", "MTU", "PROVED"]);
    for peer in &node.peers {
        let row = |path: &PathStatus| {
            [
                peer.name.clone(),
                peer.underlay.to_string(),
                path.range.to_string(),
                path.mode.to_owned(),
                path.mtu.to_string(),
                verdict(peer),
            ]
        };
        table.add_rows(peer.paths.iter().map(row));
    }
    lines.push(table.trim_fmt());
    lines
}

fn empty<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    table
}

fn joined(pools: &[Pool], text: impl Fn(&Pool) -> String) -> String {
    pools.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn used(pool: &Pool) -> String {
    let Pool { used, size, resting, .. } = pool;
    let size = match size {
        // An IPv6 range: no number that a person would read.
        Some(size) if *size > 1 << 32 => String::new(),
        Some(size) => format!("/{size}"),
        None => "/?".to_owned(),
    };
    match resting {
        Some(resting) if *resting > 0 => format!("{used}{size} (+{resting})"),
        _ => format!("{used}{size}"),
    }
}

fn mtu(node: &NodeStatus) -> String {
    match node.link_mtu {
        Some(link) => format!("{} ({link})", node.path_mtu),
        None => "?".to_owned(),
    }
}

/// How many peers are reached in which way.
fn modes(peers: &[PeerStatus]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for peer in peers {
        let mut modes: Vec<&str> = peer.paths.iter().map(|path| path.mode).collect();
        modes.sort_unstable();
        modes.dedup();
        *counts.entry(modes.join("+")).or_default() += 1;
    }
    let counted: Vec<_> = counts.iter().map(|(modes, count)| format!("{count} {modes}")).collect();
    if counted.is_empty() { "none".to_owned() } else { counted.join(", ") }
}

fn proved(peers: &[PeerStatus]) -> String {
    let count = |proved| peers.iter().filter(|peer| peer.proved == proved).count();
    match (count(Proved::No), count(Proved::Unknown)) {
        (0, 0) => "all".to_owned(),
        (0, unknown) if unknown == peers.len() => "not yet".to_owned(),
        (0, unknown) => format!("{unknown} not yet"),
        (failing, _) => format!("{failing} failing"),
    }
}

fn verdict(peer: &PeerStatus) -> String {
    match (peer.proved, peer.failing) {
        (_, Some(failing)) => match failing.passes {
            Some(passes) => format!("no: {passes} bytes pass"),
            None => "no answer".to_owned(),
        },
        (Proved::Yes, None) => "yes".to_owned(),
        (Proved::No | Proved::Unknown, None) => "not yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use types::FailingPath;

    use super::*;

    fn mk_peer(index: u32) -> PeerStatus {
        let path = PathStatus { range: "10.244.1.0/24".parse().unwrap(), mode: "vxlan", mtu: 1450 };
        PeerStatus {
            name: format!("node-{index}"),
            underlay: "172.31.0.12".parse().unwrap(),
            paths: vec![path],
            proved: Proved::Yes,
            failing: None,
        }
    }

    fn mk_node(peers: Vec<PeerStatus>) -> NodeStatus {
        NodeStatus {
            name: "node-a".to_owned(),
            ready: true,
            address: "172.31.0.11".to_owned(),
            zone: "a".to_owned(),
            pods: 7,
            told: true,
            links: Some(types::NetworkMode::Bridge),
            link_mtu: Some(1500),
            path_mtu: 1450,
            pools: vec![Pool {
                range: "10.244.0.0/24".parse().unwrap(),
                used: 7,
                size: Some(254),
                resting: Some(2),
            }],
            peers,
        }
    }

    #[test]
    fn a_line_is_as_wide_with_two_hundred_nodes_as_with_three() {
        let line = |peers: u32| {
            let text = of_nodes(&[mk_node((0..peers).map(mk_peer).collect())]);
            text.lines().last().unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            line(2),
            "node-a yes 172.31.0.11 a 10.244.0.0/24 7/254 (+2) bridge 1450 (1500) 2 vxlan all"
        );
        assert_eq!(
            line(199),
            "node-a yes 172.31.0.11 a 10.244.0.0/24 7/254 (+2) bridge 1450 (1500) 199 vxlan all"
        );
        assert!(of_nodes(&[mk_node((0..199).map(mk_peer).collect())]).lines().all(|line| line.len() <= 110));
    }

    #[test]
    fn a_failing_way_is_counted_and_named_in_detail() {
        let failing = FailingPath { sends: 1450, passes: Some(1400) };
        let narrow = PeerStatus { proved: Proved::No, failing: Some(failing), ..mk_peer(1) };
        let mut node = mk_node(vec![narrow, PeerStatus { proved: Proved::Unknown, ..mk_peer(2) }]);
        assert!(of_nodes(std::slice::from_ref(&node)).ends_with("1 failing"));
        let text = of_node(&node).join("\n");
        assert!(text.contains("no: 1400 bytes pass") && text.contains("not yet"), "{text}");
        node.peers.remove(0);
        assert!(of_nodes(&[node]).ends_with("not yet"));
    }
}
