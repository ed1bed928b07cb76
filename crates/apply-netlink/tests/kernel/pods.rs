//! Pods of one node.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use netns::{Netns, run_in};
use plan::PodNetwork;
use sealane_apply_netlink::{Netlink, NetlinkError};
use types::LinkName;

use crate::world::{attachment, converge, greet, inside, ip, namespace, pod, pod_link, range, set};

#[test]
fn pods_of_a_node_talk_and_see_each_others_address() {
    netns::world::test(|| {
        let node = namespace("node");
        let a = pod(&node, "a", &["10.244.0.5"]);
        let b = pod(&node, "b", &["10.244.0.6"]);
        assert_eq!(greet(&a, &b, "10.244.0.6").unwrap(), ip("10.244.0.5"));
        assert_eq!(greet(&b, &a, "10.244.0.5").unwrap(), ip("10.244.0.6"));
        assert_eq!(greet(&a, &a, "10.244.0.5").unwrap(), ip("10.244.0.5"));
    });
}

#[test]
fn a_node_without_address_of_its_own_reaches_its_pods() {
    netns::world::test(|| {
        let node = namespace("node");
        let a = pod(&node, "a", &["10.244.0.5"]);
        // A node always has some address; the test gives it one where no traffic goes.
        inside(&node, |netlink| netlink.make_underlay(&"other".into(), ip("192.0.2.1"), 24)).unwrap();
        assert_eq!(greet(&node, &a, "10.244.0.5").unwrap(), ip("192.0.2.1"));
        assert_eq!(greet(&a, &node, "192.0.2.1").unwrap(), ip("10.244.0.5"));
    });
}

#[test]
fn dual_stack_pods_talk_over_ipv6() {
    netns::world::test(|| {
        if !std::path::Path::new("/proc/sys/net/ipv6").exists() {
            println!("sealane-skip: dual_stack_pods_talk_over_ipv6: the kernel has no IPv6");
            return;
        }
        let node = namespace("node");
        set(&node, "ipv6/conf/all/forwarding", "1");
        let a = pod(&node, "a", &["10.244.0.5", "fd00:10:244::5"]);
        let b = pod(&node, "b", &["10.244.0.6", "fd00:10:244::6"]);
        assert_eq!(greet(&a, &b, "fd00:10:244::6").unwrap(), ip("fd00:10:244::5"));
        assert_eq!(greet(&b, &a, "10.244.0.5").unwrap(), ip("10.244.0.6"));
        let attachment = attachment("a", &["10.244.0.5", "fd00:10:244::5"]);
        assert_eq!(inside(&node, |netlink| netlink.verify(&a, &attachment)).unwrap(), Vec::<String>::new());
    });
}

#[test]
fn a_pod_cannot_send_with_a_foreign_source_address() {
    netns::world::test(|| {
        let node = namespace("node");
        let a = pod(&node, "a", &["10.244.0.5"]);
        let b = pod(&node, "b", &["10.244.0.6"]);
        inside(&a, |netlink| netlink.make_underlay(&"forged".into(), ip("10.244.0.99"), 32)).unwrap();
        let server = run_in(&b, || UdpSocket::bind("10.244.0.6:7000").unwrap()).unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let (forged, honest) = run_in(&a, || {
            (UdpSocket::bind("10.244.0.99:0").unwrap(), UdpSocket::bind("10.244.0.5:0").unwrap())
        })
        .unwrap();
        let to: SocketAddr = "10.244.0.6:7000".parse().unwrap();
        forged.send_to(b"forged", to).unwrap();
        honest.send_to(b"honest", to).unwrap();
        let mut bytes = [0; 16];
        let (length, from) = server.recv_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..length], from.ip()), (b"honest".as_slice(), ip("10.244.0.5")));
    });
}

/// A counter of a namespace, from `/proc/net/snmp`: a line of names, and one of values.
fn counter(netns: &Netns, protocol: &str, name: &str) -> u64 {
    let read = || std::fs::read_to_string("/proc/thread-self/net/snmp").expect("the file is readable");
    let text = run_in(netns, read).expect("the namespace is there");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(": "));
    let mut find = || {
        let (names, values) = (lines.next()?, lines.next()?);
        let column = names.split(' ').position(|found| found == name)?;
        values.split(' ').nth(column)?.parse().ok()
    };
    find().expect("the kernel counts this")
}

