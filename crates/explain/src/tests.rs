//! Questions to a small cluster of two nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use plan::{
    Backend, BackendState, Candidate, DnsPlan, DnsService, DnsServiceKind, EndpointOrigin, Exclusion,
    Frontend, FrontendAddress, FrontendRule, FrontendScope, Isolation, NodePlan, Outcome, Peer, PeerPath,
    PeerSet, Peers, PodNetwork, PodPolicy, PolicyPorts, PolicyRule, ServiceTable, SourceAddress, Via, Vxlan,
};
use types::{FailingPath, Mac, NamespacedName, NetworkMode, NodeName, ObjectRef, Port, Protocol, SharedMap};

use super::*;

const CLIENT: &str = "10.244.0.2";
const WEB: &str = "10.244.1.2";
const VIP: &str = "10.96.0.50";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

fn name(text: &str) -> NamespacedName {
    NamespacedName::new("shop", text)
}

fn frontend_rule(outcome: Outcome) -> FrontendRule {
    FrontendRule {
        owner: name("web"),
        port_name: "http".to_owned(),
        scope: FrontendScope::ClusterIp,
        internal: outcome.clone(),
        external: outcome,
        affinity_seconds: None,
        scheduling: plan::Scheduling::default(),
        source_ranges: None,
        endpoints: EndpointOrigin::Selector,
        candidates: vec![Candidate {
            backend: Backend { address: ip("10.244.1.9"), port: port(8080) },
            pod: Some(name("web-sick")),
            node: Some(NodeName::from("node-b")),
            state: BackendState { ready: false, serving: false, terminating: false },
            excluded_internal: Some(Exclusion::NotReady),
            excluded_external: Some(Exclusion::NotReady),
        }],
    }
}

fn node(this: &str, other: &str, pods: &[(&str, &str)], outcome: &Outcome) -> NodePlan {
    let number = |name: &str| if name == "node-a" { 1 } else { 2 };
    let peer = Peer {
        underlay: ip(&format!("172.31.0.1{}", number(other))),
        paths: BTreeMap::from([(
            "10.244.1.0/24".parse().unwrap(),
            PeerPath { via: Via::Vxlan { address: ip("10.244.1.0"), mac: Mac::derived(other) }, mtu: 1450 },
        )]),
        failing: None,
    };
    let frontend =
        Frontend { address: FrontendAddress::Vip(ip(VIP)), protocol: Protocol::Tcp, port: port(80) };
    let kind = DnsServiceKind::ClusterIp { addresses: BTreeSet::from([ip(VIP)]), ports: Vec::new() };
    NodePlan {
        node: NodeName::from(this),
        podnet: PodNetwork {
            peers: BTreeMap::from([(NodeName::from(other), peer)]),
            local_pods: pods.iter().map(|(address, pod)| (ip(address), name(pod))).collect(),
            ..PodNetwork::default()
        }
        .into(),
        services: ServiceTable {
            frontends: SharedMap::from([(frontend, frontend_rule(outcome.clone()))]),
            node_addresses: BTreeSet::from([ip(&format!("172.31.0.1{}", number(this)))]),
            pod_cidrs: BTreeSet::from(["10.244.0.0/16".parse().unwrap()]),
            service_cidrs: BTreeSet::from(["10.96.0.0/16".parse().unwrap()]),
            local_vips: BTreeSet::from([ip("10.96.0.10")]),
            served_elsewhere: SharedMap::new(),
            health_checks: BTreeMap::new(),
        },
        policy: Default::default(),
        dns: DnsPlan {
            cluster_domain: "cluster.local".to_owned(),
            addresses: BTreeSet::from([ip("10.96.0.10")]),
            namespaces: BTreeSet::from(["shop".to_owned(), "other".to_owned()]).into(),
            services: SharedMap::from([(name("web"), DnsService { kind, endpoints: Vec::new() })]),
            ttl_seconds: 5,
            ..DnsPlan::default()
        },
        gateway: Default::default(),
        lb: Default::default(),
    }
}

fn cluster(outcome: &Outcome) -> Cluster {
    let here = node("node-a", "node-b", &[(CLIENT, "client")], outcome);
    let there = node("node-b", "node-a", &[(WEB, "web-1")], outcome);
    Cluster { plans: [here, there].map(|plan| (plan.node.clone(), plan)).into() }
}

