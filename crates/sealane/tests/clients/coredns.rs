//! CoreDNS on the same API: thousands of generated names, and every answer compared.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::bed::{PATIENCE, can_run, signal};
use crate::lab::Lab;
use crate::tools;
use crate::wire::{Response, decode, query};

const QUESTIONS: usize = 2_000;
/// With each line of [`SETTINGS`].
const QUESTIONS_EACH: usize = 400;
/// Lines of plugin kubernetes that change which names there are.
const SETTINGS: [&str; 6] = [
    "namespaces shop svc\n  namespaces nowhere",
    "namespace_labels kubernetes.io/metadata.name in (shop, empty)",
    "labels tier in (front, middle)",
    "labels !tier",
    "noendpoints",
    "ignore empty_service",
];
const ORIGIN: &str = "cluster.local";
const TYPES: [(&str, u16); 9] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
];
/// The object that is applied last: who knows it knows the others.
const LAST: &str = "chain.empty.svc.cluster.local";

/// CoreDNS; ends with this value.
struct CoreDns {
    child: Child,
    address: SocketAddr,
}

impl CoreDns {
    /// With these lines of plugin kubernetes.
    fn start(program: &Path, lab: &Lab, lines: &str) -> Self {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let text = format!(
            ".:{} {{\n bind 127.0.0.1\n errors\n kubernetes {ORIGIN} in-addr.arpa ip6.arpa {{\n  kubeconfig {}\n  pods verified\n  {lines}\n }}\n}}\n",
            address.port(),
            lab.kubeconfig().display()
        );
        let file = lab.folder().join("Corefile");
        std::fs::write(&file, text).unwrap();
        let child = Command::new(program).arg("-conf").arg(file).stdout(Stdio::null()).spawn().unwrap();
        Self { child, address }
    }
}

impl Drop for CoreDns {
    fn drop(&mut self) {
        signal(&self.child, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Numbers from a number (Marsaglia's xorshift64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize
    }

    fn of<'t>(&mut self, choices: &[&'t str]) -> &'t str {
        choices[self.next() % choices.len()]
    }

    /// A name as clients ask for them, well and badly.
    fn name(&mut self, addresses: &[String]) -> String {
        let services = [
            "web",
            "plain",
            "node",
            "db",
            "twins",
            "waiting",
            "bare",
            "inside",
            "headless-inside",
            "nowhere",
            "chain",
            "kubernetes",
            "missing",
            "svc",
            "WEB",
        ];
        let namespaces = ["shop", "shop", "shop", "default", "empty", "svc", "missing", "kube-system"];
        let ports = ["http", "https", "syslog", "sql", "admin", "web", "missing", "8080"];
        let protocols = ["_tcp", "_udp", "_TCP", "tcp", "_sctp"];
        let hosts = [
            "first",
            "sick",
            "db-0",
            "db-1",
            "db-2",
            "db-5",
            "twin",
            "10-244-200-2",
            "10-244-201-4",
            "10-244-201-1",
            "10-244-200-3",
            "fd00-10-244-99-1--2",
            "missing",
            "_tcp",
            "_http",
        ];
        let (service, namespace) = (self.of(&services), self.of(&namespaces));
        match self.next() % 16 {
            0..=4 => format!("{service}.{namespace}.svc.{ORIGIN}"),
            5..=7 => {
                format!("_{}.{}.{service}.{namespace}.svc.{ORIGIN}", self.of(&ports), self.of(&protocols))
            }
            8..=10 => format!("{}.{service}.{namespace}.svc.{ORIGIN}", self.of(&hosts)),
            11 => format!("{}.{}.{service}.{namespace}.svc.{ORIGIN}", self.of(&hosts), self.of(&hosts)),
            12 => {
                let apex = [
                    "",
                    "svc.",
                    "pod.",
                    "dns-version.",
                    "dns.",
                    "shop.svc.",
                    "empty.svc.",
                    "missing.svc.",
                    "shop.",
                    "shop.pod.",
                    "missing.pod.",
                    "www.example.com.",
                    "default.pod.",
                    "any.svc.svc.",
                ];
                format!("{}{ORIGIN}", self.of(&apex))
            }
            13 => format!("{}.{namespace}.{}.{ORIGIN}", self.of(&hosts), self.of(&["pod", "any", "svc"])),
            14 => format!("a.{}.b.{service}.{namespace}.svc.{ORIGIN}", self.of(&hosts)),
            _ => {
                let address = &addresses[self.next() % addresses.len()];
                address.clone()
            }
        }
    }
}

/// Reverse names of addresses that are there and of some that are not.
fn reverse_names(lab: &Lab) -> Vec<String> {
    let get = "kubectl get services -A -o jsonpath='{range .items[*]}{.spec.clusterIPs[*]} {end}'";
    let found = lab.shell(get).out;
    let fixed = [
        "10.244.200.1",
        "10.244.200.2",
        "10.244.200.3",
        "10.244.201.1",
        "10.244.201.2",
        "10.244.201.3",
        "10.244.201.5",
        "10.244.202.1",
        "10.244.202.2",
        "10.244.203.1",
        "fd00:10:244:99:1::1",
        "fd00:10:244:99:1::2",
        "10.96.77.77",
    ];
    let addresses = found.split_whitespace().filter(|text| *text != "None").chain(fixed);
    addresses.map(|text| reverse_name(text.parse().unwrap())).collect()
}

