//! A server on loopback, asked by a client, with upstream servers that behave well and badly.
#![allow(clippy::unwrap_used, reason = "tests")]

// The package is called sealane-serve-dns; tests name it as everyone else does.
extern crate sealane_serve_dns as serve_dns;

mod connections;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use engine_dns::without_edns;
use plan::{DnsPlan, DnsService, DnsServiceKind};
use serve_dns::{Config, DnsServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;
use types::ServiceName;

const DEADLINE: Duration = Duration::from_secs(10);
const SERVFAIL: u8 = 2;
const WEB: &str = "web.shop.svc.cluster.local";
const OUTSIDE: &str = "www.example.com";

/// A port that was free on loopback a moment ago, for UDP and TCP.
async fn free_port() -> u16 {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
}

fn mk_plan(addresses: &[&str], upstreams: &[SocketAddr]) -> DnsPlan {
    let mut plan = DnsPlan {
        cluster_domain: "cluster.local".into(),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        upstreams: upstreams.to_vec(),
        ttl_seconds: 5,
        ..DnsPlan::default()
    };
    let kind = DnsServiceKind::ClusterIp {
        addresses: BTreeSet::from(["10.96.1.1".parse().unwrap()]),
        ports: Vec::new(),
    };
    plan.services.insert(ServiceName::new("shop", "web"), DnsService { kind, endpoints: Vec::new() });
    let kind = DnsServiceKind::ExternalName { target: OUTSIDE.into() };
    plan.services.insert(ServiceName::new("shop", "out"), DnsService { kind, endpoints: Vec::new() });
    plan
}

async fn mk_server(upstreams: &[SocketAddr], change: impl FnOnce(&mut Config)) -> (DnsServer, SocketAddr) {
    let port = free_port().await;
    let mut config = Config {
        port,
        upstream_timeout: Duration::from_millis(300),
        query_timeout: Duration::from_secs(3),
        ..Config::default()
    };
    change(&mut config);
    let server = DnsServer::start(config);
    let report = server.publish(&mk_plan(&["127.0.0.1"], upstreams), 1);
    assert_eq!(report.failures, []);
    (server, ([127, 0, 0, 1], port).into())
}

fn query(name: &str) -> Vec<u8> {
    let mut packet = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}

/// An upstream's reply with `number` A records, 192.0.2.0 and up.
fn reply_to(query: &[u8], number: u8) -> Vec<u8> {
    let mut reply = without_edns(query);
    reply[2] |= 0x80;
    reply[7] = number;
    for last in 0..number {
        reply.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last]);
    }
    reply
}

/// Whether a query looks for loops.
fn is_probe(query: &[u8]) -> bool {
    without_edns(query).ends_with(&[0, 13, 0, 1])
}

async fn ask_udp(server: SocketAddr, packet: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(packet).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let length = timeout(DEADLINE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    buffer.truncate(length);
    assert_eq!(buffer[..2], packet[..2], "the client's own ID");
    buffer
}

async fn ask_on(stream: &mut TcpStream, packet: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_u16(packet.len() as u16).await?;
    stream.write_all(packet).await?;
    let mut reply = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut reply).await?;
    Ok(reply)
}

async fn ask_tcp(server: SocketAddr, packet: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server).await.unwrap();
    timeout(DEADLINE, ask_on(&mut stream, packet)).await.unwrap().unwrap()
}

fn rcode(reply: &[u8]) -> u8 {
    reply[3] & 15
}

fn is_truncated(reply: &[u8]) -> bool {
    reply[2] & 2 != 0
}

/// An upstream server on UDP that answers with what `answer` makes of a query.
async fn mk_upstream(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind(("127.0.0.1", free_port().await)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
            let query = &buffer[..length];
            for reply in if is_probe(query) { vec![reply_to(query, 0)] } else { answer(query) } {
                socket.send_to(&reply, client).await.unwrap();
            }
        }
    });
    address
}

