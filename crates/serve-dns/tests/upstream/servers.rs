//! One server or several: slow, dead, truncating, refusing, old.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine_dns::without_edns;
use plan::{DnsPlan, ForwardPolicy, ForwardTransport};
use serve_dns::{Config, DnsServer};
use tokio::net::UdpSocket;

use crate::world::{
    Fake, NOERROR, NXDOMAIN, SERVFAIL, World, cut, free_port, good, name_of, query, reply_to, serve_tcp,
    until, with_rcode,
};

const NAME: &str = "www.example.com";

#[tokio::test]
async fn a_slow_server_may_still_answer_while_another_is_asked() {
    let slow = Fake::silent().await;
    let silent = Fake::silent().await;
    let world = World::new(&[slow.address, silent.address], |wish| {
        wish.config.upstream_timeout = Duration::from_millis(50);
    })
    .await;
    let client = world.ask_many(NAME, 1).await.pop().unwrap();
    until("the second is asked", || silent.asked() > 0).await;
    slow.answer_held(|query| reply_to(query, 3)).await;
    assert_eq!(client.await.unwrap(), good(3));
}

#[tokio::test]
async fn a_dead_server_is_passed_over_until_it_is_back() {
    let port = free_port().await;
    let dead = ([127, 0, 0, 1], port).into();
    let good_one = Fake::new(|query| Some(reply_to(query, 2))).await;
    let world = World::new(&[dead, good_one.address], |_| ()).await;
    assert_eq!(world.ask(NAME).await, good(2));
    world.until("its health checks fail", |all| all.upstreams[0].is_down).await;
    assert!(world.upstream(0).failed_checks >= 2);
    let datagrams = world.upstream(0).datagrams;
    assert_eq!(world.ask(NAME).await, good(2));
    assert!(!world.upstream(1).is_down);
    // Only health checks may have been sent in between.
    assert!(world.upstream(0).datagrams >= datagrams);
    let socket = UdpSocket::bind(dead).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
            socket.send_to(&reply_to(&buffer[..length], 1), client).await.unwrap();
        }
    });
    world.until("it is back", |all| !all.upstreams[0].is_down).await;
    assert_eq!(world.ask(NAME).await, good(1), "the first again");
}

#[tokio::test]
async fn with_all_servers_down_one_is_asked_all_the_same() {
    let fake = Fake::silent().await;
    let world = World::new(&[fake.address], |wish| {
        wish.config.upstream_timeout = Duration::from_millis(1);
        wish.config.query_timeout = Duration::from_millis(200);
        // Health checks that never come to the second are never right again, either.
        wish.forward.max_fails = 1;
        wish.forward.health_check_millis = u32::MAX;
    })
    .await;
    assert_eq!(world.ask(NAME).await.rcode, 2);
    world.until("it is down", |all| all.upstreams[0].is_down).await;
    fake.now_answers(|query| Some(reply_to(query, 1)));
    assert_eq!(world.ask(NAME).await, good(1));
    assert!(world.server.statistics().broken_health_checks >= 1);
}

#[tokio::test]
async fn round_robin_asks_one_after_the_other() {
    let fakes = [
        Fake::new(|query| Some(reply_to(query, 1))).await,
        Fake::new(|query| Some(reply_to(query, 2))).await,
    ];
    let world = World::new(&[fakes[0].address, fakes[1].address], |wish| {
        wish.forward.policy = ForwardPolicy::RoundRobin;
    })
    .await;
    for round in 0..3 {
        assert_eq!(world.ask(NAME).await, good(1), "{round}");
        assert_eq!(world.ask(NAME).await, good(2), "{round}");
    }
}

#[tokio::test]
async fn truncated_replies_are_fetched_whole_or_passed_on() {
    let fake = Fake::new(|query| Some(cut(query))).await;
    let world = World::new(&[fake.address], |_| ()).await;
    let reply = world.ask(NAME).await;
    assert!(reply.is_truncated && reply.rcode == NOERROR, "TCP is refused");
    serve_tcp(fake.address, |query| Some(vec![reply_to(query, 60)])).await;
    assert_eq!(world.ask(NAME).await, good(60));
}