#[test]
fn a_pod_that_is_sent_back_to_itself_hears_of_no_better_way() {
    netns::world::test(|| {
        let node = namespace("node");
        let plan = PodNetwork { pod_cidrs: vec![range("10.244.0.0/24")], ..PodNetwork::default() };
        // Older than the agent's first round, and so not born with its settings.
        let a = pod(&node, "a", &["10.244.0.5"]);
        converge(&node, &plan);
        let b = pod(&node, "b", &["10.244.0.6"]);
        let back = |netlink: &mut Netlink| {
            netlink.route_through(range("192.0.2.5/32"), ip("10.244.0.5"))?;
            netlink.route_through(range("192.0.2.6/32"), ip("10.244.0.6"))
        };
        inside(&node, back).unwrap();
        let redirects = || counter(&node, "Icmp", "OutRedirects");
        let send = || {
            for (pod, to) in [(&a, "192.0.2.5:9"), (&b, "192.0.2.6:9")] {
                let forwarded = || counter(&node, "Ip", "ForwDatagrams");
                let before = forwarded();
                run_in(pod, || UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"?", to).unwrap()).unwrap();
                let deadline = Instant::now() + Duration::from_secs(5);
                while forwarded() == before {
                    assert!(Instant::now() < deadline, "the node does not forward");
                }
            }
        };
        send();
        assert_eq!(redirects(), 0);
        set(&node, "ipv4/conf/all/send_redirects", "1");
        send();
        assert_eq!(redirects(), 2, "else the test would show nothing");
        assert_eq!(converge(&node, &plan), 1);
    });
}

#[test]
fn both_ends_are_as_asked() {
    netns::world::test(|| {
        let node = namespace("node");
        let a = pod(&node, "a", &["10.244.0.5"]);
        let wanted = attachment("a", &["10.244.0.5"]);
        let inner = inside(&a, |netlink| netlink.facts(&"eth0".into())).unwrap();
        assert_eq!((inner.mtu, inner.mac), (65_535, Some(wanted.pod_mac)));
        assert_eq!(inner.addresses, [(ip("10.244.0.5"), 32)]);
        let outer = inside(&node, |netlink| netlink.facts(&wanted.host_link)).unwrap();
        assert_eq!((outer.mtu, outer.mac), (65_535, Some(wanted.host_mac)));
        assert_eq!(outer.addresses, []);
        assert_eq!(inside(&node, Netlink::pod_links).unwrap(), [wanted.host_link]);
    });
}

#[test]
fn an_existing_link_is_refused_and_nothing_changes() {
    netns::world::test(|| {
        let node = namespace("node");
        let a = pod(&node, "a", &["10.244.0.5"]);
        let again = attachment("other", &["10.244.0.7"]);
        let refused = inside(&node, |netlink| netlink.attach(&a, &again, &pod_link(&[]))).unwrap_err();
        assert!(matches!(refused, NetlinkError::ForeignLink { .. }), "{}", types::with_causes(&refused));
        assert_eq!(inside(&node, Netlink::pod_links).unwrap(), [LinkName::from("sla")]);
    });
}

#[test]
fn an_attach_that_fails_half_way_leaves_nothing() {
    netns::world::test(|| {
        let node = namespace("node");
        let _a = pod(&node, "a", &["10.244.0.5"]);
        // The address has a route already.
        let b = namespace("b");
        let double = attachment("b", &["10.244.0.5"]);
        let refused = inside(&node, |netlink| netlink.attach(&b, &double, &pod_link(&[]))).unwrap_err();
        assert!(refused.is_refusal(libc::EEXIST), "{}", types::with_causes(&refused));
        assert_eq!(inside(&node, Netlink::pod_links).unwrap(), [LinkName::from("sla")]);
        assert!(inside(&b, |netlink| netlink.facts(&"eth0".into())).is_err());
    });
}

#[test]
fn detach_is_idempotent_and_works_without_the_pod() {
    netns::world::test(|| {
        let node = namespace("node");
        for name in ["a", "b"] {
            drop(pod(&node, name, &["10.244.0.5"]));
            if name == "b" {
                netns::remove(&netns::world::netns_path(name)).unwrap();
            }
            let host_link = attachment(name, &[]).host_link;
            for _ in 0..2 {
                inside(&node, |netlink| netlink.detach(&host_link)).unwrap();
            }
            assert_eq!(inside(&node, Netlink::pod_links).unwrap(), []);
        }
    });
}

#[test]
fn detach_leaves_a_foreign_link_alone() {
    netns::world::test(|| {
        let node = namespace("node");
        let name = LinkName::from("slbridge");
        inside(&node, |netlink| netlink.make_underlay(&name, ip("192.0.2.1"), 24)).unwrap();
        assert!(inside(&node, |netlink| netlink.detach(&name)).is_err());
        assert!(inside(&node, |netlink| netlink.facts(&name)).is_ok());
    });
}

#[test]
fn verify_names_what_is_missing() {
    netns::world::test(|| {
        let node = namespace("node");
        let a = pod(&node, "a", &["10.244.0.5"]);
        let wanted = attachment("a", &["10.244.0.5"]);
        let verify = || inside(&node, |netlink| netlink.verify(&a, &wanted)).unwrap();
        assert_eq!(verify(), Vec::<String>::new());
        let mut other = wanted.clone();
        other.addresses = vec![ip("10.244.0.9")];
        let missing = inside(&node, |netlink| netlink.verify(&a, &other)).unwrap();
        assert_eq!(
            missing,
            ["the node has no route to 10.244.0.9", "the Pod does not have address 10.244.0.9"]
        );
        inside(&node, |netlink| netlink.detach(&wanted.host_link)).unwrap();
        assert_eq!(verify(), ["link sla of the node is missing", "link eth0 of the Pod is missing"]);
    });
}