fn forwarding() -> Outcome {
    let backends = BTreeSet::from([Backend { address: ip(WEB), port: port(8080) }]);
    Outcome::Forward { backends: backends.into(), source: SourceAddress::KeptForPods }
}

fn ask(cluster: &Cluster, from: &str, to: &str) -> Explanation {
    explain(cluster, &Question::parse(from, to, "shop").unwrap())
}

fn stages(explanation: &Explanation) -> Vec<Stage> {
    explanation.hops.iter().map(|hop| hop.stage).collect()
}

#[test]
fn nothing_reaches_a_node_that_there_is_no_route_to() {
    let mut cluster = cluster(&forwarding());
    cluster.plans.get_mut(&NodeName::from("node-a")).expect("there").podnet.peers.clear();
    let explanation = ask(&cluster, "client", "web:80");
    assert!(!explanation.conclusion.is_reached(), "{explanation}");
    assert!(explanation.to_string().contains("Node node-a has no route to Node node-b"), "{explanation}");
}

#[test]
fn a_name_leads_through_its_service_to_a_pod_on_another_node() {
    let explanation = ask(&cluster(&forwarding()), "client", "web:80");
    assert_eq!(
        stages(&explanation),
        [Stage::Name, Stage::Service, Stage::Egress, Stage::Ingress, Stage::Route]
    );
    assert!(explanation.conclusion.is_reached(), "{explanation}");
    let text = explanation.to_string();
    assert!(text.contains("web-sick (not ready)"), "{text}");
    assert!(text.contains("from Node node-a to Node node-b, through VXLAN to 172.31.0.12"), "{text}");
    assert!(text.contains("reaches 10.244.1.2:8080 (Pod shop/web-1 on node-b)"), "{text}");
}

/// The same cluster with IPv6 beside IPv4: Pods, nodes and the Service have an address of each.
fn dual() -> Cluster {
    let mut cluster = cluster(&forwarding());
    let six = |address: &str| ip(address);
    for plan in cluster.plans.values_mut() {
        let own: Vec<_> = plan.podnet.local_pods.clone().into_iter().collect();
        let twins = own.into_iter().map(|(address, pod)| match address {
            IpAddr::V4(four) => (six(&format!("fd00::{}", four.octets()[3])), pod),
            IpAddr::V6(_) => (address, pod),
        });
        plan.podnet.local_pods.extend(twins);
        let vip = six("fd00:96::9");
        let frontend =
            Frontend { address: FrontendAddress::Vip(vip), protocol: Protocol::Tcp, port: port(80) };
        let backends = BTreeSet::from([Backend { address: six("fd00::9999"), port: port(8080) }]);
        let outcome = Outcome::Forward { backends: backends.into(), source: SourceAddress::KeptForPods };
        plan.services.frontends.insert(frontend, frontend_rule(outcome));
        let kind = DnsServiceKind::ClusterIp { addresses: BTreeSet::from([vip]), ports: Vec::new() };
        plan.dns.services.insert(name("six"), DnsService { kind, endpoints: Vec::new() });
    }
    cluster
}

#[test]
fn a_client_of_both_families_uses_the_one_of_the_name() {
    let cluster = dual();
    let six = ask(&cluster, "client", "six:80");
    assert!(six.to_string().contains("fd00:96::9"), "{six}");
    assert_eq!(six.conclusion, Conclusion::LeavesCluster, "{six}");
    let four = ask(&cluster, "client", "web:80");
    assert!(four.conclusion.is_reached(), "{four}");
}

#[test]
fn a_client_without_the_family_is_told_so() {
    let mut cluster = dual();
    for plan in cluster.plans.values_mut() {
        plan.podnet.local_pods.retain(|address, _| address.is_ipv4());
    }
    let explanation = ask(&cluster, "client", "six:80");
    assert_eq!(explanation.conclusion, Conclusion::Refused);
    let text = explanation.to_string();
    assert!(text.contains("the client has no IPv6 address to reach fd00:96::9 with"), "{text}");
}