#[tokio::test]
async fn dn11_before_the_first_plan_there_is_servfail() {
    let port = free_port().await;
    let server = DnsServer::start(Config { port, ..Config::default() });
    assert_eq!(server.listen(["127.0.0.1".parse().unwrap()]).written, 1);
    let address = ([127, 0, 0, 1], port).into();
    for name in [WEB, OUTSIDE] {
        assert_eq!(rcode(&ask_udp(address, &query(name)).await), SERVFAIL);
        assert_eq!(rcode(&ask_tcp(address, &query(name)).await), SERVFAIL);
    }
    server.publish(&mk_plan(&["127.0.0.1"], &[]), 1);
    assert_eq!(rcode(&ask_udp(address, &query(WEB)).await), 0);
}

#[tokio::test]
async fn published_names_are_answered_over_udp_and_tcp() {
    let (_server, address) = mk_server(&[], |_| ()).await;
    for reply in [ask_udp(address, &query(WEB)).await, ask_tcp(address, &query(WEB)).await] {
        assert_eq!((rcode(&reply), &reply[reply.len() - 4..]), (0, &[10, 96, 1, 1][..]));
    }
}

#[tokio::test]
async fn publishing_again_writes_nothing() {
    let (server, _) = mk_server(&[], |_| ()).await;
    assert_eq!(server.publish(&mk_plan(&["127.0.0.1"], &[]), 1), plan::Report::default());
}

#[tokio::test]
async fn sockets_follow_the_plan() {
    let (server, first) = mk_server(&[], |_| ()).await;
    let second: SocketAddr = ([127, 0, 0, 2], first.port()).into();
    let mut kept = TcpStream::connect(first).await.unwrap();
    ask_on(&mut kept, &query(WEB)).await.unwrap();
    assert_eq!(server.publish(&mk_plan(&["127.0.0.1", "127.0.0.2"], &[]), 1).written, 2);
    assert_eq!(rcode(&ask_udp(second, &query(WEB)).await), 0);
    ask_on(&mut kept, &query(WEB)).await.expect("other sockets are not disturbed");
    server.publish(&mk_plan(&["127.0.0.2"], &[]), 1);
    assert_eq!(server.addresses(), BTreeSet::from([second]));
    let wait = async { while TcpStream::connect(first).await.is_ok() {} };
    timeout(DEADLINE, wait).await.expect("the socket is closed");
}

#[tokio::test]
async fn a_busy_address_is_reported_and_tried_again() {
    let port = free_port().await;
    let busy = UdpSocket::bind(("127.0.0.1", port)).await.unwrap();
    let server = DnsServer::start(Config { port, ..Config::default() });
    let plan = mk_plan(&["127.0.0.1", "127.0.0.2"], &[]);
    let report = server.publish(&plan, 1);
    assert_eq!(report.failures.len(), 1);
    assert_eq!(report.failures[0].what, format!("DNS socket 127.0.0.1:{port}"));
    assert_eq!(rcode(&ask_udp(([127, 0, 0, 2], port).into(), &query(WEB)).await), 0);
    drop(busy);
    assert_eq!(server.publish(&plan, 1).failures, []);
    assert_eq!(rcode(&ask_udp(([127, 0, 0, 1], port).into(), &query(WEB)).await), 0);
}

/// Also when threads share an address among themselves, nobody else shares it, not even a server of ours.
#[tokio::test]
async fn two_servers_do_not_share_an_address() {
    let (_first, address) = mk_server(&[], |config| config.udp_threads = 2).await;
    let second = DnsServer::start(Config { port: address.port(), ..Config::default() });
    assert_eq!(second.publish(&mk_plan(&["127.0.0.1"], &[]), 1).failures.len(), 1);
}

