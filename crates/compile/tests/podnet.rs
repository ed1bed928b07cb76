//! Ways to peers per family, ranges for Nodes, and what is masqueraded.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;

use model::{Change, Snapshot};
use plan::{Finding, PodNetwork, Via};
use sealane_compile::{
    ClusterContext, Compiler, NodeContext, NodeMask, TunnelMode, UnderlayAddress, cluster_plan, node_plan,
};
use serde_json::json;
use testkit::{cluster_context, node_context};
use types::{Masquerading, NodeName, ObjectRef, Prefix};

fn snapshot(nodes: &[(&str, &[&str], &[&str])]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (name, addresses, ranges) in nodes {
        let addresses: Vec<_> =
            addresses.iter().map(|address| json!({"type": "InternalIP", "address": address})).collect();
        let node: k8s_openapi::api::core::v1::Node = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"podCIDR": ranges.first(), "podCIDRs": ranges},
            "status": {"addresses": addresses},
        }))
        .unwrap();
        snapshot.apply(Change::put(&node));
    }
    snapshot
}

fn context(tunnel: TunnelMode, addresses: &[&str]) -> NodeContext {
    let mut context = node_context(&NodeName::from("a"), "172.31.0.11".parse().unwrap(), tunnel);
    let held = |text: &&str| {
        let address = text.parse().unwrap();
        let len = if text.contains(':') { 64 } else { 24 };
        UnderlayAddress { address, subnet: Prefix::new(address, len) }
    };
    context.underlay.addresses = addresses.iter().map(held).collect();
    context
}

fn podnet(snapshot: &Snapshot, context: &NodeContext) -> (PodNetwork, Vec<Finding>) {
    let (plan, findings) = node_plan(snapshot, context);
    ((*plan.podnet).clone(), findings)
}

/// The ways to each range, such as `10.244.2.0/24 direct`.
fn ways(podnet: &PodNetwork) -> Vec<String> {
    let paths = podnet.peers.values().flat_map(|peer| &peer.paths);
    let shown = paths.map(|(range, path)| match path.via {
        Via::Vxlan { address, .. } => format!("{range} vxlan {address} {}", path.mtu),
        Via::Direct { nexthop } => format!("{range} direct {nexthop} {}", path.mtu),
    });
    shown.collect()
}

fn why(findings: &[Finding], reason: &str) -> Vec<String> {
    let found = findings.iter().filter(|finding| finding.reason == reason);
    found.map(|finding| format!("{} {}", finding.object.name, finding.message)).collect()
}

const A: (&str, &[&str], &[&str]) =
    ("a", &["172.31.0.11", "fd00:31::11"], &["10.244.1.0/24", "fd00:244:0:1::/64"]);

#[test]
fn auto_mixes_ways_per_peer_and_per_family() {
    let snapshot = snapshot(&[
        A,
        // Of the same subnets.
        ("b", &["172.31.0.12", "fd00:31::12"], &["10.244.2.0/24", "fd00:244:0:2::/64"]),
        // No IPv6 address: that family goes through the tunnel.
        ("c", &["172.31.0.13"], &["10.244.3.0/24", "fd00:244:0:3::/64"]),
        // Elsewhere for IPv4, here for IPv6.
        ("d", &["192.0.2.14", "fd00:31::14"], &["10.244.4.0/24", "fd00:244:0:4::/64"]),
    ]);
    let (podnet, findings) = podnet(&snapshot, &context(TunnelMode::Auto, A.1));
    assert_eq!(
        ways(&podnet),
        [
            "10.244.2.0/24 direct 172.31.0.12 1500",
            "fd00:244:0:2::/64 direct fd00:31::12 1500",
            "10.244.3.0/24 direct 172.31.0.13 1500",
            "fd00:244:0:3::/64 vxlan fd00:244:0:3:: 1450",
            "10.244.4.0/24 vxlan 10.244.4.0 1450",
            "fd00:244:0:4::/64 direct fd00:31::14 1500",
        ]
    );
    assert_eq!(why(&findings, "NoPath"), Vec::<String>::new());
    assert_eq!(podnet.vxlan.unwrap().addresses.len(), 2);
}

#[test]
fn a_family_without_a_way_is_told() {
    let snapshot = snapshot(&[A, ("c", &["172.31.0.13"], &["10.244.3.0/24", "fd00:244:0:3::/64"])]);
    let (podnet, findings) = podnet(&snapshot, &context(TunnelMode::Direct, A.1));
    assert_eq!(ways(&podnet), ["10.244.3.0/24 direct 172.31.0.13 1500"]);
    assert_eq!(
        why(&findings, "NoPath"),
        ["c no way from Node a to fd00:244:0:3::/64: it has no IPv6 InternalIP"]
    );
}

