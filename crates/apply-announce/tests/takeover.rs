//! A neighbour that remembers the old owner of an address reaches the new one after its announcement.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use apply_netlink::Netlink;
use apply_netlink::underlay::Port;
use netns::{Netns, run_in};
use plan::{LbPlan, LocalAddress, PodNetwork};
use sealane_apply_announce::Announcer;
use types::{LinkName, ServiceName};

const VIP: &str = "172.31.0.200";

#[test]
fn an_address_moves_from_node_to_node_at_once() {
    netns::world::test(|| {
        let (a, b) = (node("a", "172.31.0.11"), node("b", "172.31.0.12"));
        hold(&a, true);
        let at_a = run_in(&a, || TcpListener::bind((VIP, 80)).unwrap()).unwrap();
        connect(Duration::from_secs(5)).expect("the first owner answers");
        at_a.accept().unwrap();

        hold(&a, false);
        hold(&b, true);
        let at_b = run_in(&b, || TcpListener::bind((VIP, 80)).unwrap()).unwrap();
        assert!(connect(Duration::from_millis(300)).is_err(), "the client still remembers the first owner");

        let plan = lb_plan("eth0");
        let mut announcer = Announcer::new();
        let report = run_in(&b, || announcer.converge(&plan)).unwrap();
        assert_eq!((report.written, report.failures), (1, Vec::new()));
        connect(Duration::from_secs(5)).expect("the new owner answers");
        at_b.accept().unwrap();

        // Once is enough, until it comes back.
        let announced = |announcer: &mut Announcer, plan: &LbPlan| {
            run_in(&b, || announcer.converge(plan)).unwrap().written
        };
        assert_eq!(announced(&mut announcer, &plan), 0);
        assert_eq!(announced(&mut announcer, &LbPlan { link: plan.link.clone(), ..LbPlan::default() }), 0);
        assert_eq!(announced(&mut announcer, &plan), 1);
    });
}

#[test]
fn what_fails_stays_due() {
    netns::world::test(|| {
        let b = node("b", "172.31.0.12");
        let mut announcer = Announcer::new();
        let report = run_in(&b, || announcer.converge(&lb_plan("eth9"))).unwrap();
        assert_eq!(report.failures[0].what, "announcement of 172.31.0.200");
        assert!(report.failures[0].why.contains("eth9"), "{}", report.failures[0].why);
        assert_eq!(run_in(&b, || announcer.converge(&lb_plan("lo"))).unwrap().failures.len(), 1);
        assert_eq!(run_in(&b, || announcer.converge(&lb_plan("eth0"))).unwrap().written, 1);
    });
}

fn lb_plan(link: &str) -> LbPlan {
    let announce = [(vip(), ServiceName::new("shop", "web"))].into();
    LbPlan { link: Some(link.into()), announce, leaving: false }
}

fn vip() -> IpAddr {
    VIP.parse().expect("an address")
}

fn connect(patience: Duration) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::new(vip(), 80), patience)
}

fn hold(node: &Netns, held: bool) {
    let mut plan = PodNetwork::default();
    if held {
        plan.local_addresses.insert(vip(), LocalAddress::LoadBalancer);
    }
    let report = run_in(node, || Netlink::open().expect("a socket").converge(&plan));
    assert_eq!(report.expect("the namespace is there").failures, []);
}

/// A node on the underlay, which the first call makes.
fn node(name: &str, address: &str) -> Netns {
    let mut outside = Netlink::open().expect("a socket");
    let bridge = LinkName::from("underlay");
    if outside.facts(&bridge).is_err() {
        outside.make_underlay(&bridge, [172, 31, 0, 1].into(), 24).expect("the bridge is made");
    }
    let node = Netns::create(&netns::world::netns_path(name)).expect("the name is free");
    let port = Port {
        bridge,
        host_link: LinkName(format!("port-{name}")),
        link: "eth0".into(),
        address: address.parse().expect("an address"),
        prefix_len: 24,
        gateway: None,
    };
    outside.join_underlay(&node, &port).expect("the node is joined");
    node
}