/// Answers that were given often are those of the plan that is published, from the moment on that it is.
#[tokio::test]
async fn a_published_plan_answers_at_once() {
    let (server, address) = mk_server(&[], |config| config.udp_threads = 2).await;
    let other_name = "api.shop.svc.cluster.local";
    for last in 1..20 {
        let mut plan = mk_plan(&["127.0.0.1"], &[]);
        let kind = DnsServiceKind::ClusterIp {
            addresses: BTreeSet::from([[10, 96, 1, last].into()]),
            ports: Vec::new(),
        };
        plan.services.insert(ServiceName::new("shop", "web"), DnsService { kind, endpoints: Vec::new() });
        if last % 2 == 0 {
            let web = plan.services.get(&ServiceName::new("shop", "web")).cloned().unwrap();
            plan.services.insert(ServiceName::new("shop", "api"), web);
        }
        server.publish(&plan, 1);
        for _ in 0..5 {
            assert_eq!(ask_udp(address, &query(WEB)).await.last(), Some(&last));
            assert_eq!(ask_tcp(address, &query(WEB)).await.last(), Some(&last));
            let is_missing = rcode(&ask_udp(address, &query(other_name)).await) == 3;
            assert_eq!(is_missing, last % 2 == 1);
        }
    }
}

/// A burst is answered whole: more queries than are taken at once, of many clients.
#[tokio::test]
async fn bursts_are_answered_to_whom_they_came_from() {
    let (_server, address) = mk_server(&[], |config| config.udp_threads = 2).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(address).await.unwrap();
        clients.push(socket);
    }
    for id in 0..10u8 {
        for (number, socket) in clients.iter().enumerate() {
            let mut packet = query(WEB);
            packet[..2].copy_from_slice(&[number as u8, id]);
            socket.send(&packet).await.unwrap();
        }
    }
    for (number, socket) in clients.iter().enumerate() {
        let mut seen = BTreeSet::new();
        while seen.len() < 10 {
            let mut reply = [0; 512];
            timeout(DEADLINE, socket.recv(&mut reply)).await.unwrap().unwrap();
            assert_eq!(reply[0], number as u8);
            seen.insert(reply[1]);
        }
    }
}

/// More than a client was told we take is cut, and an error.
#[tokio::test]
async fn oversize_queries_are_refused() {
    let (_server, address) = mk_server(&[], |_| ()).await;
    let mut packet = query(WEB);
    // An OPT record with an option that fills the datagram.
    packet[11] = 1;
    packet.extend([0, 0, 41, 4, 208, 0, 0, 0, 0]);
    let option = 60_000 - packet.len() as u16 - 2;
    packet.extend(option.to_be_bytes());
    packet.extend([0, 10]);
    packet.extend((option - 4).to_be_bytes());
    packet.resize(60_000, 0);
    assert_eq!(rcode(&ask_tcp(address, &packet).await), 0, "there is room for it on a connection");
    assert_eq!(rcode(&ask_udp(address, &packet).await), 1, "FORMERR");
    assert_eq!(rcode(&ask_udp(address, &query(WEB)).await), 0);
}

#[tokio::test]
async fn dn12_other_names_are_asked_upstream_under_another_id() {
    let upstream = mk_upstream(|query| {
        assert!(query.len() > 12);
        vec![reply_to(query, 1)]
    })
    .await;
    let (_server, address) = mk_server(&[upstream], |_| ()).await;
    let replies = [ask_udp(address, &query(OUTSIDE)).await, ask_tcp(address, &query(OUTSIDE)).await];
    for reply in replies {
        assert_eq!((rcode(&reply), reply[7], &reply[..2]), (0, 1, &[0xab, 0xcd][..]));
    }
}

#[tokio::test]
async fn forged_replies_are_passed_over() {
    let upstream = mk_upstream(|query| {
        let mut forged = reply_to(query, 9);
        forged[0] ^= 0xff;
        let mut other = reply_to(query, 9);
        other[13] ^= 1;
        vec![forged, other, vec![1, 2, 3], reply_to(query, 1)]
    })
    .await;
    let (_server, address) = mk_server(&[upstream], |_| ()).await;
    assert_eq!(ask_udp(address, &query(OUTSIDE)).await[7], 1);
}