#[tokio::test]
async fn forgers_have_to_guess_the_letters() {
    let names: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&names);
    let fake = Fake::new(move |query| {
        seen.lock().unwrap().push(name_of(query));
        Some(reply_to(query, 1))
    })
    .await;
    let world = World::new(&[fake.address], |wish| wish.forward.random_case = true).await;
    for _ in 0..10 {
        assert_eq!(world.ask(NAME).await, good(1));
    }
    let drawn = |name: &String| name.eq_ignore_ascii_case(NAME) && name != NAME;
    assert!(names.lock().unwrap().iter().any(drawn), "13 letters, 10 times");
    // A server that does not keep them is asked over TCP, where nobody can forge.
    fake.now_answers(|query| {
        let mut reply = reply_to(query, 2);
        reply[12..12 + NAME.len() + 1].make_ascii_lowercase();
        reply[13] = b'W';
        reply[14] = b'w';
        reply[15] = b'W';
        Some(reply)
    });
    serve_tcp(fake.address, |query| Some(vec![reply_to(query, 3)])).await;
    let replies = async { while world.ask(NAME).await != good(3) {} };
    tokio::time::timeout(crate::world::DEADLINE, replies).await.expect("the letters differ soon");
}

#[tokio::test]
async fn servers_without_edns_are_asked_without() {
    let fake = Fake::new(|query| {
        let has_edns = query[11] == 1;
        Some(if has_edns { with_rcode(query, 1) } else { reply_to(query, 1) })
    })
    .await;
    let world = World::new(&[fake.address], |_| ()).await;
    assert_eq!(world.ask(NAME).await, good(1));
    assert_eq!(fake.asked(), 2);
}

#[tokio::test]
async fn codes_that_another_server_is_asked_for() {
    let refusing = Fake::new(|query| Some(with_rcode(query, 5))).await;
    let other = Fake::new(|query| Some(reply_to(query, 1))).await;
    let servers = [refusing.address, other.address];
    let world = World::new(&servers, |_| ()).await;
    assert_eq!(world.ask(NAME).await.rcode, 5, "it is as good a reply as any");
    let world = World::new(&servers, |wish| wish.forward.failover.extend([2, 5])).await;
    assert_eq!(world.ask(NAME).await, good(1));
    other.now_answers(|query| Some(with_rcode(query, 2)));
    assert_eq!(world.ask(NAME).await.rcode, 5, "the first of bad ones");
    other.now_answers(|query| Some(with_rcode(query, NXDOMAIN)));
    assert_eq!(world.ask(NAME).await.rcode, NXDOMAIN);
}

#[tokio::test]
async fn queries_under_way_are_limited() {
    let fake = Fake::silent().await;
    let world = World::new(&[fake.address], |wish| wish.forward.max_concurrent = 1).await;
    let _client = world.ask_many(NAME, 1).await;
    until("the first is asked", || fake.asked() == 1).await;
    assert_eq!(world.ask("other.example.com").await.rcode, 2);
    assert_eq!(world.server.statistics().rejects, 1);
}

#[tokio::test]
async fn over_tcp_many_queries_share_a_connection() {
    let address = ([127, 0, 0, 1], free_port().await).into();
    // Replies come in pairs, the later first.
    let held: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    serve_tcp(address, move |query| {
        let mut held = held.lock().unwrap();
        Some(match held.take() {
            None => {
                *held = Some(query.to_vec());
                Vec::new()
            }
            Some(first) => {
                let number = |query: &[u8]| u8::from(name_of(query).starts_with('b')) + 1;
                vec![reply_to(query, number(query)), reply_to(&first, number(&first))]
            }
        })
    })
    .await;
    let world = World::new(&[address], |wish| wish.forward.transport = ForwardTransport::Tcp).await;
    for _ in 0..5 {
        let (a, b) = tokio::join!(world.ask("a.example.com"), world.ask("b.example.com"));
        assert_eq!((a, b), (good(1), good(2)));
    }
    assert_eq!(world.upstream(0).line_misses, 1);
    assert_eq!(world.upstream(0).datagrams, 0);
}