#[test]
fn nodes_whose_tunnels_use_other_families_are_told() {
    let snapshot = snapshot(&[A, ("b", &["fd00:31::12", "172.31.0.12"], &["10.244.2.0/24"])]);
    let (podnet, findings) = podnet(&snapshot, &context(TunnelMode::Vxlan, A.1));
    assert_eq!(ways(&podnet), Vec::<String>::new());
    let told = why(&findings, "NoPath");
    assert!(told.len() == 1 && told[0].contains("must list the InternalIP of one family first"), "{told:?}");
}

#[test]
fn a_cluster_of_ipv6_alone_has_a_tunnel_over_ipv6() {
    let snapshot = snapshot(&[
        ("a", &["fd00:31::11"], &["fd00:244:0:1::/64"]),
        ("b", &["fd00:31::12"], &["fd00:244:0:2::/64"]),
    ]);
    // The link has an IPv4 address, too, of which the cluster knows nothing.
    let context = context(TunnelMode::Vxlan, &["192.0.2.1", "fd00:31::11"]);
    let (podnet, findings) = podnet(&snapshot, &context);
    assert_eq!(ways(&podnet), ["fd00:244:0:2::/64 vxlan fd00:244:0:2:: 1430"]);
    assert_eq!(podnet.vxlan.unwrap().underlay, "fd00:31::11".parse::<std::net::IpAddr>().unwrap());
    assert_eq!(podnet.link.path_mtu, 1430);
    assert_eq!(why(&findings, "NoPath"), Vec::<String>::new());
}

#[test]
fn masquerading_has_exceptions_and_an_end() {
    let snapshot = snapshot(&[A]);
    let mut context = context(TunnelMode::Vxlan, A.1);
    let outside = "192.0.2.7".parse().unwrap();
    let pod = "10.244.1.9".parse().unwrap();
    assert!(podnet(&snapshot, &context).0.masquerade.translates(pod, outside));
    let except = BTreeSet::from(["192.0.2.0/24".parse().unwrap()]);
    context.masquerade = Masquerading::LeavingCluster { except };
    let masquerade = podnet(&snapshot, &context).0.masquerade;
    assert!(!masquerade.translates(pod, outside));
    assert!(masquerade.translates(pod, "198.51.100.1".parse().unwrap()));
    context.masquerade = Masquerading::Off;
    assert!(podnet(&snapshot, &context).0.masquerade.sources.is_empty());
}

