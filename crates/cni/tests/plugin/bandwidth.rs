//! Capability `bandwidth`: real packets through both limits.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use apply_netlink::{Netlink, Shaper};
use netns::{Netns, run_in};
use serde_json::{Value, json};
use types::{LinkName, NetworkMode};

use crate::node::{Node, container};

const MEGABYTE: u64 = 1_000_000;

/// 80 Mbit/s to the Pod and 40 from it.
fn limited(node: &Node) -> Value {
    let mut config = node.config("1.1.0");
    config["runtimeConfig"] = json!({"bandwidth": {
        "ingressRate": 80 * MEGABYTE, "ingressBurst": 4_294_967_295u32, "egressRate": 40 * MEGABYTE,
    }});
    config
}

/// Sends so many bytes; how long that took.
fn send(from: &Netns, to: &Netns, address: &str, bytes: u64) -> Duration {
    let socket = run_in(to, || TcpListener::bind((address, 0)).unwrap()).unwrap();
    let at = socket.local_addr().unwrap();
    let mut stream = run_in(from, || TcpStream::connect(at).unwrap()).unwrap();
    let begin = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..bytes / 50_000 {
                stream.write_all(&[7; 50_000]).unwrap();
            }
        });
        let mut received = Vec::new();
        let accepted = socket.accept().unwrap().0;
        accepted.take(bytes).read_to_end(&mut received).unwrap();
        assert_eq!(received.len() as u64, bytes);
    });
    begin.elapsed()
}

fn shaper(netns: &Netns, link: &str) -> Shaper {
    run_in(netns, || Netlink::open().unwrap().shaper(&LinkName::from(link)).unwrap()).unwrap().unwrap()
}

#[test]
fn both_directions_are_as_fast_as_asked_and_no_faster() {
    netns::world::test(|| both_directions(NetworkMode::Routed));
}

#[test]
fn both_directions_of_a_port_are_as_fast_as_asked_and_no_faster() {
    netns::world::test(|| both_directions(NetworkMode::Bridge));
}

fn both_directions(mode: NetworkMode) {
    let node = Node::joining(&["10.244.1.0/24"], mode);
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    let (a, b) = (container("a"), container("b"));
    let result = node.call("ADD", "a", &limited(&node)).ok();
    node.add("b").ok();
    let here = Netns::current().unwrap();
    let host_link = result["interfaces"][0]["name"].as_str().unwrap();
    for (from, to, address, limit) in [
        (&b, &a, "10.244.1.1", (&here, host_link, 10 * MEGABYTE)),
        (&a, &b, "10.244.1.2", (&a, "eth0", 5 * MEGABYTE)),
    ] {
        let (netns, link, rate) = limit;
        let before = shaper(netns, link);
        assert_eq!(before.bytes_per_second, rate);
        let sent = 3 * MEGABYTE;
        let took = send(from, to, address, sent).as_secs_f64();
        let after = shaper(netns, link);
        // What the bucket lets pass is known: a burst and what the time brings. A slow machine only makes it less.
        let passed = (after.passed - before.passed) as f64;
        // A tenth of a second's worth, because the runtime names none.
        let burst = (rate / 10) as f64;
        assert!(passed >= sent as f64, "{passed} of {sent} bytes took the limited way");
        assert!(passed <= burst + rate as f64 * took * 1.02 + 70_000.0, "{passed} in {took} s at {rate}");
        assert!(passed >= rate as f64 * took / 20.0, "{passed} in {took} s at {rate}");
        assert!(after.waits > before.waits, "nothing had to wait: {after:?}");
    }
}

#[test]
fn the_longest_packets_pass_the_lowest_limit() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        let network = json!({
            "podCidrs": ["10.244.1.0/24"],
            "link": {"mode": "routed", "mtu": 65535, "pathMtu": 65535, "local": ["10.244.1.0/24"]},
        });
        fs::write(node.state.join("network.json"), network.to_string()).unwrap();
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        let mut config = node.config("1.1.0");
        config["runtimeConfig"] = json!({"bandwidth": {"ingressRate": 8000, "ingressBurst": 8, "egressRate": 8000,
            "egressBurst": 8}});
        let (a, b) = (container("a"), container("b"));
        node.call("ADD", "a", &config).ok();
        node.add("b").ok();
        let socket = |netns, address: &str| {
            run_in(netns, || std::net::UdpSocket::bind((address, 9)).unwrap()).unwrap()
        };
        let (at_a, at_b) = (socket(&a, "10.244.1.1"), socket(&b, "10.244.1.2"));
        // 65 507 bytes are the most that UDP over IPv4 carries, in one packet where the MTU allows it.
        let datagram = vec![7; 65_507];
        let mut buffer = vec![0; 65_536];
        for (from, to) in [(&at_a, &at_b), (&at_b, &at_a)] {
            to.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            from.send_to(&datagram, to.local_addr().unwrap()).unwrap();
            assert_eq!(to.recv(&mut buffer).unwrap(), datagram.len());
        }
    });
}

#[test]
fn check_sees_a_limit_that_is_gone() {
    netns::world::test(|| {
        let node = Node::new(&["10.244.1.0/24"]);
        let a = container("a");
        let mut config = limited(&node);
        config["prevResult"] = node.call("ADD", "a", &config).ok();
        node.call("CHECK", "a", &config).ok();
        // Another limit than the one that was asked for.
        let file = node.state.join("attachments/a-eth0.json");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("\"bytesPerSecond\":5000000", "\"bytesPerSecond\":5000001")).unwrap();
        let outcome = node.call("CHECK", "a", &config);
        assert_eq!(outcome.code(), 103);
        let message = outcome.json["msg"].as_str().unwrap();
        assert!(
            message.contains("link eth0 of the Pod is not limited to 5000001 bytes per second"),
            "{message}"
        );
        node.del("a").ok();
        drop(a);
    });
}
