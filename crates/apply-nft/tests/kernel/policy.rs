//! NetworkPolicy: who may reach whom, over direct connections and through Services.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use apply_netlink::Netlink;
use netns::world;
use plan::{
    FrontendScope, IpBlock, Isolation, NodePlan, PeerSet, Peers, PolicyPorts, PolicyRule, PortRange,
    SourceAddress,
};
use types::{IpFamily, NamespacedName, Prefix, Protocol};

use crate::fixture::{Answer, Client, From, Lab, PORT, expose, isolate, load, port};

fn isolation(rules: Vec<(Peers, PolicyPorts)>) -> Isolation {
    let policy = NamespacedName::new("default", "policy");
    let rules = rules.into_iter().enumerate().map(|(index, (peers, ports))| PolicyRule {
        policy: policy.clone(),
        index,
        peers,
        ports,
    });
    Isolation { policies: [policy.clone()].into(), rules: rules.collect() }
}

fn ports(first: u16, last: u16) -> PolicyPorts {
    let both = [Protocol::Tcp, Protocol::Udp];
    let range = |protocol| PortRange { protocol, first: Some(port(first)), last: Some(port(last)) };
    PolicyPorts::Only(both.map(range).into())
}

fn reaches(lab: &Lab, from: From, to: std::net::IpAddr) -> bool {
    let (tcp, udp) = (lab.tcp(from, to, PORT), lab.udp(from, to, PORT));
    let reached = |answer: &Answer| matches!(answer, Answer::Reached { .. });
    assert_eq!(reached(&tcp), reached(&udp), "{from:?}: {tcp:?} but {udp:?}");
    if !reached(&tcp) {
        assert_eq!((tcp, udp), (Answer::Silence, Answer::Silence), "denied is dropped");
        return false;
    }
    true
}

/// Who of pod-2, pod-3 and the outside reaches pod-1, whose ingress is as given.
fn ingress(lab: &Lab, plan: &mut NodePlan, rules: Vec<(Peers, PolicyPorts)>) -> [bool; 3] {
    isolate(plan, (1, lab.at.pods[0]), Some(isolation(rules)), None);
    load(&mut lab.nft(), plan);
    let at = &lab.at;
    // The node always reaches its Pods, a Pod always itself, and nothing else is touched.
    assert!(reaches(lab, From::Node, at.pods[0]));
    assert!(reaches(lab, From::Pod(1), at.pods[0]));
    assert!(reaches(lab, From::Pod(1), at.pods[1]));
    [From::Pod(2), From::Pod(3), From::Outside].map(|from| reaches(lab, from, at.pods[0]))
}

pub(crate) fn check_ingress(lab: &Lab) {
    let at = &lab.at;
    let mut plan = lab.plan();
    let everybody = Prefix::new(at.outside, 0).unwrap();
    let block = |cidr, except: &[Prefix]| IpBlock { cidr, except: except.iter().copied().collect() };
    plan.policy.peer_sets = vec![
        PeerSet { addresses: [at.pods[1]].into(), blocks: [].into() },
        PeerSet { addresses: [].into(), blocks: [block(everybody, &[Prefix::host(at.pods[2])])].into() },
        PeerSet { addresses: [].into(), blocks: [block(Prefix::host(at.outside), &[])].into() },
    ];
    let any = || PolicyPorts::Any;
    assert_eq!(ingress(lab, &mut plan, vec![]), [false, false, false]);
    assert_eq!(ingress(lab, &mut plan, vec![(Peers::Any, any())]), [true, true, true]);
    assert_eq!(ingress(lab, &mut plan, vec![(Peers::Set(0), any())]), [true, false, false]);
    assert_eq!(ingress(lab, &mut plan, vec![(Peers::Set(1), any())]), [true, false, true]);
    assert_eq!(ingress(lab, &mut plan, vec![(Peers::Set(2), ports(PORT, PORT))]), [false, false, true]);
    let union = vec![(Peers::Set(0), ports(PORT, PORT)), (Peers::Set(2), ports(8000, 8100))];
    assert_eq!(ingress(lab, &mut plan, union), [true, false, true]);
    assert_eq!(ingress(lab, &mut plan, vec![(Peers::Set(0), ports(80, 81))]), [false, false, false]);
    assert_eq!(ingress(lab, &mut plan, vec![(Peers::Any, ports(8080, 8090))]), [true, true, true]);
    assert_eq!(ingress(lab, &mut plan, vec![(Peers::Any, ports(8081, 8090))]), [false, false, false]);
    let sctp = PortRange { protocol: Protocol::Sctp, first: Some(port(PORT)), last: Some(port(PORT)) };
    let only_sctp = vec![(Peers::Any, PolicyPorts::Only([sctp].into()))];
    assert_eq!(ingress(lab, &mut plan, only_sctp), [false, false, false]);
}

#[test]
fn ingress_is_what_the_rules_allow() {
    world::test(|| check_ingress(&Lab::new(IpFamily::V4)));
}