#[test]
fn bridges_are_named_without_claiming_who_is_on_them() {
    let mut cluster = cluster(&forwarding());
    let mut told = |node: &str, mode, to: &str| {
        cluster.plans.get_mut(&NodeName::from(node)).unwrap().podnet.link.mode = mode;
        ask(&cluster, "client", to).to_string()
    };
    let text = told("node-b", NetworkMode::Bridge, "web:80");
    assert!(
        text.contains("through VXLAN to 172.31.0.12, Node node-b joins new Pods by its bridge sealane-br"),
        "{text}"
    );
    let text = told("node-a", NetworkMode::Bridge, "web:80");
    assert!(text.contains("172.31.0.12, Node node-a joins new Pods by its bridge sealane-br"), "{text}");
    let text = told("node-a", NetworkMode::Bridge, "10.244.0.2:80");
    assert!(text.contains("on Node node-a itself, which joins new Pods by its bridge sealane-br"), "{text}");
    let text = told("node-a", NetworkMode::Routed, "10.244.0.2:80");
    assert!(text.contains("on Node node-a itself\n"), "{text}");
}

#[test]
fn a_pod_is_kept_from_the_tunnel_by_its_own_node() {
    let mut cluster = cluster(&forwarding());
    let ask_over = |cluster: &Cluster, from: &str, to: &str, protocol| {
        let question = Question { protocol, ..Question::parse(from, to, "shop").unwrap() };
        explain(cluster, &question)
    };
    let untunnelled = ask_over(&cluster, "client", "172.31.0.12:8472", Protocol::Udp);
    assert_eq!(untunnelled.conclusion, Conclusion::ReachesNode, "{untunnelled}");
    cluster.plans.get_mut(&NodeName::from("node-a")).unwrap().podnet.vxlan = Some(Vxlan {
        link: "sealane-vx".into(),
        vni: 4096,
        port: 8472,
        underlay: ip("172.31.0.11"),
        addresses: [ip("10.244.0.0")].into(),
        mac: Mac::derived("node-a"),
        mtu: 1450,
    });
    for (to, node) in [("172.31.0.12:8472", "node-b"), ("172.31.0.11:8472", "node-a")] {
        let kept = ask_over(&cluster, "client", to, Protocol::Udp);
        assert_eq!(kept.conclusion, Conclusion::Dropped, "{kept}");
        let why = format!("Node node-a drops what Pod shop/client sends to port 8472/UDP of Node {node}");
        assert!(kept.summary.contains(&why), "{kept}");
        assert_eq!(kept.hops.last().unwrap().object, Some(ObjectRef::cluster("Node", "node-a")));
    }
    // At its other InternalIP, too.
    let node_a = cluster.plans.get_mut(&NodeName::from("node-a")).unwrap();
    node_a.podnet.other_nodes.insert(ip("172.31.0.99"));
    let node_b = cluster.plans.get_mut(&NodeName::from("node-b")).unwrap();
    node_b.services.node_addresses.insert(ip("172.31.0.99"));
    let kept = ask_over(&cluster, "client", "172.31.0.99:8472", Protocol::Udp);
    assert_eq!(kept.conclusion, Conclusion::Dropped, "{kept}");
    let other_port = ask_over(&cluster, "client", "172.31.0.12:8473", Protocol::Udp);
    assert_eq!(other_port.conclusion, Conclusion::ReachesNode, "{other_port}");
    let other_protocol = ask_over(&cluster, "client", "172.31.0.12:8472", Protocol::Tcp);
    assert_eq!(other_protocol.conclusion, Conclusion::ReachesNode, "{other_protocol}");
    let from_node = ask_over(&cluster, "node/node-a", "172.31.0.12:8472", Protocol::Udp);
    assert_eq!(from_node.conclusion, Conclusion::ReachesNode, "{from_node}");
}

#[test]
fn a_wrong_name_says_where_the_right_one_is() {
    let mut cluster = cluster(&forwarding());
    for plan in cluster.plans.values_mut() {
        let (address, _) = plan.podnet.local_pods.pop_first().unwrap();
        plan.podnet.local_pods.insert(address, NamespacedName::new("other", "client"));
    }
    let explanation = ask(&cluster, "other/client", "web:80");
    assert_eq!(explanation.conclusion, Conclusion::NoName);
    assert!(explanation.summary.contains("ask for web.shop"), "{explanation}");
}

