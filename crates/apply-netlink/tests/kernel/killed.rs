//! A converge that is killed at any of its steps: the next process finishes it, and traffic goes on meanwhile.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use netns::world::{Ending, killed_at};
use netns::{Netns, run_in};
use plan::{LocalAddress, Peer, PeerPath, PodNetwork, Via};
use types::{Mac, NodeName};

use crate::world::{TwoNodes, Way, converge, inside, ip, plan, pod, range, try_converge, two_nodes};

/// More steps than any of these plans has.
const MOST_STEPS: usize = 2000;

/// A connection that lasts.
pub(crate) struct Connection {
    client: TcpStream,
    server: TcpStream,
}

impl Connection {
    pub(crate) fn open(client: &Netns, server: &Netns, to: &str) -> Self {
        let socket = run_in(server, || TcpListener::bind((ip(to), 80)).unwrap()).unwrap();
        let client = run_in(client, || TcpStream::connect((ip(to), 80)).unwrap()).unwrap();
        let server = socket.accept().unwrap().0;
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self { client, server }
    }

    pub(crate) fn carries(&mut self, when: &str) {
        self.client.write_all(b"ping").unwrap();
        let mut bytes = [0; 4];
        self.server.read_exact(&mut bytes).unwrap_or_else(|error| panic!("{when}: {error}"));
    }
}

/// More of everything than `plan`: a local address, and a peer that is reached in each way.
fn with_more(mut plan: PodNetwork) -> PodNetwork {
    plan.local_addresses.insert(ip("10.96.0.10"), LocalAddress::Dns);
    let mut add = |name: &str, last: u8, via: Via| {
        let path = PeerPath { via, mtu: 1450 };
        let paths = [(range(&format!("10.244.{last}.0/24")), path)].into();
        let peer = Peer { underlay: ip(&format!("172.31.0.{last}")), paths, failing: None };
        plan.peers.insert(NodeName::from(name), peer);
    };
    add("node-h", 17, Via::Vxlan { address: ip("10.244.17.0"), mac: Mac::derived("node-h") });
    add("node-i", 18, Via::Direct { nexthop: ip("172.31.0.18") });
    plan
}

/// Goes from one plan to the other, killed at every step; returns how many there were.
pub(crate) fn kill_everywhere(
    node: &Netns,
    from: &PodNetwork,
    to: &PodNetwork,
    look: &mut dyn FnMut(&str),
) -> usize {
    for at in 1..MOST_STEPS {
        converge(node, from);
        let ending = killed_at(at, || {
            run_in(node, || i32::from(!try_converge(node, to).failures.is_empty())).unwrap()
        });
        let when = format!("killed at {at}");
        look(&when);
        if let Ending::Done(status) = ending.unwrap() {
            assert_eq!(status, 0);
            return at - 1;
        }
        converge(node, to);
        assert_eq!(converge(node, to), 0, "{when}");
        look(&when);
    }
    panic!("it never came to its end");
}

#[test]
fn a_change_killed_at_any_step_is_finished_by_the_next_process() {
    netns::world::test(|| {
        let TwoNodes { a, b } = two_nodes();
        let (less, more) = (plan('a', Way::Vxlan), with_more(plan('a', Way::Vxlan)));
        converge(&a, &less);
        converge(&b, &plan('b', Way::Vxlan));
        let (x, y) = (pod(&a, "x", &["10.244.0.5"]), pod(&a, "y", &["10.244.0.6"]));
        let z = pod(&b, "z", &["10.244.1.7"]);
        inside(&a, |netlink| {
            netlink.make_underlay(&"foreign".into(), ip("192.0.2.1"), 24).unwrap();
            netlink.route_through(range("198.51.100.0/24"), ip("192.0.2.2")).unwrap();
        });
        let foreign = || run_in(&a, foreign_routes).unwrap();
        let before = foreign();
        assert_eq!(before, 2);
        let mut same = Connection::open(&x, &y, "10.244.0.6");
        let mut other = Connection::open(&x, &z, "10.244.1.7");
        let mut look = |when: &str| {
            same.carries(when);
            other.carries(when);
            assert_eq!(foreign(), before, "{when}");
        };
        let there = kill_everywhere(&a, &less, &more, &mut look);
        let back = kill_everywhere(&a, &more, &less, &mut look);
        assert!(there > 15 && back > 10, "{there} and {back} steps");
        println!("sealane-note: converge was killed at {there} steps there and {back} back");
    });
}

#[test]
fn a_beginning_killed_at_any_step_is_finished_by_the_next_process() {
    netns::world::test(|| {
        let TwoNodes { a, .. } = two_nodes();
        let (x, y) = (pod(&a, "x", &["10.244.0.5"]), pod(&a, "y", &["10.244.0.6"]));
        let mut same = Connection::open(&x, &y, "10.244.0.6");
        let full = with_more(plan('a', Way::Vxlan));
        let steps = kill_everywhere(&a, &PodNetwork::default(), &full, &mut |when: &str| same.carries(when));
        assert!(steps > 20, "{steps} steps");
    });
}

/// Routes through the link `foreign`.
fn foreign_routes() -> usize {
    let routes = std::fs::read_to_string("/proc/thread-self/net/route").unwrap();
    routes.lines().filter(|line| line.starts_with("foreign")).count()
}
