//! The same on a bridge, whether or not the kernel shows bridged packets to the rules for packets; and frames that try
//! to get around them.

use std::collections::BTreeSet;
use std::net::{IpAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use netns::world;
use plan::{FrontendScope, Isolation, NodePlan, SourceAddress};
use types::{IpFamily, NamespacedName};

use crate::fixture::{Answer, From, Lab, Links, PORT, expose, isolate, load};
use crate::{policy, services, table};

fn on_bridges(family: IpFamily, check: fn(&Lab)) {
    check(&Lab::with(family, Links::Bridge { is_filtered: true }));
}

fn on_bridges_unseen(family: IpFamily, check: fn(&Lab)) {
    check(&Lab::with(family, Links::Bridge { is_filtered: false }));
}

/// Tests of every check in a family, with and without the kernel's view into bridges.
macro_rules! tests {
    ($($name:ident, $runner:ident, $family:ident, $check:path;)*) => {
        $(#[test]
        fn $name() {
            world::test(|| $runner(IpFamily::$family, $check));
        })*
    };
}

tests! {
    ingress_is_what_the_rules_allow, on_bridges, V4, policy::check_ingress;
    ingress_is_what_the_rules_allow_over_ipv6, on_bridges, V6, policy::check_ingress;
    unseen_ingress_is_what_the_rules_allow, on_bridges_unseen, V4, policy::check_ingress;
    unseen_ingress_is_what_the_rules_allow_over_ipv6, on_bridges_unseen, V6, policy::check_ingress;
    egress_is_what_the_rules_allow, on_bridges, V4, policy::check_egress;
    egress_is_what_the_rules_allow_over_ipv6, on_bridges, V6, policy::check_egress;
    unseen_egress_is_what_the_rules_allow, on_bridges_unseen, V4, policy::check_egress;
    unseen_egress_is_what_the_rules_allow_over_ipv6, on_bridges_unseen, V6, policy::check_egress;
    a_pod_cannot_send_as_another, on_bridges, V4, policy::check_forgery;
    a_pod_cannot_send_as_another_over_ipv6, on_bridges, V6, policy::check_forgery;
    unseen_a_pod_cannot_send_as_another, on_bridges_unseen, V4, policy::check_forgery;
    unseen_a_pod_cannot_send_as_another_over_ipv6, on_bridges_unseen, V6, policy::check_forgery;
    cluster_ips_spread, on_bridges, V4, services::cluster_ip;
    unseen_cluster_ips_spread_over_ipv6, on_bridges_unseen, V6, services::cluster_ip;
    node_ports_tell_clients_apart, on_bridges, V4, services::node_port;
    unseen_node_ports_tell_clients_apart_over_ipv6, on_bridges_unseen, V6, services::node_port;
    clients_keep_their_backend, on_bridges, V4, services::affinity;
    unseen_clients_keep_their_backend_over_ipv6, on_bridges_unseen, V6, services::affinity;
    what_is_written_reads_back_and_nft_lists_it, on_bridges, V4, table::list;
    what_is_written_for_ipv6_reads_back_and_nft_lists_it, on_bridges, V6, table::list;
    frames_past_the_bridge_are_dropped, on_bridges, V4, frames_past_the_bridge;
    frames_past_the_bridge_are_dropped_over_ipv6, on_bridges, V6, frames_past_the_bridge;
    unseen_frames_past_the_bridge_are_dropped, on_bridges_unseen, V4, frames_past_the_bridge;
    unseen_frames_past_the_bridge_are_dropped_over_ipv6, on_bridges_unseen, V6, frames_past_the_bridge;
    datagrams_in_fragments_get_through, on_bridges, V4, fragments;
    datagrams_in_fragments_get_through_over_ipv6, on_bridges, V6, fragments;
    unseen_datagrams_in_fragments_get_through, on_bridges_unseen, V4, fragments;
    every_way_of_drifting_is_repaired, on_bridges, V4, drift;
    a_pod_cannot_have_another_link_layer_address, on_bridges, V4, another_mac;
    unseen_a_pod_cannot_have_another_link_layer_address, on_bridges_unseen, V6, another_mac;
}

/// Runs `ip` in a Pod; whether there is such a program.
fn ip(lab: &Lab, pod: usize, arguments: &str) -> bool {
    let run = || Command::new("ip").args(arguments.split(' ')).status();
    let Ok(status) = lab.within(From::Pod(pod), run) else {
        println!("sealane-skip: frames that no honest Pod sends: no program `ip`");
        return false;
    };
    assert!(status.success(), "ip {arguments}");
    true
}

fn closed(lab: &Lab) -> NodePlan {
    let mut plan = lab.plan();
    let nothing =
        Isolation { policies: [NamespacedName::new("default", "policy")].into(), rules: Vec::new() };
    isolate(&mut plan, (1, lab.at.pods[0]), Some(nothing), None);
    plan
}

/// Pod 3 knows the link-layer address of Pod 1, which lets nobody in, and sends there.
fn frames_past_the_bridge(lab: &Lab) {
    let (mut table, plan, to) = (lab.nft(), closed(lab), lab.at.pods[0]);
    load(&mut table, &plan);
    let mac = plan.podnet.bridge.as_ref().unwrap().ports[&"slpod0".into()].mac;
    let is_ready = ip(lab, 3, &format!("route add {to} dev eth0"))
        && ip(lab, 3, &format!("neigh add {to} lladdr {mac} dev eth0 nud permanent"));
    if !is_ready {
        return;
    }
    assert_eq!(lab.udp(From::Pod(3), to, PORT), Answer::Silence);
    // Nor would it if it were let in: the node does not pass such frames at all.
    load(&mut table, &lab.plan());
    assert_eq!(lab.udp(From::Pod(3), to, PORT), Answer::Silence);
    assert_eq!(lab.udp(From::Pod(2), to, PORT).server(), "pod-1");
    // Without the rules for frames it gets there, or the test would show nothing.
    table.converge(&ruleset::Ruleset::absent(ruleset::TableFamily::Bridge));
    assert_eq!(lab.udp(From::Pod(3), to, PORT).server(), "pod-1");
    load(&mut table, &lab.plan());
    assert_eq!(lab.udp(From::Pod(3), to, PORT), Answer::Silence);
}

/// A datagram that is longer than a link carries, to a neighbour and through a Service to a neighbour and to itself:
/// where the kernel shows bridged packets, it puts them together for that and cuts them again.
fn fragments(lab: &Lab) {
    let mut plan = lab.plan();
    let to_both = lab.forward(&[1, 2], SourceAddress::KeptForPods);
    expose(&mut plan, (FrontendScope::ClusterIp, Some(lab.at.cluster_ip), PORT), to_both.clone(), to_both);
    load(&mut lab.nft(), &plan);
    let ask = |to: IpAddr| {
        lab.within(From::Pod(1), || {
            let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            let socket = UdpSocket::bind((any, 0)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            socket.connect((to, PORT)).unwrap();
            socket.send(&[b'?'; 9000]).unwrap();
            let mut buffer = [0; 256];
            let len = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{to}: {error}"));
            String::from_utf8_lossy(&buffer[..len]).split(' ').next().unwrap_or_default().to_owned()
        })
    };
    assert_eq!(ask(lab.at.pods[1]), "pod-2");
    let mut met = BTreeSet::new();
    for _ in 0..64 {
        met.insert(ask(lab.at.cluster_ip));
    }
    assert_eq!(met.into_iter().collect::<Vec<_>>(), ["pod-1", "pod-2"]);
}

/// Somebody else changes the rules for frames.
fn drift(lab: &Lab) {
    let (mut table, plan) = (lab.nft(), lab.plan());
    load(&mut table, &plan);
    let drifts: &[&[&str]] = &[
        &["flush", "ruleset"],
        &["delete", "table", "bridge", "sealane"],
        &["flush", "chain", "bridge", "sealane", "from-pod"],
        &["insert", "rule", "bridge", "sealane", "from-pod", "accept"],
        &["flush", "set", "bridge", "sealane", "senders4"],
        &["add", "element", "bridge", "sealane", "gateways", "{ 02:00:00:00:00:07 }"],
        &["add", "chain", "bridge", "sealane", "theirs"],
    ];
    for drift in drifts {
        if table::nft(lab, drift).is_none() {
            println!("sealane-skip: drift of the rules for frames is repaired: no program `nft`");
            return;
        }
        assert!(load(&mut table, &plan).written > 0, "{drift:?} went unnoticed");
    }
    // A node that routes again has no such table, and those of others stay.
    table::nft(lab, &["add", "table", "bridge", "theirs"]);
    let mut routed = plan;
    routed.podnet.bridge = None;
    load(&mut table, &routed);
    let tables = table::nft(lab, &["list", "tables"]).unwrap();
    assert_eq!(tables.lines().collect::<Vec<_>>(), ["table inet sealane", "table bridge theirs"]);
}

/// Pod 3 takes the link-layer address of Pod 2.
fn another_mac(lab: &Lab) {
    let (mut table, plan, to) = (lab.nft(), lab.plan(), lab.at.pods[0]);
    load(&mut table, &plan);
    let ports = &plan.podnet.bridge.as_ref().unwrap().ports;
    let mac = |link: &str| ports[&link.into()].mac;
    assert_eq!(lab.udp(From::Pod(3), to, PORT).server(), "pod-1");
    if !ip(lab, 3, &format!("link set eth0 address {}", mac("slpod1"))) {
        return;
    }
    assert_eq!(lab.udp(From::Pod(3), to, PORT), Answer::Silence);
    assert_eq!(lab.udp(From::Pod(2), to, PORT).server(), "pod-1");
}