#[test]
fn a_policy_at_the_backend_is_named_with_its_field() {
    let mut cluster = cluster(&forwarding());
    let isolation = Isolation {
        policies: BTreeSet::from([name("database")]),
        rules: vec![PolicyRule {
            policy: name("database"),
            index: 0,
            peers: Peers::Set(0),
            ports: PolicyPorts::Any,
        }],
    };
    let there = cluster.plans.get_mut(&NodeName::from("node-b")).unwrap();
    there.policy.peer_sets = vec![PeerSet::default()];
    let pod = PodPolicy { pod: name("web-1"), ingress: Some(isolation), egress: None };
    there.policy.pods.insert(ip(WEB), pod);
    let explanation = ask(&cluster, "client", "http://web/");
    assert_eq!(explanation.conclusion, Conclusion::Denied, "{explanation}");
    let last = explanation.hops.last().unwrap();
    assert_eq!(last.object.as_ref().unwrap().to_string(), "NetworkPolicy shop/database");
    assert_eq!(last.field, "spec.ingress");
    there_is_a_way_for_allowed_peers(&mut cluster);
}

fn there_is_a_way_for_allowed_peers(cluster: &mut Cluster) {
    let there = cluster.plans.get_mut(&NodeName::from("node-b")).unwrap();
    there.policy.peer_sets[0].addresses.insert(ip(CLIENT));
    let explanation = ask(cluster, "client", "http://web/");
    assert!(explanation.conclusion.is_reached(), "{explanation}");
    assert!(
        explanation.to_string().contains("[NetworkPolicy shop/database spec.ingress[0]]"),
        "{explanation}"
    );
}

#[test]
fn a_service_without_endpoints_refuses_and_wrong_ports_are_listed() {
    let explanation = ask(&cluster(&Outcome::Reject), "client", "web:80");
    assert_eq!(explanation.conclusion, Conclusion::Refused);
    let explanation = ask(&cluster(&forwarding()), "client", "web:81");
    assert_eq!(explanation.conclusion, Conclusion::Refused);
    assert!(explanation.summary.contains("it has 80/TCP"), "{explanation}");
}

