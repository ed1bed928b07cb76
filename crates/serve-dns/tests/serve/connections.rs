//! Clients on connections: many, slow, hasty and wrong ones.

use super::*;

const SHORT: Duration = Duration::from_millis(200);

fn framed(packet: &[u8]) -> Vec<u8> {
    [&(packet.len() as u16).to_be_bytes(), packet].concat()
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    // The end of the stream, or a reset.
    timeout(DEADLINE, stream.read(&mut [0; 1])).await.unwrap().unwrap_or(0) == 0
}

async fn read_reply(stream: &mut TcpStream) -> Vec<u8> {
    let mut reply = vec![0; usize::from(timeout(DEADLINE, stream.read_u16()).await.unwrap().unwrap())];
    timeout(DEADLINE, stream.read_exact(&mut reply)).await.unwrap().unwrap();
    reply
}

/// RFC 7766 section 6.2.3.
#[tokio::test]
async fn the_longest_idle_connection_makes_room() {
    let (_server, address) = mk_server(&[], |config| {
        config.max_connections = 2;
        config.idle_timeout = DEADLINE * 10;
    })
    .await;
    let mut first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    ask_on(&mut first, &query(WEB)).await.unwrap();
    ask_on(&mut second, &query(WEB)).await.unwrap();
    ask_on(&mut first, &query(WEB)).await.unwrap();
    let mut third = TcpStream::connect(address).await.unwrap();
    assert_eq!(rcode(&timeout(DEADLINE, ask_on(&mut third, &query(WEB))).await.unwrap().unwrap()), 0);
    assert!(is_closed(&mut second).await, "idle for longer than the first");
    assert_eq!(rcode(&ask_on(&mut first, &query(WEB)).await.unwrap()), 0);
}

/// One whose query is under way is not idle; the newcomer waits for it alone.
#[tokio::test]
async fn a_busy_connection_does_not_make_room() {
    let (release, released) = tokio::sync::watch::channel(false);
    let upstream = mk_upstream(move |query| match *released.borrow() {
        true => vec![reply_to(query, 1)],
        false => Vec::new(),
    })
    .await;
    let (_server, address) = mk_server(&[upstream], |config| {
        config.max_connections = 1;
        config.idle_timeout = DEADLINE * 10;
    })
    .await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(&framed(&query(OUTSIDE))).await.unwrap();
    let second = tokio::spawn(async move { ask_tcp(address, &query(WEB)).await });
    release.send_replace(true);
    assert_eq!(read_reply(&mut first).await[7], 1);
    assert_eq!(rcode(&timeout(DEADLINE, second).await.unwrap().unwrap()), 0);
    assert!(is_closed(&mut first).await);
}

#[tokio::test]
async fn slow_clients_are_cut_off() {
    let (_server, address) = mk_server(&[], |config| config.idle_timeout = SHORT).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(&framed(&query(WEB))[..20]).await.unwrap();
    assert!(is_closed(&mut silent).await && is_closed(&mut slow).await);
    // A byte now and then is no progress.
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_u16(60_000).await.unwrap();
    let trickle = async {
        // No faster than this, or the message were whole in time.
        let mut pause = tokio::time::interval(SHORT / 10);
        while slow.write_all(&[0]).await.is_ok() {
            pause.tick().await;
        }
    };
    timeout(DEADLINE, trickle).await.expect("closed before the message is whole");
    assert_eq!(rcode(&ask_tcp(address, &query(WEB)).await), 0);
}

