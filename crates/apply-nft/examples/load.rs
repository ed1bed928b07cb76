//! How long loading many Services and changing one takes: `unshare -Urn load [SERVICES]`.
#![allow(clippy::disallowed_methods, reason = "it measures time and reads its argument")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use plan::{
    Backend, DnsPlan, EndpointOrigin, Frontend, FrontendAddress, FrontendRule, FrontendScope, NodePlan,
    Outcome, ServiceTable, SourceAddress,
};
use sealane_apply_nft::{Look, Nft};
use types::{NamespacedName, Port, Prefix, Protocol, SharedMap};

fn main() {
    let services = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let mut plan = plan(services);
    let mut nft = Nft::open().expect("a user namespace with CAP_NET_ADMIN");
    let rules = timed("render", || ruleset::render(&plan));
    let report = timed("first converge", || nft.converge(&rules));
    println!("{:>40}", format!("{} written, {} failures", report.written, report.failures.len()));
    timed("read back", || nft.read_back(rules.family)).expect("our own table");
    timed("converge without a change", || nft.converge(&rules));
    let middle = plan.services.frontends.values_mut().nth(services as usize / 2).expect("there are Services");
    middle.internal = Outcome::Drop;
    middle.external = Outcome::Drop;
    let changed = timed("render again", || ruleset::render(&plan));
    let difference = timed("diff of one change", || ruleset::diff(&rules, &changed));
    println!("{:>40}", format!("{} elements", difference.len()));
    timed("converge with one change", || nft.converge(&changed));
    timed("take note of the plan", || nft.converge_plan(&plan, Look::IfChanged));
    for round in 0..5 {
        // All that did not change is shared, as a compiler has it.
        let (frontend, mut rule) = frontend(services / 2);
        let outcome = if round % 2 == 0 { Outcome::Reject } else { rule.internal.clone() };
        (rule.internal, rule.external) = (outcome.clone(), outcome);
        plan.services.frontends.insert(frontend, rule);
        let report = timed("follow one change", || nft.converge_plan(&plan, Look::IfChanged));
        println!("{:>40}", format!("{} written, {} failures", report.written, report.failures.len()));
    }
}

fn timed<T>(what: &str, action: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = action();
    println!("{what:<28}{:>9.3} ms", start.elapsed().as_secs_f64() * 1000.0);
    result
}

fn plan(services: u32) -> NodePlan {
    let range = |text: &str| -> Prefix { text.parse().expect("a prefix") };
    let frontends: SharedMap<Frontend, FrontendRule> = (1..=services).map(frontend).collect();
    NodePlan {
        node: "node-a".into(),
        podnet: Default::default(),
        services: ServiceTable {
            frontends,
            node_addresses: [IpAddr::from([172, 31, 0, 11])].into(),
            pod_cidrs: [range("10.244.0.0/16")].into(),
            service_cidrs: [range("10.96.0.0/12")].into(),
            local_vips: BTreeSet::new(),
            served_elsewhere: SharedMap::new(),
            health_checks: BTreeMap::new(),
        },
        policy: Default::default(),
        dns: DnsPlan::default(),
        gateway: Default::default(),
        lb: Default::default(),
    }
}

/// The n-th Service, with three backends.
fn frontend(number: u32) -> (Frontend, FrontendRule) {
    let port = |number| Port::new(number).expect("not 0");
    let backend = |slot| Backend {
        address: Ipv4Addr::from(0x0af4_0000 + (3 * number + slot) % 0xffff).into(),
        port: port(8080),
    };
    let all =
        Outcome::Forward { backends: (0..3).map(backend).collect(), source: SourceAddress::KeptForPods };
    let address = FrontendAddress::Vip(Ipv4Addr::from(0x0a60_0000 + number).into());
    let rule = FrontendRule {
        owner: NamespacedName::new("default", format!("service-{number}")),
        port_name: "http".into(),
        scope: FrontendScope::ClusterIp,
        internal: all.clone(),
        external: all,
        affinity_seconds: None,
        scheduling: plan::Scheduling::default(),
        source_ranges: None,
        endpoints: EndpointOrigin::Selector,
        candidates: Vec::new(),
    };
    (Frontend { address, protocol: Protocol::Tcp, port: port(80) }, rule)
}