#[test]
fn each_node_gets_a_range_of_each_family_from_the_first_that_has_room() {
    let none: &[&str] = &[];
    let snapshot =
        snapshot(&[("a", &["10.1.0.1"], none), ("b", none, none), ("c", none, none), ("d", none, none)]);
    let range = |text: &str| text.parse::<Prefix>().unwrap();
    let context = ClusterContext {
        pod_cidrs: ["10.2.0.0/25", "10.1.0.0/25", "fd00::/48"].map(range).to_vec(),
        node_mask: NodeMask { v4: 26, v6: 56 },
        service_cidrs: BTreeSet::from([range("fd00::/112")]),
        ..cluster_context()
    };
    let plan = cluster_plan(&snapshot, &context);
    let given: Vec<_> = plan
        .pod_cidrs
        .iter()
        .map(|(node, ranges)| {
            format!("{node} {}", ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        })
        .collect();
    // The first of the second range holds the address of a Node, and fd00::/56 the Services.
    assert_eq!(
        given,
        [
            "a 10.2.0.0/26 fd00:0:0:100::/56",
            "b 10.2.0.64/26 fd00:0:0:200::/56",
            "c 10.1.0.64/26 fd00:0:0:300::/56",
            "d fd00:0:0:400::/56",
        ]
    );
    let told = why(&plan.findings.into_iter().collect::<Vec<_>>(), "PodCIDRExhausted");
    assert_eq!(
        told,
        [
            "d no range of 26 bits in 10.2.0.0/25, 10.1.0.0/25 is free for the Node; give the cluster loop another range"
        ]
    );
}

#[test]
fn pods_from_before_a_change_of_ranges_leave_the_cluster_as_others_do() {
    let attachment = |address: &str, origin: &str| -> types::Attachment {
        serde_json::from_value(json!({
            "containerId": address, "ifname": "eth0", "netns": "/run/netns/x", "pod": "shop/web", "hostLink": "slx",
            "addresses": [address], "podMac": "02:00:00:00:00:01", "hostMac": "02:00:00:00:00:02", "origin": origin,
        }))
        .unwrap()
    };
    let mut context = context(TunnelMode::Vxlan, A.1);
    for (address, origin) in [("10.244.1.2", "own"), ("10.99.9.2", "own"), ("10.99.9.3", "previous")] {
        let attachment = attachment(address, origin);
        context.attachments.insert((address.to_owned(), "eth0".into()), attachment);
    }
    let (podnet, _) = podnet(&snapshot(&[A]), &context);
    let is_translated =
        |from: &str, to: &str| podnet.masquerade.translates(from.parse().unwrap(), to.parse().unwrap());
    assert!(is_translated("10.244.1.2", "192.0.2.1"));
    assert!(is_translated("10.99.9.2", "192.0.2.1"), "of a range that the node no longer has");
    assert!(!is_translated("10.99.9.2", "10.244.1.2"), "within the cluster");
    assert!(!is_translated("10.244.1.2", "10.99.9.2"), "within the cluster");
    assert!(!is_translated("10.99.9.3", "192.0.2.1"), "what another plugin joined is its own");
}

#[test]
fn ranges_that_something_else_has_are_told() {
    let snapshot =
        snapshot(&[("a", &["172.31.0.11"], &["10.96.0.0/24"]), ("b", &["10.96.0.7"], &["10.244.2.0/24"])]);
    let (_, findings) = podnet(&snapshot, &context(TunnelMode::Vxlan, A.1));
    assert_eq!(
        why(&findings, "ServiceCIDROverlap"),
        ["a 10.96.0.0/24 overlaps the range 10.96.0.0/16 of Service addresses"]
    );
    assert_eq!(
        why(&findings, "NodeAddressInPodCIDR"),
        ["b 10.96.0.7 is in the Pod range 10.96.0.0/24 of Node a"]
    );
}

#[test]
fn ranges_of_service_cidrs_count_as_they_come_and_go() {
    let (mut snapshot, context) = (snapshot(&[A]), context(TunnelMode::Vxlan, A.1));
    let mut compiler = Compiler::default();
    let mut ranges = |snapshot: &Snapshot| {
        let (plan, _) = compiler.compile(snapshot, &context);
        assert_eq!(plan, node_plan(snapshot, &context).0);
        plan.services.service_cidrs.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(ranges(&snapshot), ["10.96.0.0/16"]);
    let put = |snapshot: &mut Snapshot, range: &str| {
        let cidr: k8s_openapi::api::networking::v1::ServiceCIDR = serde_json::from_value(json!({
            "metadata": {"name": "more"},
            "spec": {"cidrs": [range]},
        }))
        .unwrap();
        snapshot.apply(Change::put(&cidr));
    };
    put(&mut snapshot, "10.244.1.0/28");
    assert_eq!(ranges(&snapshot), ["10.96.0.0/16", "10.244.1.0/28"]);
    let (_, findings) = node_plan(&snapshot, &context);
    assert_eq!(
        why(&findings, "ServiceCIDROverlap"),
        ["a 10.244.1.0/24 overlaps the range 10.244.1.0/28 of Service addresses"]
    );
    put(&mut snapshot, "10.96.0.0/16");
    assert_eq!(ranges(&snapshot), ["10.96.0.0/16"]);
    put(&mut snapshot, "10.98.0.0/99");
    assert_eq!(ranges(&snapshot), ["10.96.0.0/16"]);
    let (_, findings) = node_plan(&snapshot, &context);
    assert!(findings.iter().any(|finding| finding.field == "spec.cidrs[0]"), "{findings:?}");
    put(&mut snapshot, "10.98.0.0/24");
    snapshot.apply(Change::Remove(ObjectRef::cluster("ServiceCIDR", "more")));
    assert_eq!(ranges(&snapshot), ["10.96.0.0/16"]);
}

#[test]
fn the_tunnel_is_guarded_at_every_address_of_every_node() {
    let snapshot = snapshot(&[
        A,
        ("b", &["172.31.0.12", "192.0.2.12"], &["10.244.2.0/24"]),
        // No peer, as its range is the first one's.
        ("c", &["172.31.0.13"], &["10.244.1.0/24"]),
    ]);
    let (plan, _) = node_plan(&snapshot, &context(TunnelMode::Vxlan, &["172.31.0.11"]));
    assert_eq!(plan.podnet.peers.len(), 1);
    let wanted =
        ["172.31.0.11", "172.31.0.12", "172.31.0.13", "192.0.2.12"].map(|text| format!("{text}:8472"));
    let ends: Vec<String> = plan.tunnel_ends().iter().map(ToString::to_string).collect();
    assert_eq!(ends, [&wanted[..], &["[fd00:31::11]:8472".to_owned()]].concat());
}