#[tokio::test]
async fn a_connection_that_was_closed_is_made_again() {
    let address = ([127, 0, 0, 1], free_port().await).into();
    let number = Arc::new(AtomicUsize::new(0));
    // Every third query ends the connection without a reply.
    serve_tcp(address, move |query| {
        let is_third = number.fetch_add(1, Ordering::SeqCst) % 3 == 2;
        (!is_third).then(|| vec![reply_to(query, 1)])
    })
    .await;
    let world = World::new(&[address], |wish| wish.forward.transport = ForwardTransport::Tcp).await;
    for _ in 0..9 {
        assert_eq!(world.ask(NAME).await, good(1));
    }
    assert!(world.upstream(0).line_misses >= 4);
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let address = ([127, 0, 0, 1], free_port().await).into();
    serve_tcp(address, |query| Some(vec![reply_to(query, 1)])).await;
    let world = World::new(&[address], |wish| {
        wish.forward.transport = ForwardTransport::Tcp;
        wish.config.upstream_idle = Duration::from_millis(1);
    })
    .await;
    let again = async {
        while world.upstream(0).line_misses < 3 {
            assert_eq!(world.ask(NAME).await, good(1));
        }
    };
    tokio::time::timeout(crate::world::DEADLINE, again).await.expect("new connections");
}

#[tokio::test]
async fn a_connection_may_end_with_its_first_reply() {
    let address = ([127, 0, 0, 1], free_port().await).into();
    serve_tcp(address, |query| Some(vec![reply_to(query, 1)])).await;
    let world = World::new(&[address], |wish| {
        wish.forward.transport = ForwardTransport::Tcp;
        wish.forward.idle_millis = Some(0);
    })
    .await;
    let again = async {
        while world.upstream(0).line_misses < 10 {
            assert_eq!(world.ask(NAME).await, good(1));
        }
    };
    tokio::time::timeout(crate::world::DEADLINE, again).await.expect("new connections");
}

#[tokio::test]
async fn no_more_servers_are_asked_in_vain_than_may_be() {
    let dead = ([127, 0, 0, 1], free_port().await).into();
    let other = Fake::new(|query| Some(reply_to(query, 2))).await;
    let world = World::new(&[dead, other.address], |wish| {
        wish.forward.max_attempts = 1;
        wish.forward.max_fails = 0;
    })
    .await;
    assert_eq!(world.ask(NAME).await.rcode, SERVFAIL);
    assert_eq!(other.asked(), 0);
    // A reply that is not wanted was not in vain.
    let failing = Fake::new(|query| Some(with_rcode(query, SERVFAIL))).await;
    let world = World::new(&[failing.address, other.address], |wish| {
        wish.forward.max_attempts = 1;
        wish.forward.failover = [SERVFAIL].into();
    })
    .await;
    assert_eq!(world.ask(NAME).await, good(2));
}

#[tokio::test]
async fn with_all_servers_down_queries_may_fail_at_once() {
    let fake = Fake::silent().await;
    let world = World::new(&[fake.address], |wish| {
        wish.config.upstream_timeout = Duration::from_millis(1);
        wish.config.query_timeout = Duration::from_millis(200);
        wish.forward.max_fails = 1;
        wish.forward.health_check_millis = u32::MAX;
        wish.forward.fails_fast = true;
    })
    .await;
    assert_eq!(world.ask(NAME).await.rcode, SERVFAIL);
    world.until("it is down", |all| all.upstreams[0].is_down).await;
    fake.now_answers(|query| Some(reply_to(query, 1)));
    let before = fake.asked();
    assert_eq!(world.ask(NAME).await.rcode, SERVFAIL);
    assert_eq!(fake.asked(), before, "nobody is asked");
}