fn reverse_name(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        std::net::IpAddr::V6(address) => {
            let octets = address.octets();
            let digits = octets.iter().rev().map(|byte| format!("{:x}.{:x}.", byte & 15, byte >> 4));
            digits.collect::<String>() + "ip6.arpa"
        }
    }
}

fn ask(server: SocketAddr, name: &str, kind: u16) -> Option<Response> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket.connect(server).unwrap();
    let mut buffer = [0; 4096];
    for _ in 0..5 {
        socket.send(&query(name, kind, Some(1232))).unwrap();
        if let Ok(length) = socket.recv(&mut buffer) {
            return Some(decode(&buffer[..length]));
        }
    }
    None
}

/// What a client can tell of a response, in an order of its own.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    rcode: u16,
    authoritative: bool,
    answers: BTreeSet<String>,
    authority: BTreeSet<String>,
    additional: BTreeSet<String>,
}

impl Seen {
    fn of(response: &Response) -> Self {
        Self {
            rcode: response.rcode,
            authoritative: response.is_authoritative(),
            answers: response.answers.iter().map(|record| in_one_form(record)).collect(),
            authority: response.authority.iter().map(|record| in_one_form(record)).collect(),
            additional: response.additional.iter().map(|record| in_one_form(record)).collect(),
        }
    }

    fn is_nodata(&self) -> bool {
        self.rcode == 0 && self.answers.is_empty()
    }

    fn leads_on(&self) -> bool {
        self.answers.iter().any(|record| record.contains(" cname "))
    }
}

/// Names are the same in any case of letters (RFC 4343), and CoreDNS gives those of records as it was asked. The weight of
/// SRV records is the same for all of one answer; CoreDNS counts the Service's addresses for it, and a client cannot tell.
fn in_one_form(record: &str) -> String {
    let words: Vec<_> = record.to_lowercase().split(' ').map(str::to_owned).collect();
    match words.as_slice() {
        [name, ttl, kind, priority, _, port, target] if kind == "srv" => {
            format!("{name} {ttl} srv {priority} * {port} {target}")
        }
        _ => words.join(" "),
    }
}

/// One question, and what both say.
struct Pair<'q> {
    name: &'q str,
    kind: &'q str,
    ours: Seen,
    theirs: Seen,
}

impl Pair<'_> {
    /// Why we do not do as CoreDNS does, in the ways that are known and wanted.
    fn wanted_difference(&self, coredns: SocketAddr) -> Option<&'static str> {
        let Self { name, kind, ours, theirs } = self;
        let (nxdomain, is_address) = (3, ["A", "AAAA"].contains(kind));
        if (*name, *kind) == (ORIGIN, "NS") {
            return Some("CoreDNS outside of the cluster does not know its own address");
        }
        if *kind == "SOA" && theirs.is_nodata() {
            return Some("CoreDNS tells of every SOA question that the name exists");
        }
        if name.ends_with(".arpa") && (&ours.answers, ours.rcode) == (&theirs.answers, theirs.rcode) {
            return Some("our zones of reverse names are the cluster's ranges, not all of in-addr.arpa");
        }
        if ours.leads_on() && !theirs.leads_on() && theirs.is_nodata() {
            return match is_address {
                true => Some("CoreDNS hides an alias whose target does not exist (RFC 2308 section 2.1)"),
                false => Some("CoreDNS follows an alias for addresses alone (RFC 1034 section 3.6.2)"),
            };
        }
        if ours.is_nodata() && theirs.rcode == nxdomain {
            let others = TYPES.iter().filter_map(|(_, kind)| ask(coredns, name, *kind));
            let has_name_below =
                name.starts_with("_tcp.") || name.starts_with("_udp.") || name.starts_with("dns.");
            let exists = has_name_below || others.into_iter().any(|other| other.rcode == 0);
            return exists.then_some("CoreDNS denies a name that exists for the lack of one type (RFC 8020)");
        }
        if ours.rcode == nxdomain && name.to_lowercase().split('.').nth(1) == Some("tcp") {
            return Some("CoreDNS takes a protocol without underscore");
        }
        let is_port = name.starts_with('_') && is_address;
        if is_port && ours.is_nodata() && !theirs.answers.is_empty() {
            return Some("CoreDNS gives the Service's addresses under the names of its ports");
        }
        let is_denied = |record: &String| {
            let target = record.rsplit(' ').next().unwrap_or_default().trim_end_matches('.');
            ask(coredns, target, 1).is_some_and(|response| response.rcode == nxdomain)
        };
        if *kind == "PTR" && ours.rcode == nxdomain && theirs.answers.iter().all(is_denied) {
            return Some("CoreDNS names addresses of EndpointSlices after Services that it hides");
        }
        let points_to_itself = |record: &String| record.ends_with(&format!(" {}.", name.to_lowercase()));
        if *kind == "SRV" && ours.is_nodata() && theirs.answers.iter().all(points_to_itself) {
            return Some("CoreDNS gives the ports of an endpoint under its own name");
        }
        None
    }
}

