//! Servers that lead back here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;

use crate::world::{DEADLINE, Fake, SERVFAIL, World, free_port, good, reply_to};

/// Passes queries on to `to` as long as it is told, and answers by itself otherwise.
async fn mk_relay(port: u16, to: std::net::SocketAddr, leads_on: Arc<AtomicBool>) {
    let socket = Arc::new(UdpSocket::bind(("127.0.0.1", port)).await.unwrap());
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
            let (query, socket) = (buffer[..length].to_vec(), Arc::clone(&socket));
            let leads_on = leads_on.load(Ordering::SeqCst);
            tokio::spawn(async move {
                let mut reply = vec![0; 1500];
                if leads_on {
                    let own = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                    own.connect(to).await.unwrap();
                    own.send(&query).await.unwrap();
                    let Ok(length) = own.recv(&mut reply).await else { return };
                    reply.truncate(length);
                } else {
                    reply = reply_to(&query, 1);
                }
                socket.send_to(&reply, client).await.unwrap();
            });
        }
    });
}

#[tokio::test]
async fn a_server_that_leads_back_is_found_and_asked_no_more() {
    let leads_on = Arc::new(AtomicBool::new(true));
    let relay_port = free_port().await;
    let world = World::new(&[([127, 0, 0, 1], relay_port).into()], |wish| {
        wish.config.loop_probe_pause = Duration::from_millis(10);
    })
    .await;
    mk_relay(relay_port, world.address, Arc::clone(&leads_on)).await;
    world.until("the loop is found", |all| all.upstreams[0].leads_back).await;
    assert_eq!(world.ask("www.example.com").await.rcode, SERVFAIL);
    assert!(world.server.statistics().to_metrics().contains("sealane_dns_upstream_loop{"));
    leads_on.store(false, Ordering::SeqCst);
    world.until("it is a loop no more", |all| !all.upstreams[0].leads_back).await;
    assert_eq!(world.ask("www.example.com").await, good(1));
}

#[tokio::test]
async fn other_servers_of_the_forward_are_asked_on() {
    let relay_port = free_port().await;
    let fake = Fake::new(|query| Some(reply_to(query, 2))).await;
    let relay = ([127, 0, 0, 1], relay_port).into();
    let world = World::new(&[relay, fake.address], |_| ()).await;
    mk_relay(relay_port, world.address, Arc::new(AtomicBool::new(true))).await;
    world.until("the loop is found", |all| all.upstreams[0].leads_back).await;
    assert_eq!(world.ask("www.example.com").await, good(2));
}

/// A loop that begins later: what comes back under the ID that it was sent under raises suspicion.
#[tokio::test]
async fn a_loop_that_begins_later_is_found_by_its_queries() {
    let leads_on = Arc::new(AtomicBool::new(false));
    let relay_port = free_port().await;
    let world = World::new(&[([127, 0, 0, 1], relay_port).into()], |wish| {
        wish.config.query_timeout = Duration::from_secs(3);
    })
    .await;
    mk_relay(relay_port, world.address, Arc::clone(&leads_on)).await;
    let answered = async { while world.ask("www.example.com").await != good(1) {} };
    tokio::time::timeout(DEADLINE, answered).await.expect("it works at first");
    world.until("no probe is under way", |all| all.upstreams[0].datagrams >= 2).await;
    leads_on.store(true, Ordering::SeqCst);
    let found = async {
        while !world.upstream(0).leads_back {
            assert_eq!(world.ask("www.example.com").await.rcode, SERVFAIL);
        }
    };
    tokio::time::timeout(DEADLINE, found).await.expect("the loop is found");
}
