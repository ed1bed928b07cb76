//! Sockets that come and go with the plan.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use plan::GatewayPlan;
use serve_gateway::{Config, Gateway};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::world::{Client, DEADLINE, HOST, get, mk_backend, mk_plan, start};

/// A backend that answers once it is let.
async fn mk_waiting_backend() -> (SocketAddr, watch::Receiver<bool>, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (reached, is_reached) = watch::channel(false);
    let (let_go, may_go) = watch::channel(false);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut may_go = may_go;
        stream.read_u8().await.unwrap();
        reached.send_replace(true);
        may_go.wait_for(|may_go| *may_go).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").await.unwrap();
        reached.closed().await;
    });
    (address, is_reached, let_go)
}

#[tokio::test]
async fn sockets_follow_the_plan() {
    let mut plan = mk_plan(&[mk_backend("web").await]).await;
    let (gateway, first) = start(&plan, |_| ());
    let second: SocketAddr = ([127, 0, 0, 2], first.port()).into();
    let mut kept = Client::connect(first).await;
    kept.get(HOST, "/").await.unwrap();
    plan.addresses.insert(second.ip());
    assert_eq!(gateway.publish(&plan).written, 2);
    assert_eq!(get(second, HOST, "/").await.status, 200);
    assert_eq!(kept.get(HOST, "/").await.unwrap().status, 200, "the first socket is not disturbed");
    plan.addresses.remove(&first.ip());
    gateway.publish(&plan);
    assert_eq!(gateway.addresses(), BTreeSet::from([second]));
    let wait = async { while TcpStream::connect(first).await.is_ok() {} };
    timeout(DEADLINE, wait).await.expect("the socket is closed");
    let end = async { while kept.get(HOST, "/").await.is_ok() {} };
    timeout(DEADLINE, end).await.expect("its idle connections are closed");
    gateway.publish(&GatewayPlan { addresses: BTreeSet::new(), ..plan });
    assert_eq!(gateway.addresses(), BTreeSet::new());
}

#[tokio::test]
async fn a_busy_port_is_reported_and_tried_again() {
    let mut plan = mk_plan(&[mk_backend("web").await]).await;
    plan.addresses.insert([127, 0, 0, 2].into());
    let [first, second] = *plan.sockets().collect::<Vec<_>>() else { panic!() };
    let busy = TcpListener::bind(first).await.unwrap();
    let gateway = Gateway::start(Config::default()).unwrap();
    let report = gateway.publish(&plan);
    let what = report.failures.iter().map(|failure| failure.what.as_str()).collect::<Vec<_>>();
    assert_eq!(what, [format!("http socket {first}")]);
    assert_eq!(get(second, HOST, "/").await.status, 200);
    drop(busy);
    assert_eq!(gateway.publish(&plan).failures, []);
    assert_eq!(get(first, HOST, "/").await.status, 200);
}

#[tokio::test]
async fn stopping_finishes_what_is_under_way() {
    let (backend, mut reached, let_go) = mk_waiting_backend().await;
    let (gateway, address) = start(&mk_plan(&[backend]).await, |_| ());
    let client = tokio::spawn(async move { get(address, HOST, "/").await });
    reached.wait_for(|reached| *reached).await.unwrap();
    let stopping = tokio::spawn(gateway.stop());
    let closed = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(DEADLINE, closed).await.expect("no new connections");
    assert!(!stopping.is_finished());
    let_go.send_replace(true);
    assert_eq!(client.await.unwrap().body, "late");
    timeout(DEADLINE, stopping).await.unwrap().unwrap();
    TcpListener::bind(address).await.unwrap();
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let plan = mk_plan(&[mk_backend("web").await]).await;
    let (_gateway, address) = start(&plan, |config| config.max_connections = 1);
    let mut first = Client::connect(address).await;
    first.get(HOST, "/").await.unwrap();
    let second = tokio::spawn(async move { get(address, HOST, "/").await });
    first.get(HOST, "/").await.unwrap();
    assert!(!second.is_finished());
    drop(first);
    assert_eq!(timeout(DEADLINE, second).await.unwrap().unwrap().status, 200);
}