fn wait_for(server: SocketAddr) {
    wait_until(&format!("{server} answers {LAST}"), || {
        ask(server, LAST, 5).is_some_and(|response| !response.answers.is_empty())
    });
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
    }
}

/// What was asked of both, and how their answers differ.
#[derive(Default)]
struct Comparison {
    asked: usize,
    known: BTreeMap<&'static str, usize>,
    unknown: Vec<String>,
}

impl Comparison {
    /// Asks both so many questions more, each once.
    fn ask(
        &mut self,
        count: usize,
        numbers: &mut Numbers,
        addresses: &[String],
        [ours, theirs]: [SocketAddr; 2],
    ) {
        let mut asked = BTreeSet::new();
        while asked.len() < count {
            let name = numbers.name(addresses);
            let (kind, number) = TYPES[numbers.next() % TYPES.len()];
            if !asked.insert((name.clone(), kind)) {
                continue;
            }
            let [own, other] = [ours, theirs].map(|server| {
                let answer = ask(server, &name, number);
                Seen::of(&answer.unwrap_or_else(|| panic!("no answer to {name} {kind}")))
            });
            let pair = Pair { name: &name, kind, ours: own, theirs: other };
            if pair.ours == pair.theirs {
                continue;
            }
            match pair.wanted_difference(theirs) {
                Some(reason) => *self.known.entry(reason).or_insert(0) += 1,
                None => self
                    .unknown
                    .push(format!("{name} {kind}\n  sealane {:?}\n  CoreDNS {:?}", pair.ours, pair.theirs)),
            }
        }
        self.asked += count;
    }

    fn judge(&self) {
        let different: usize = self.known.values().sum();
        println!("of {} answers {different} differ as they are meant to: {:#?}", self.asked, self.known);
        let unknown = &self.unknown;
        assert!(unknown.is_empty(), "{} answers differ:\n{}", unknown.len(), unknown.join("\n"));
        assert!(different < self.asked / 3, "most answers are the same");
    }
}

fn numbers() -> Numbers {
    let seed = std::env::var("SEALANE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("SEALANE_SEED={seed}");
    Numbers(seed)
}

#[test]
fn coredns_gives_the_same_answers() {
    let test = "coredns_gives_the_same_answers";
    let Some(program) = tools::find(test, "coredns").filter(|_| can_run(test)) else { return };
    let lab = Lab::up_with(test, &["--nodes", "1", "--ip-family", "dual"]);
    lab.prepare("dns", &[]);
    lab.all(&[("kubectl apply -f cluster.yaml", "chain created")]);
    let coredns = CoreDns::start(&program, &lab, "");
    let servers = [lab.dns(), coredns.address];
    servers.into_iter().for_each(wait_for);
    let (mut numbers, mut comparison) = (numbers(), Comparison::default());
    comparison.ask(QUESTIONS, &mut numbers, &reverse_names(&lab), servers);
    comparison.judge();
}

/// Both are told by a Corefile which names there are.
#[test]
fn coredns_hides_the_same_names() {
    let test = "coredns_hides_the_same_names";
    let Some(program) = tools::find(test, "coredns").filter(|_| can_run(test)) else { return };
    let lab = Lab::up_with(test, &["--nodes", "1", "--ip-family", "dual"]);
    lab.prepare("dns", &[]);
    lab.all(&[("kubectl apply -f cluster.yaml", "chain created")]);
    wait_for(lab.dns());
    let (mut numbers, mut comparison) = (numbers(), Comparison::default());
    let addresses = reverse_names(&lab);
    for (ttl, setting) in (30..).zip(SETTINGS) {
        let lines = format!("ttl {ttl}\n  {setting}");
        let corefile = format!(
            ". {{\n kubernetes {ORIGIN} in-addr.arpa ip6.arpa {{\n  pods verified\n  {lines}\n }}\n}}\n"
        );
        let map = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"Corefile": corefile},
            "metadata": {"name": "coredns", "namespace": "kube-system"},
        });
        std::fs::write(lab.folder().join("coredns.json"), map.to_string()).unwrap();
        lab.all(&[("kubectl apply -f coredns.json", "configmap/coredns")]);
        let coredns = CoreDns::start(&program, &lab, &lines);
        let servers = [lab.dns(), coredns.address];
        // The zone's record tells of the settings, and a denial that all objects are known.
        wait_until(&format!("{setting} is in force"), || {
            let soa = ask(servers[0], ORIGIN, 6).map(|response| response.answers.concat());
            soa.is_some_and(|soa| soa.ends_with(&format!(" min={ttl}")))
        });
        wait_until("CoreDNS is ready", || {
            ask(servers[1], "missing.shop.svc.cluster.local", 1).is_some_and(|response| response.rcode == 3)
        });
        let before = comparison.unknown.len();
        comparison.ask(QUESTIONS_EACH, &mut numbers, &addresses, servers);
        comparison.unknown[before..].iter_mut().for_each(|text| *text = format!("with {setting}: {text}"));
    }
    comparison.judge();
}