#[test]
fn ingress_is_what_the_rules_allow_over_ipv6() {
    world::test(|| check_ingress(&Lab::new(IpFamily::V6)));
}

pub(crate) fn check_egress(lab: &Lab) {
    let at = &lab.at;
    let mut plan = lab.plan();
    let all = lab.forward(&[2], SourceAddress::KeptForPods);
    expose(&mut plan, (FrontendScope::ClusterIp, Some(at.cluster_ip), PORT), all.clone(), all);
    plan.policy.peer_sets = vec![PeerSet { addresses: [at.pods[1]].into(), blocks: [].into() }];
    let mut table = lab.nft();
    isolate(&mut plan, (1, at.pods[0]), None, Some(isolation(vec![(Peers::Set(0), ports(PORT, PORT))])));
    load(&mut table, &plan);
    // Policy sees the backend, not the Service (NP9).
    assert!(reaches(lab, From::Pod(1), at.pods[1]));
    assert!(reaches(lab, From::Pod(1), at.cluster_ip));
    assert!(!reaches(lab, From::Pod(1), at.pods[2]));
    assert!(!reaches(lab, From::Pod(1), at.outside));
    assert!(!reaches(lab, From::Pod(1), at.node));
    assert!(reaches(lab, From::Pod(3), at.pods[0]), "replies of an isolated Pod pass");
    // Errors about allowed flows pass: nobody listens there, and the client is told at once.
    isolate(&mut plan, (1, at.pods[0]), None, Some(isolation(vec![(Peers::Set(0), ports(9, 9))])));
    load(&mut table, &plan);
    assert_eq!(lab.udp(From::Pod(1), at.pods[1], 9), Answer::Refused);
    assert_eq!(lab.tcp(From::Pod(1), at.pods[1], 9), Answer::Refused);
    assert!(!reaches(lab, From::Pod(1), at.cluster_ip));
    // The other side isolates as well: both must allow.
    isolate(&mut plan, (1, at.pods[0]), None, Some(isolation(vec![(Peers::Set(0), PolicyPorts::Any)])));
    isolate(&mut plan, (2, at.pods[1]), Some(isolation(vec![])), None);
    load(&mut table, &plan);
    assert!(!reaches(lab, From::Pod(1), at.pods[1]));
}

#[test]
fn egress_is_what_the_rules_allow() {
    world::test(|| check_egress(&Lab::new(IpFamily::V4)));
}

#[test]
fn egress_is_what_the_rules_allow_over_ipv6() {
    world::test(|| check_egress(&Lab::new(IpFamily::V6)));
}

/// Pod 3 sends as Pod 2, and then as itself: only the latter arrives.
pub(crate) fn check_forgery(lab: &Lab) {
    load(&mut lab.nft(), &lab.plan());
    let [receiver, borrowed, own] = lab.at.pods;
    let to = SocketAddr::new(receiver, 9000);
    let receiver = lab.within(From::Pod(1), || UdpSocket::bind(to)).expect("bound");
    receiver.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    lab.within(From::Pod(3), || {
        let mut netlink = Netlink::open().expect("netlink");
        netlink
            .make_underlay(&"extra".into(), borrowed, IpFamily::of(borrowed).host_prefix_len())
            .expect("made");
        for (source, text) in [(borrowed, "forged"), (own, "honest")] {
            let socket = UdpSocket::bind(SocketAddr::new(source, 0)).expect("an address of the Pod");
            socket.send_to(text.as_bytes(), to).expect("sent");
        }
    });
    let mut text = [0; 16];
    let (len, from) = receiver.recv_from(&mut text).expect("something arrives");
    assert_eq!((&text[..len], from.ip()), (b"honest".as_slice(), own));
}

#[test]
fn a_pod_cannot_send_as_another() {
    world::test(|| check_forgery(&Lab::new(IpFamily::V4)));
}

#[test]
fn a_pod_cannot_send_as_another_over_ipv6() {
    world::test(|| check_forgery(&Lab::new(IpFamily::V6)));
}

#[test]
fn a_new_verdict_applies_to_new_connections() {
    world::test(|| {
        let lab = Lab::new(IpFamily::V4);
        let at = &lab.at;
        let mut plan = lab.plan();
        let mut table = lab.nft();
        load(&mut table, &plan);
        let client = Client::open(&lab, From::Pod(2), at.pods[0], PORT);
        assert_eq!(client.ask().server(), "pod-1");
        isolate(&mut plan, (1, at.pods[0]), Some(isolation(vec![])), None);
        load(&mut table, &plan);
        assert_eq!(client.ask().server(), "pod-1", "established connections go on (NP14)");
        assert!(!reaches(&lab, From::Pod(2), at.pods[0]));
        plan.policy.pods.clear();
        load(&mut table, &plan);
        assert!(reaches(&lab, From::Pod(2), at.pods[0]), "the last policy is gone");
    });
}
