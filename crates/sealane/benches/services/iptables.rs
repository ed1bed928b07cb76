//! Rules as kube-proxy's iptables mode writes them, for the program `iptables-restore`.
//!
//! After `pkg/proxy/iptables/proxier.go` of Kubernetes 1.36 (`syncProxyRules`), with the jumps to its chains that it makes
//! one by one at its start put into the first text.

use std::fmt::Write as _;

use crate::cluster::{Change, NAMESPACE, POD_RANGE, Port, Service};
use crate::nftables::short_hash;

/// `largeClusterEndpointsThreshold`: with more endpoints, rules have fewer comments, and what is left over is not looked
/// for.
const LARGE: usize = 1000;

const JUMPS: &str = "\
*filter
:KUBE-SERVICES - [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-FIREWALL - [0:0]
-I INPUT -m conntrack --ctstate NEW -m comment --comment \"kubernetes externally-visible service portals\" -j KUBE-EXTERNAL-SERVICES
-I FORWARD -m conntrack --ctstate NEW -m comment --comment \"kubernetes externally-visible service portals\" -j KUBE-EXTERNAL-SERVICES
-I INPUT -m comment --comment \"kubernetes health check service ports\" -j KUBE-NODEPORTS
-I FORWARD -m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-I OUTPUT -m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-I FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD
-I INPUT -m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\" -j KUBE-PROXY-FIREWALL
-I OUTPUT -m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\" -j KUBE-PROXY-FIREWALL
-I FORWARD -m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\" -j KUBE-PROXY-FIREWALL
-I INPUT -j KUBE-FIREWALL
-I OUTPUT -j KUBE-FIREWALL
COMMIT
*nat
:KUBE-SERVICES - [0:0]
:KUBE-POSTROUTING - [0:0]
-I OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-I PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-I POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING
COMMIT
";

const FILTER: &str = "\
*filter
:KUBE-NODEPORTS - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
-A KUBE-FIREWALL -m comment --comment \"block incoming localnet connections\" -d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding conntrack rule\" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
";

const NAT_CHAINS: &str = "\
*nat
:KUBE-NODEPORTS - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
";

const NAT_RULES: &str = "\
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE --random-fully
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
";

const LAST: &str = "\
-A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule in this chain\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
COMMIT
";

/// Whether a synchronisation asks `iptables-save` for chains that are left over.
pub(crate) fn looks_for_leftovers(services: &[Service]) -> bool {
    !is_large(services)
}

fn is_large(services: &[Service]) -> bool {
    services.iter().map(|service| service.ports.len() * service.endpoints.len()).sum::<usize>() > LARGE
}

/// The text of a first synchronisation.
pub(crate) fn full(services: &[Service]) -> String {
    let mut text = JUMPS.to_owned();
    write(&mut text, services, services);
    text
}

/// The text of a synchronisation that finds one thing changed: the chain of all Services anew, the changed one's own
/// chains, and nothing of the others'. Those of an endpoint that has gone are removed, where there are few.
pub(crate) fn partial(services: &mut Vec<Service>, change: &Change) -> String {
    let mut text = String::new();
    let service = match change {
        Change::Service(service) => {
            services.push(service.clone());
            service
        }
        Change::Endpoint(service, _) => {
            let mut same = services.iter_mut().filter(|other| other.name == service.name);
            same.next().expect("the Service is there").clone_from(service);
            service
        }
    };
    write(&mut text, services, std::slice::from_ref(service));
    if let (Change::Endpoint(service, before), false) = (change, is_large(services)) {
        let end = text.rfind("COMMIT").expect("every table is committed");
        let left_over = service.ports.iter().map(|port| endpoint_chain(service, port, &before.to_string()));
        let removed: String = left_over.map(|chain| format!(":{chain} - [0:0]\n-X {chain}\n")).collect();
        text.insert_str(end, &removed);
    }
    text
}

fn write(text: &mut String, all: &[Service], changed: &[Service]) {
    let comments = !is_large(all);
    text.push_str(FILTER);
    text.push_str(NAT_CHAINS);
    for (service, port) in ports(changed) {
        let _ = writeln!(text, ":{} - [0:0]", service_chain(service, port));
        for endpoint in &service.endpoints {
            let _ = writeln!(text, ":{} - [0:0]", endpoint_chain(service, port, &endpoint.to_string()));
        }
    }
    text.push_str(NAT_RULES);
    for (service, port) in ports(all) {
        let _ = writeln!(text, "-A KUBE-SERVICES {} -j {}", aim(service, port), service_chain(service, port));
    }
    ports(changed).for_each(|(service, port)| write_chains(text, service, port, comments));
    text.push_str(LAST);
}

fn ports(services: &[Service]) -> impl Iterator<Item = (&Service, &Port)> {
    services.iter().flat_map(|service| service.ports.iter().map(move |port| (service, port)))
}

fn write_chains(text: &mut String, service: &Service, port: &Port, comments: bool) {
    let Port { protocol, number, .. } = port;
    let (chain, name) = (service_chain(service, port), port_name(service, port));
    let comment =
        |words: &str| if comments { format!(" -m comment --comment \"{words}\"") } else { String::new() };
    let _ = writeln!(text, "-A {chain} {} ! -s {POD_RANGE} -j KUBE-MARK-MASQ", aim(service, port));
    let mut left = service.endpoints.len();
    for endpoint in &service.endpoints {
        let why = comment(&format!("{name} -> {endpoint}:{number}"));
        let draw = match left {
            1 => String::new(),
            left => format!(" -m statistic --mode random --probability {:.10}", 1.0 / left as f64),
        };
        left -= 1;
        let endpoint = endpoint_chain(service, port, &endpoint.to_string());
        let _ = writeln!(text, "-A {chain}{why}{draw} -j {endpoint}");
    }
    for endpoint in &service.endpoints {
        let own = endpoint_chain(service, port, &endpoint.to_string());
        let why = comment(&name);
        let _ = writeln!(text, "-A {own}{why} -s {endpoint} -j KUBE-MARK-MASQ");
        let target = format!("-m {protocol} -p {protocol} -j DNAT --to-destination {endpoint}:{number}");
        let _ = writeln!(text, "-A {own}{why} {target}");
    }
}

/// What tells packets to a Service port.
fn aim(service: &Service, port: &Port) -> String {
    let (name, Port { protocol, number, .. }) = (port_name(service, port), port);
    let address = service.cluster_ip;
    format!(
        "-m comment --comment \"{name} cluster IP\" -m {protocol} -p {protocol} -d {address} --dport {number}"
    )
}

fn port_name(service: &Service, port: &Port) -> String {
    format!("{NAMESPACE}/{}:{}", service.name, port.name)
}

/// `servicePortPolicyClusterChain`.
fn service_chain(service: &Service, port: &Port) -> String {
    format!("KUBE-SVC-{}", short_hash(&format!("{}{}", port_name(service, port), port.protocol), 16))
}

/// `servicePortEndpointChainName`.
fn endpoint_chain(service: &Service, port: &Port, endpoint: &str) -> String {
    let name = format!("{}{}{endpoint}:{}", port_name(service, port), port.protocol, port.number);
    format!("KUBE-SEP-{}", short_hash(&name, 16))
}