#[tokio::test]
async fn clients_that_do_not_read_are_cut_off() {
    let (server, address) = mk_server(&[], |config| config.idle_timeout = SHORT).await;
    let mut plan = mk_plan(&["127.0.0.1"], &[]);
    let endpoint = |number: u32| plan::DnsEndpoint {
        hostname: format!("p-{number}"),
        address: std::net::Ipv4Addr::from_bits(0x0a80_0000 + number).into(),
        ports: Vec::new(),
    };
    let endpoints = (0..3000).map(endpoint).collect();
    let service = DnsService { kind: DnsServiceKind::headless(), endpoints };
    plan.services.insert(ServiceName::new("shop", "crowd"), service);
    server.publish(&plan, 1);
    let mut greedy = TcpStream::connect(address).await.unwrap();
    let large = framed(&query("crowd.shop.svc.cluster.local"));
    let ask = async { while greedy.write_all(&large).await.is_ok() {} };
    timeout(DEADLINE, ask).await.expect("closed, as nothing is read");
    assert_eq!(rcode(&ask_tcp(address, &query(WEB)).await), 0);
}

/// RFC 7766 section 6.2.1.1.
#[tokio::test]
async fn responses_do_not_wait_for_each_other() {
    let (release, released) = tokio::sync::watch::channel(false);
    let upstream = mk_upstream(move |query| match *released.borrow() {
        true => vec![reply_to(query, 1)],
        false => Vec::new(),
    })
    .await;
    let (_server, address) = mk_server(&[upstream], |_| ()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut both = framed(&query(OUTSIDE));
    let mut web = query(WEB);
    web[1] = 1;
    both.extend(framed(&web));
    stream.write_all(&both).await.unwrap();
    assert_eq!(read_reply(&mut stream).await[1], 1, "the second is answered first");
    release.send_replace(true);
    let reply = read_reply(&mut stream).await;
    assert_eq!((reply[1], reply[7]), (0xcd, 1));
}

#[tokio::test]
async fn queries_may_come_all_at_once() {
    let upstream = mk_upstream(|query| vec![reply_to(query, 1)]).await;
    let (_server, address) = mk_server(&[upstream], |_| ()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut bytes = Vec::new();
    for number in 0..1000_u16 {
        let mut packet = query(if number % 3 == 0 { OUTSIDE } else { WEB });
        packet[..2].copy_from_slice(&number.to_be_bytes());
        bytes.extend(framed(&packet));
    }
    stream.write_all(&bytes).await.unwrap();
    // No more will come; the answers do.
    stream.shutdown().await.unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..1000 {
        let reply = read_reply(&mut stream).await;
        assert_eq!((rcode(&reply), reply[7]), (0, 1));
        seen.insert(u16::from_be_bytes([reply[0], reply[1]]));
    }
    assert_eq!(seen.len(), 1000);
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn lengths_that_make_no_sense() {
    let (_server, address) = mk_server(&[], |_| ()).await;
    let mut empty = TcpStream::connect(address).await.unwrap();
    empty.write_all(&[0, 0]).await.unwrap();
    assert!(is_closed(&mut empty).await);
    let mut longest = query(WEB);
    longest.resize(65_535, 0xff);
    // What follows the question is not counted, so it does not count.
    assert_eq!(rcode(&ask_tcp(address, &longest).await), 0);
    longest[5] = 9;
    assert_eq!(rcode(&ask_tcp(address, &longest).await), 1, "FORMERR");
}

/// As many as there may be here, up to ten thousand; one more is served, and so are they.
#[tokio::test]
async fn ten_thousand_idle_connections() {
    let (files, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    let number = (usize::try_from(files).unwrap() / 2).saturating_sub(200).min(10_000);
    let (_server, address) = mk_server(&[], |config| config.idle_timeout = DEADLINE * 60).await;
    let mut streams = Vec::new();
    for _ in 0..number {
        streams.push(timeout(DEADLINE, TcpStream::connect(address)).await.unwrap().unwrap());
    }
    assert_eq!(rcode(&ask_tcp(address, &query(WEB)).await), 0);
    for stream in streams.iter_mut().step_by(97) {
        assert_eq!(rcode(&timeout(DEADLINE, ask_on(stream, &query(WEB))).await.unwrap().unwrap()), 0);
    }
}
