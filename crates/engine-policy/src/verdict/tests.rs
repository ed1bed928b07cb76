//! Verdicts, one behaviour each.

use plan::{IpBlock, PeerSet, PortRange};
use types::Prefix;

use super::*;

const WEB: &str = "10.244.1.2";
const DB: &str = "10.244.1.3";
const NODE: &str = "172.31.0.11";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn name(name: &str) -> NamespacedName {
    NamespacedName::new("shop", name)
}

fn tcp(number: u16) -> PolicyPorts {
    let port = Port::new(number);
    PolicyPorts::Only(BTreeSet::from([PortRange { protocol: Protocol::Tcp, first: port, last: port }]))
}

fn rule(index: usize, peers: Peers, ports: PolicyPorts) -> PolicyRule {
    PolicyRule { policy: name("policy"), index, peers, ports }
}

fn isolated(rules: Vec<PolicyRule>) -> Option<Isolation> {
    Some(Isolation { policies: BTreeSet::from([name("policy")]), rules })
}

fn table(web_egress: Option<Isolation>, db_ingress: Option<Isolation>) -> PolicyTable {
    let web = PodPolicy { pod: name("web"), ingress: None, egress: web_egress };
    let db = PodPolicy { pod: name("db"), ingress: db_ingress, egress: None };
    let block = IpBlock {
        cidr: "192.0.2.0/24".parse().unwrap(),
        except: BTreeSet::from(["192.0.2.128/25".parse::<Prefix>().unwrap()]),
    };
    let peers = PeerSet { addresses: BTreeSet::from([address(WEB)]), blocks: BTreeSet::from([block]) };
    PolicyTable {
        pods: [(address(WEB), web), (address(DB), db)].into(),
        peer_sets: vec![PeerSet::default(), peers],
    }
}

fn ask(table: &PolicyTable, source: &str, protocol: Protocol, port: u16) -> String {
    let connection = Connection {
        source: address(source),
        destination: address(DB),
        protocol,
        port: Port::new(port).unwrap(),
    };
    verdict(Some(table), Some(table), &connection, &BTreeSet::from([address(NODE)])).to_string()
}

#[test]
fn pods_that_no_policy_selects_are_open() {
    let text = ask(&table(None, None), WEB, Protocol::Tcp, 5432);
    assert_eq!(
        text,
        "accept; egress of Pod shop/web: no NetworkPolicy isolates it; \
         ingress of Pod shop/db: no NetworkPolicy isolates it"
    );
}

#[test]
fn an_isolated_pod_takes_only_what_a_rule_allows() {
    let table =
        table(None, isolated(vec![rule(0, Peers::Set(0), tcp(1)), rule(3, Peers::Set(1), tcp(5432))]));
    assert!(
        ask(&table, WEB, Protocol::Tcp, 5432)
            .ends_with("allowed by NetworkPolicy shop/policy spec.ingress[3]")
    );
    assert!(ask(&table, WEB, Protocol::Tcp, 5433).starts_with("deny"));
    assert!(ask(&table, WEB, Protocol::Udp, 5432).starts_with("deny"));
    assert!(
        ask(&table, "10.244.9.9", Protocol::Tcp, 5432)
            .ends_with("NetworkPolicy shop/policy isolates it and no rule allows")
    );
}

#[test]
fn an_exception_of_a_block_is_not_a_peer() {
    let table = table(None, isolated(vec![rule(0, Peers::Set(1), PolicyPorts::Any)]));
    assert!(ask(&table, "192.0.2.5", Protocol::Tcp, 80).starts_with("accept"));
    assert!(ask(&table, "192.0.2.200", Protocol::Tcp, 80).starts_with("deny"));
}

#[test]
fn both_ends_must_allow() {
    let table = table(isolated(Vec::new()), isolated(vec![rule(0, Peers::Any, PolicyPorts::Any)]));
    let text = ask(&table, WEB, Protocol::Tcp, 80);
    assert!(text.starts_with("deny; egress of Pod shop/web: NetworkPolicy shop/policy isolates it"));
}

#[test]
fn a_node_reaches_its_pods_and_a_pod_itself() {
    let table = table(None, isolated(Vec::new()));
    assert!(ask(&table, NODE, Protocol::Tcp, 80).contains("a node always reaches its own Pods"));
    assert!(ask(&table, DB, Protocol::Tcp, 80).contains("a Pod always reaches itself"));
    assert!(ask(&table, "172.31.0.12", Protocol::Tcp, 80).starts_with("deny"));
}

#[test]
fn a_rule_whose_port_name_matched_nothing_allows_nothing() {
    let table = table(None, isolated(vec![rule(0, Peers::Any, PolicyPorts::Only(BTreeSet::new()))]));
    assert!(ask(&table, WEB, Protocol::Tcp, 80).starts_with("deny"));
}
