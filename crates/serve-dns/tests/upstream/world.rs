//! A server on loopback, its client, and upstream servers made of closures.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine_dns::without_edns;
use plan::{DnsBlock, DnsCache, DnsForward, DnsPlan, DnsSettings, ForwardPolicy, Upstream};
use serve_dns::{Config, DnsServer, Statistics, UpstreamStatistics};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// So long that no test waits for it.
pub(crate) const NEVER: Duration = Duration::from_secs(600);
pub(crate) const NOERROR: u8 = 0;
pub(crate) const SERVFAIL: u8 = 2;
pub(crate) const NXDOMAIN: u8 = 3;

/// A server and what its clients ask.
pub(crate) struct World {
    pub(crate) server: DnsServer,
    pub(crate) address: SocketAddr,
}

/// Settings of a test.
pub(crate) struct Wish {
    pub(crate) config: Config,
    pub(crate) forward: DnsForward,
    /// Forwards after it.
    pub(crate) others: Vec<DnsForward>,
    pub(crate) cache: Option<DnsCache>,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) rcode: u8,
    pub(crate) is_truncated: bool,
    /// Time to live and last byte of each A record of the answer.
    pub(crate) records: Vec<(u32, u8)>,
    /// The Extended DNS Error, if there is one at the end.
    pub(crate) error: Option<u8>,
}

impl World {
    /// A server that asks these, in order; it never loses patience, unless `change` says so.
    pub(crate) async fn new(servers: &[SocketAddr], change: impl FnOnce(&mut Wish)) -> Self {
        let port = free_port().await;
        let config = Config {
            port,
            upstream_timeout: NEVER,
            least_patience: NEVER,
            query_timeout: NEVER,
            stale_timer: NEVER,
            ..Config::default()
        };
        let to = servers.iter().copied().map(Upstream::Plain).collect();
        let policy = ForwardPolicy::Sequential;
        let forward = DnsForward { to, policy, health_check_millis: 10, ..DnsForward::default() };
        let mut wish = Wish { config, forward, others: Vec::new(), cache: None };
        change(&mut wish);
        let forwards = [vec![wish.forward], wish.others].concat();
        let block = DnsBlock { forwards, cache: wish.cache, ..DnsBlock::default() };
        let server = DnsServer::start(wish.config);
        let report = server.publish(
            &DnsPlan {
                cluster_domain: "cluster.local".into(),
                addresses: BTreeSet::from([[127, 0, 0, 1].into()]),
                settings: DnsSettings { blocks: vec![block] }.into(),
                ..DnsPlan::default()
            },
            1,
        );
        assert_eq!(report.failures, []);
        Self { server, address: ([127, 0, 0, 1], port).into() }
    }

    /// Asks for a name's A records, with EDNS.
    pub(crate) async fn ask(&self, name: &str) -> Reply {
        ask(self.address, name).await
    }

    pub(crate) async fn ask_many(&self, name: &str, number: usize) -> Vec<tokio::task::JoinHandle<Reply>> {
        let address = self.address;
        let ask_one = |_| {
            let name = name.to_owned();
            tokio::spawn(async move { ask(address, &name).await })
        };
        (0..number).map(ask_one).collect()
    }

    pub(crate) fn upstream(&self, index: usize) -> UpstreamStatistics {
        self.server.statistics().upstreams[index].clone()
    }

    /// Waits until the counts are so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Statistics) -> bool) {
        until(what, || is_so(&self.server.statistics())).await;
    }
}

pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

pub(crate) async fn ask(server: SocketAddr, name: &str) -> Reply {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    let packet = query(name);
    socket.send(&packet).await.unwrap();
    let mut buffer = vec![0; 4096];
    let length = timeout(DEADLINE, socket.recv(&mut buffer)).await.expect("a reply").unwrap();
    assert_eq!(buffer[..2], packet[..2], "the client's own ID");
    assert_eq!(buffer[12..packet.len() - 11], packet[12..packet.len() - 11], "the client's own letters");
    read(&buffer[..length])
}

/// A query for A records, with EDNS.
pub(crate) fn query(name: &str) -> Vec<u8> {
    let mut packet = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    packet
}

fn read(reply: &[u8]) -> Reply {
    let mut at = 12;
    while reply[at] != 0 {
        at += 1 + usize::from(reply[at]);
    }
    at += 5;
    let records = (0..reply[7]).map(|index| {
        let record = &reply[at + 16 * usize::from(index)..][..16];
        (u32::from_be_bytes(record[6..10].try_into().unwrap()), record[15])
    });
    let records = records.collect();
    let error = match reply[reply.len() - 6..] {
        [0, 15, 0, 2, 0, code] => Some(code),
        _ => None,
    };
    Reply { rcode: reply[3] & 15, is_truncated: reply[2] & 2 != 0, records, error }
}