#[tokio::test]
async fn a_silent_upstream_is_passed_over() {
    let silent = mk_upstream(|_| Vec::new()).await;
    let good = mk_upstream(|query| vec![reply_to(query, 1)]).await;
    let (_server, address) = mk_server(&[silent, good], |_| ()).await;
    assert_eq!(ask_udp(address, &query(OUTSIDE)).await[7], 1);
}

#[tokio::test]
async fn without_any_reply_there_is_servfail() {
    let silent = mk_upstream(|_| Vec::new()).await;
    for upstreams in [&[silent][..], &[]] {
        let (_server, address) = mk_server(upstreams, |_| ()).await;
        assert_eq!(rcode(&ask_udp(address, &query(OUTSIDE)).await), SERVFAIL);
    }
    let (_server, address) = mk_server(&[silent], |config| config.max_forwards = 0).await;
    assert_eq!(rcode(&ask_tcp(address, &query(OUTSIDE)).await), SERVFAIL);
}

#[tokio::test]
async fn truncated_replies_are_asked_for_again_over_tcp() {
    let upstream = mk_upstream(|query| {
        let mut cut = reply_to(query, 0);
        cut[2] |= 2;
        vec![cut]
    })
    .await;
    let listener = TcpListener::bind(upstream).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut query = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut query).await.unwrap();
            let reply = reply_to(&query, 100);
            stream.write_u16(reply.len() as u16).await.unwrap();
            stream.write_all(&reply).await.unwrap();
        }
    });
    let (_server, address) = mk_server(&[upstream], |_| ()).await;
    let whole = ask_tcp(address, &query(OUTSIDE)).await;
    assert_eq!((whole[7], is_truncated(&whole)), (100, false));
    let cut = ask_udp(address, &query(OUTSIDE)).await;
    assert!(is_truncated(&cut) && cut.len() <= 512, "a client without EDNS takes 512 bytes");
}

#[tokio::test]
async fn dn5_an_external_name_is_followed_upstream() {
    let upstream = mk_upstream(|query| vec![reply_to(query, 1)]).await;
    let (_server, address) = mk_server(&[upstream], |_| ()).await;
    let reply = ask_udp(address, &query("out.shop.svc.cluster.local")).await;
    assert_eq!((rcode(&reply), reply[7]), (0, 2), "the CNAME and the address");
    assert_eq!(reply[reply.len() - 4..], [192, 0, 2, 0]);
}

#[tokio::test]
async fn garbage_does_not_stop_the_server() {
    let (_server, address) = mk_server(&[], |_| ()).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for length in 0..100u8 {
        socket.send_to(&vec![length; usize::from(length)], address).await.unwrap();
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[0, 3, 1, 2, 3]).await.unwrap();
    assert_eq!(timeout(DEADLINE, stream.read(&mut [0; 10])).await.unwrap().unwrap(), 0, "closed");
    assert_eq!(rcode(&ask_udp(address, &query(WEB)).await), 0);
}

#[tokio::test]
async fn stopping_answers_what_is_under_way_and_frees_the_port() {
    let (reached, is_reached) = tokio::sync::watch::channel(false);
    let upstream = mk_upstream(move |query| {
        // The first of the attempts is lost, so that the query is under way for a while.
        let is_first = !reached.send_replace(true);
        if is_first { Vec::new() } else { vec![reply_to(query, 1)] }
    })
    .await;
    let (server, address) = mk_server(&[upstream], |_| ()).await;
    let client = tokio::spawn(async move { ask_udp(address, &query(OUTSIDE)).await });
    let mut is_reached = is_reached;
    is_reached.wait_for(|reached| *reached).await.unwrap();
    server.stop().await;
    assert_eq!(client.await.unwrap()[7], 1);
    UdpSocket::bind(address).await.unwrap();
    TcpListener::bind(address).await.unwrap();
}