#[test]
fn each_of_several_backends_has_a_line() {
    let backends = [WEB, "10.244.1.3"].map(|address| Backend { address: ip(address), port: port(8080) });
    let outcome =
        Outcome::Forward { backends: BTreeSet::from(backends).into(), source: SourceAddress::KeptForPods };
    let mut cluster = cluster(&outcome);
    let there = cluster.plans.get_mut(&NodeName::from("node-b")).unwrap();
    there.podnet.local_pods.insert(ip("10.244.1.3"), name("web-2"));
    let ends = |explanation: &Explanation| {
        let text = explanation.to_string();
        let (_, end) = text.split_once("  = ").unwrap();
        end.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    let expected = [
        "reaches one of 2 backends",
        "✓ 10.244.1.2:8080 (Pod shop/web-1 on node-b)",
        "✓ 10.244.1.3:8080 (Pod shop/web-2 on node-b)",
    ];
    assert_eq!(ends(&ask(&cluster, "client", "web:80")), expected);
    let there = cluster.plans.get_mut(&NodeName::from("node-b")).unwrap();
    let isolation = Isolation { policies: BTreeSet::from([name("database")]), rules: Vec::new() };
    let pod = PodPolicy { pod: name("web-2"), ingress: Some(isolation), egress: None };
    there.policy.pods.insert(ip("10.244.1.3"), pod);
    let expected = "reaches 10.244.1.2:8080 (Pod shop/web-1 on node-b) but is denied at 10.244.1.3:8080 \
                    (Pod shop/web-2 on node-b)";
    assert_eq!(ends(&ask(&cluster, "client", "web:80")), [expected]);
}

#[test]
fn without_a_selector_the_endpoint_slice_decides() {
    let mut cluster = cluster(&forwarding());
    let decider = |cluster: &Cluster| {
        let explanation = ask(cluster, "client", "web:80");
        let hop = explanation.hops.into_iter().find(|hop| hop.stage == Stage::Service).unwrap();
        format!("{} {}", hop.object.unwrap(), hop.field)
    };
    assert_eq!(decider(&cluster), "Service shop/web spec.selector");
    for plan in cluster.plans.values_mut() {
        for rule in plan.services.frontends.values_mut() {
            rule.endpoints = EndpointOrigin::Slices(BTreeSet::from(["web-by-hand".to_owned()]));
        }
    }
    assert_eq!(decider(&cluster), "EndpointSlice shop/web-by-hand endpoints");
}

#[test]
fn pods_and_outside_addresses_are_reached_directly() {
    let cluster = cluster(&forwarding());
    assert!(ask(&cluster, "client", "pod/web-1:8080").conclusion.is_reached());
    assert_eq!(ask(&cluster, "client", "192.0.2.7:443").conclusion, Conclusion::LeavesCluster);
    assert_eq!(ask(&cluster, "nobody", "web:80").conclusion, Conclusion::NoClient);
    assert_eq!(ask(&cluster, "client", "pod/web-1").conclusion, Conclusion::NoPort);
    assert!(ask(&cluster, "client", "web").conclusion.is_reached(), "the Service's only port is meant");
    assert_eq!(ask(&cluster, "client", "localhost:80").conclusion, Conclusion::ReachesNode);
    assert_eq!(ask(&cluster, "client", "www.example.com:80").conclusion, Conclusion::LeavesCluster);
    assert_eq!(ask(&cluster, "client", "web.nowhere:80").conclusion, Conclusion::NoName);
    assert_eq!(ask(&cluster, "client", "10.96.0.10:53/udp").conclusion, Conclusion::ReachesNode);
    assert_eq!(ask(&cluster, "client", "10.96.77.77:80").conclusion, Conclusion::Dropped);
}

#[test]
fn what_another_proxy_serves_is_left_to_it() {
    let mut cluster = cluster(&forwarding());
    for plan in cluster.plans.values_mut() {
        let service = [NamespacedName::new("shop", "foreign")].into();
        plan.services.served_elsewhere.insert("10.96.77.77".parse().unwrap(), service);
    }
    let told = ask(&cluster, "client", "10.96.77.77:80");
    assert_eq!(told.conclusion, Conclusion::ReachesNode);
    assert!(told.to_string().contains("Service shop/foreign is served by another proxy"), "{told}");
}

#[test]
fn questions_are_read_as_people_write_them() {
    let question = |from, to| Question::parse(from, to, "shop").unwrap().to_string();
    assert_eq!(question("web-1", "web:80"), "Pod shop/web-1 → web port 80/TCP");
    assert_eq!(question("other/web-1", "dns.x:53/udp"), "Pod other/web-1 → dns.x port 53/UDP");
    assert_eq!(question("outside", "https://Shop.example.com/a"), "outside → https://shop.example.com:443/a");
    assert_eq!(question("node/node-a", "[fd00::1]:80"), "Node node-a → fd00::1 port 80/TCP");
    assert!(Question::parse("a/b/c/d", "web:80", "shop").is_err());
    assert!(Question::parse("web-1", "ftp://web/", "shop").is_err());
    assert!(Question::parse("web-1", "web:0", "shop").is_err());
}

#[test]
fn a_namespace_may_be_called_like_a_kind() {
    for from in ["pod/service/client", "service/client"] {
        let question = Question::parse(from, "http://web/", "default").unwrap();
        assert_eq!(question.from, Client::Pod(types::NamespacedName::new("service", "client")));
    }
}

proptest::proptest! {
    #[test]
    fn any_question_is_read_or_refused(
        from in "(pod|node|service|outside|web|/|:|\\[|\\]|\\PC){0,6}",
        to in "(http://|https://|tcp://|web|/|:|80|\\[|\\]|@|\\?|\\PC){0,8}",
        namespace in "\\PC{0,6}",
    ) {
        let _ = Question::parse(&from, &to, &namespace);
    }
}

#[test]
fn a_way_that_is_too_narrow_is_a_warning_and_no_end() {
    for here in ["node-a", "node-b"] {
        let mut cluster = cluster(&forwarding());
        let podnet = &mut cluster.plans.get_mut(&NodeName::from(here)).unwrap().podnet;
        let peer = podnet.peers.values_mut().next().unwrap();
        peer.failing = Some(FailingPath { sends: 1450, passes: Some(1400) });
        let explanation = ask(&cluster, "client", "web:80");
        assert!(explanation.conclusion.is_reached(), "{explanation}");
        let told = "! route   connects, but packets above 1400 bytes are lost between Node node-a and Node node-b, and Pods \
                    send up to 1450";
        assert!(
            explanation.to_string().contains(told),
            "the way there and the way back count: {explanation}"
        );
        assert_eq!(explanation.hops.last().unwrap().verdict, HopVerdict::Warn);
    }
}