#[tokio::test]
async fn health_checks_ask_what_they_are_told_to() {
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let checks = Arc::clone(&seen);
    let fake = Fake::new(move |query| {
        // Type NS: neither a client's question nor one that looks for loops.
        if without_edns(query).ends_with(&[0, 2, 0, 1]) {
            checks.lock().unwrap().push(query.to_vec());
        }
        None
    })
    .await;
    let world = World::new(&[fake.address], |wish| {
        wish.config.upstream_timeout = Duration::from_millis(1);
        wish.config.query_timeout = Duration::from_millis(200);
        wish.forward.health_check_name = "health.example".to_owned();
        wish.forward.health_check_recursion = false;
    })
    .await;
    assert_eq!(world.ask(NAME).await.rcode, SERVFAIL);
    until("its health is checked", || !seen.lock().unwrap().is_empty()).await;
    let check = seen.lock().unwrap()[0].clone();
    assert_eq!((name_of(&check).as_str(), check[2] & 1), ("health.example", 0));
}

#[tokio::test]
async fn families_of_addresses_are_counted_apart() {
    let port = free_port().await;
    let server = DnsServer::start(Config { port, ..Config::default() });
    let addresses = BTreeSet::from([[0, 0, 0, 0, 0, 0, 0, 1].into()]);
    let cluster_domain = "cluster.local".into();
    let report = server.publish(&DnsPlan { cluster_domain, addresses, ..DnsPlan::default() }, 1);
    if !report.failures.is_empty() {
        println!("sealane-skip: families_of_addresses_are_counted_apart: no IPv6 on loopback");
        return;
    }
    let socket = UdpSocket::bind("[::1]:0").await.unwrap();
    // The second is answered as the first was.
    for _ in 0..2 {
        socket.send_to(&query("none.default.svc.cluster.local"), ("::1", port)).await.unwrap();
        let mut buffer = [0; 512];
        let wait = socket.recv(&mut buffer);
        tokio::time::timeout(crate::world::DEADLINE, wait).await.unwrap().unwrap();
    }
    let line = r#"proto="udp",family="2",type="A"} 2"#;
    until("both are counted", || server.statistics().to_metrics().contains(line)).await;
}

#[tokio::test]
async fn everything_is_counted() {
    let fake = Fake::new(|query| Some(reply_to(query, 1))).await;
    let world = World::new(&[fake.address], |wish| wish.cache = Some(plan::DnsCache::default())).await;
    for name in [NAME, NAME, "kubernetes.default.svc.cluster.local"] {
        world.ask(name).await;
    }
    world.until("all are counted", |all| all.queries() == 3).await;
    let text = world.server.statistics().to_metrics();
    let server = r#"server="dns://:53",view="""#;
    for line in [
        format!(r#"coredns_dns_requests_total{{{server},zone=".",proto="udp",family="1",type="A"}} 3"#),
        format!(r#"coredns_dns_responses_total{{{server},zone=".",rcode="NXDOMAIN",plugin="kubernetes"}} 1"#),
        format!(r#"coredns_dns_responses_total{{{server},zone=".",rcode="NOERROR",plugin="cache"}} 1"#),
        format!(r#"coredns_dns_responses_total{{{server},zone=".",rcode="NOERROR",plugin="forward"}} 1"#),
        format!(r#"coredns_dns_request_duration_seconds_count{{{server},zone="."}} 3"#),
        format!(r#"coredns_cache_hits_total{{{server},zones=".",type="success"}} 1"#),
        format!(r#"coredns_cache_entries{{{server},zones=".",type="success"}} 1"#),
        "coredns_forward_max_concurrent_rejects_total 0".to_owned(),
        format!(
            r#"coredns_proxy_healthcheck_failures_total{{proxy_name="forward",to="{}",zone="."}} 0"#,
            fake.address
        ),
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
}