/// A good reply.
pub(crate) fn good(number: u8) -> Reply {
    let records = (0..number).map(|last| (60, last)).collect();
    Reply { rcode: NOERROR, is_truncated: false, records, error: None }
}

pub(crate) fn failure(error: Option<u8>) -> Reply {
    Reply { rcode: SERVFAIL, is_truncated: false, records: Vec::new(), error }
}

/// An upstream's reply with so many A records, 192.0.2.0 and up, to be kept for a minute.
pub(crate) fn reply_to(query: &[u8], number: u8) -> Vec<u8> {
    let mut reply = without_edns(query);
    reply[2] |= 0x80;
    reply[7] = number;
    for last in 0..number {
        reply.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last]);
    }
    reply
}

pub(crate) fn with_rcode(query: &[u8], rcode: u8) -> Vec<u8> {
    let mut reply = reply_to(query, 0);
    reply[3] |= rcode;
    reply
}

pub(crate) fn cut(query: &[u8]) -> Vec<u8> {
    let mut reply = reply_to(query, 0);
    reply[2] |= 2;
    reply
}

/// The name that a query asks for, as it is spelled.
pub(crate) fn name_of(query: &[u8]) -> String {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8(query[at + 1..end].to_vec()).unwrap());
        at = end;
    }
    labels.join(".")
}

/// What kind of question a query is, apart from those of clients.
fn is_clients(query: &[u8]) -> bool {
    // Those that look for loops are of type HINFO, health checks of type NS.
    without_edns(query).ends_with(&[0, 1, 0, 1])
}

/// An upstream server, whose behaviour can be changed.
#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
    answer: Arc<Mutex<Answer>>,
    socket: Arc<UdpSocket>,
    /// Queries that were not answered.
    held: Arc<Mutex<Held>>,
}

/// Queries and who sent them.
type Held = Vec<(Vec<u8>, SocketAddr)>;
type Answer = Box<dyn FnMut(&[u8]) -> Option<Vec<u8>> + Send>;

impl Fake {
    /// Answers queries of clients in datagrams with what `answer` makes of them, and all others with nothing special, as long
    /// as it answers at all.
    pub(crate) async fn new(answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> Self {
        let socket = Arc::new(UdpSocket::bind(("127.0.0.1", free_port().await)).await.unwrap());
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Box::new(answer)));
        let address = socket.local_addr().unwrap();
        let fake = Self { address, asked: Arc::default(), answer, socket, held: Arc::default() };
        tokio::spawn(fake.clone().run());
        fake
    }

    /// One that never says a word.
    pub(crate) async fn silent() -> Self {
        Self::new(|_| None).await
    }

    /// How many queries of clients have come.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn now_answers(&self, answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    /// Answers the queries of clients that were not answered.
    pub(crate) async fn answer_held(&self, answer: impl Fn(&[u8]) -> Vec<u8>) {
        let held = std::mem::take(&mut *self.held.lock().unwrap());
        for (query, client) in held.iter().filter(|(query, _)| is_clients(query)) {
            self.socket.send_to(&answer(query), client).await.unwrap();
        }
    }

    async fn run(self) {
        let mut buffer = [0; 1500];
        loop {
            let Ok((length, client)) = self.socket.recv_from(&mut buffer).await else { continue };
            let query = &buffer[..length];
            let reply = (self.answer.lock().unwrap())(query);
            if reply.is_none() {
                self.held.lock().unwrap().push((query.to_vec(), client));
            }
            if is_clients(query) {
                self.asked.fetch_add(1, Ordering::SeqCst);
            }
            if let Some(reply) = reply {
                self.socket.send_to(&reply, client).await.unwrap();
            }
        }
    }
}

/// Answers queries on a connection with what `answer` makes of them, until that is nothing.
pub(crate) async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    mut answer: impl FnMut(&[u8]) -> Option<Vec<Vec<u8>>>,
) {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; usize::from(length)];
        stream.read_exact(&mut query).await.unwrap();
        let replies = if is_clients(&query) { answer(&query) } else { Some(vec![reply_to(&query, 0)]) };
        let Some(replies) = replies else { return };
        for reply in replies {
            // One write, or the peer may see its length alone.
            let mut framed = (reply.len() as u16).to_be_bytes().to_vec();
            framed.extend(reply);
            stream.write_all(&framed).await.unwrap();
        }
        stream.flush().await.unwrap();
    }
}

/// Serves TCP at an address.
pub(crate) async fn serve_tcp(
    address: SocketAddr,
    answer: impl Fn(&[u8]) -> Option<Vec<Vec<u8>>> + Clone + Send + 'static,
) {
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_stream(stream, answer.clone()));
        }
    });
}

/// A port that was free on loopback a moment ago, for UDP and TCP.
pub(crate) async fn free_port() -> u16 {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
}
