//! What programming many peers costs, and one peer's change: `peers [PEERS]`, in a world of its own.
//!
//! Prints one line per step: what, milliseconds of processor time of this process (user and system, `getrusage`), and
//! how many writes there were. Every peer has a range of each family and is reached through the tunnel.
#![allow(clippy::disallowed_methods, reason = "it reads its argument")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netns::world::World;
use plan::{Peer, PeerPath, PodNetwork, Via, Vxlan};
use sealane_apply_netlink::Netlink;
use types::{Mac, NodeName, Prefix};

fn main() {
    let peers = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1000);
    World::new().enter().expect("user namespaces are allowed");
    let mut netlink = Netlink::open().expect("a socket");
    netlink.make_underlay(&"eth0".into(), [172, 16, 0, 1].into(), 12).expect("an underlay");
    let mut plan = plan(peers);
    step(&mut netlink, "all peers", &plan);
    step(&mut netlink, "no change", &plan);
    let last = plan.peers.pop_last();
    step(&mut netlink, "one peer leaves", &plan);
    plan.peers.extend(last);
    step(&mut netlink, "one peer joins", &plan);
    let first = plan.peers.values_mut().next().expect("there are peers");
    first.underlay = IpAddr::from([172, 31, 255, 254]);
    step(&mut netlink, "one peer's address changes", &plan);
    plan.peers.clear();
    step(&mut netlink, "all leave", &plan);
}

fn step(netlink: &mut Netlink, what: &str, plan: &PodNetwork) {
    let before = cpu();
    let report = netlink.converge(plan);
    let spent = cpu() - before;
    assert_eq!(report.failures, [], "{what}");
    println!("{what:<28}{spent:>9.3} ms {:>6} written", report.written);
}

/// Processor time of this process so far, in milliseconds.
fn cpu() -> f64 {
    // SAFETY: the kernel fills the structure that it is given; all of it may be zero before.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &raw mut usage), 0, "the arguments are constants");
        usage
    };
    let milliseconds = |time: libc::timeval| time.tv_sec as f64 * 1e3 + time.tv_usec as f64 / 1e3;
    milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime)
}

fn plan(peers: u32) -> PodNetwork {
    let own =
        [range(Ipv4Addr::new(10, 0, 0, 0).into(), 24), range("fd00:10::".parse().expect("an address"), 64)];
    PodNetwork {
        vxlan: Some(Vxlan {
            link: "sealane-vx".into(),
            vni: 4096,
            port: 8472,
            underlay: [172, 16, 0, 1].into(),
            addresses: own.iter().map(|range| range.first()).collect(),
            mac: Mac::derived("this"),
            mtu: 1450,
        }),
        peers: (1..=peers).map(peer).collect::<BTreeMap<_, _>>(),
        pod_cidrs: own.to_vec(),
        ..PodNetwork::default()
    }
}

fn peer(number: u32) -> (NodeName, Peer) {
    let name = format!("node-{number:05}");
    let mac = Mac::derived(&name);
    let v4 = Ipv4Addr::from(0x0a00_0000 + (number << 8));
    let v6 = Ipv6Addr::from(0xfd00_0010_0000_0000_0000_0000_0000_0000 + (u128::from(number) << 64));
    let ranges = [range(v4.into(), 24), range(v6.into(), 64)];
    let path = |range: Prefix| PeerPath { via: Via::Vxlan { address: range.first(), mac }, mtu: 1450 };
    let underlay = Ipv4Addr::from(0xac10_0001 + number).into();
    let paths = ranges.into_iter().map(|range| (range, path(range))).collect();
    (NodeName::from(name), Peer { underlay, paths, failing: None })
}

fn range(address: IpAddr, len: u8) -> Prefix {
    Prefix::new(address, len).expect("a length of the family")
}
