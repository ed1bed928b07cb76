//! Rules as kube-proxy's nftables mode writes them, for the program `nft`.
//!
//! After `pkg/proxy/nftables/proxier.go` of Kubernetes 1.36 (`setupNFTables`, `syncProxyRules`), for one IP family,
//! ClusterIPs only and a cluster CIDR that tells Pods from others.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

use crate::cluster::{Change, NAMESPACE, NODE_ADDRESS, POD_RANGE, Port, SERVICE_RANGE, Service};

/// What is there whatever the Services are.
const BASE: &str = "\
add table ip kube-proxy { comment \"rules for kube-proxy\" ; }
add chain ip kube-proxy filter-prerouting-pre-dnat { type filter hook prerouting priority -110 ; }
add chain ip kube-proxy filter-output-pre-dnat { type filter hook output priority -110 ; }
add chain ip kube-proxy filter-input { type filter hook input priority 0 ; }
add chain ip kube-proxy filter-forward { type filter hook forward priority 0 ; }
add chain ip kube-proxy filter-output { type filter hook output priority 0 ; }
add chain ip kube-proxy nat-prerouting { type nat hook prerouting priority -100 ; }
add chain ip kube-proxy nat-output { type nat hook output priority -100 ; }
add chain ip kube-proxy nat-postrouting { type nat hook postrouting priority 100 ; }
add chain ip kube-proxy nodeport-endpoints-check
add chain ip kube-proxy service-endpoints-check
add chain ip kube-proxy firewall-check
add chain ip kube-proxy services
add chain ip kube-proxy masquerading
add chain ip kube-proxy cluster-ips-check
add rule ip kube-proxy filter-input ct state new jump nodeport-endpoints-check
add rule ip kube-proxy filter-input ct state new jump service-endpoints-check
add rule ip kube-proxy filter-forward ct state new jump service-endpoints-check
add rule ip kube-proxy filter-output ct state new jump service-endpoints-check
add rule ip kube-proxy filter-prerouting-pre-dnat ct state new jump firewall-check
add rule ip kube-proxy filter-output-pre-dnat ct state new jump firewall-check
add rule ip kube-proxy nat-output jump services
add rule ip kube-proxy nat-prerouting jump services
add rule ip kube-proxy nat-postrouting jump masquerading
add rule ip kube-proxy filter-forward ct state new jump cluster-ips-check
add rule ip kube-proxy filter-output ct state new jump cluster-ips-check
add set ip kube-proxy hairpin-connections { type ipv4_addr . ipv4_addr . inet_proto . inet_service ; comment \"service hairpin connections\" ; }
add rule ip kube-proxy masquerading mark and 0x4000 != 0 mark set mark xor 0x4000 masquerade fully-random
add rule ip kube-proxy masquerading ct status dnat ip saddr . ip daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random
add set ip kube-proxy cluster-ips { type ipv4_addr ; comment \"Active ClusterIPs\" ; }
add rule ip kube-proxy cluster-ips-check ip daddr @cluster-ips reject comment \"Reject traffic to invalid ports of ClusterIPs\"
add rule ip kube-proxy cluster-ips-check ip daddr { SERVICE_RANGE } drop comment \"Drop traffic to unallocated ClusterIPs\"
add set ip kube-proxy nodeport-ips { type ipv4_addr ; comment \"IPs that accept NodePort traffic\" ; }
add element ip kube-proxy nodeport-ips { NODE_ADDRESS }
add map ip kube-proxy no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict ; comment \"vmap to drop or reject packets to services with no endpoints\" ; }
add map ip kube-proxy no-endpoint-nodeports { type inet_proto . inet_service : verdict ; comment \"vmap to drop or reject packets to service nodeports with no endpoints\" ; }
add chain ip kube-proxy reject-chain { comment \"helper for @no-endpoint-services / @no-endpoint-nodeports\" ; }
add rule ip kube-proxy reject-chain reject
add rule ip kube-proxy service-endpoints-check ip daddr . meta l4proto . th dport vmap @no-endpoint-services
add rule ip kube-proxy nodeport-endpoints-check ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports
add map ip kube-proxy firewall-ips { type ipv4_addr . inet_proto . inet_service : verdict ; comment \"destinations that are subject to LoadBalancerSourceRanges\" ; }
add rule ip kube-proxy firewall-check ip daddr . meta l4proto . th dport vmap @firewall-ips
add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict ; comment \"ClusterIP, ExternalIP and LoadBalancer IP traffic\" ; }
add map ip kube-proxy service-nodeports { type inet_proto . inet_service : verdict ; comment \"NodePort traffic\" ; }
add rule ip kube-proxy services ip daddr @cluster-ips ip saddr != POD_RANGE mark set mark or 0x4000 comment \"masquerade clusterIP traffic from outside cluster\"
add rule ip kube-proxy services ip daddr . meta l4proto . th dport vmap @service-ips
add rule ip kube-proxy services ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
";

/// The one transaction of a first synchronisation.
pub(crate) fn full(services: &[Service]) -> String {
    let mut text = BASE
        .replace("SERVICE_RANGE", SERVICE_RANGE)
        .replace("POD_RANGE", POD_RANGE)
        .replace("NODE_ADDRESS", &NODE_ADDRESS.to_string());
    services.iter().for_each(|service| add(&mut text, service));
    text
}

/// The transaction of a synchronisation that finds one thing changed.
pub(crate) fn partial(change: &Change) -> String {
    let mut text = String::new();
    match change {
        Change::Service(service) => add(&mut text, service),
        // Elements of maps stay as they are: they lead to the same chain.
        Change::Endpoint(service, _) => {
            service.ports.iter().for_each(|port| fill_chain(&mut text, service, port));
        }
    }
    text
}

fn add(text: &mut String, service: &Service) {
    let address = service.cluster_ip;
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    line(format!("add element ip kube-proxy cluster-ips {{ {address} }}"));
    for port in service.ports {
        let Port { protocol, number, .. } = port;
        if service.is_local {
            for endpoint in &service.endpoints {
                let key = format!("{endpoint} . {endpoint} . {protocol} . {number}");
                line(format!("add element ip kube-proxy hairpin-connections {{ {key} }}"));
            }
        }
        let chain = chain(service, port);
        line(format!("add chain ip kube-proxy {chain}"));
        let key = format!("{address} . {protocol} . {number}");
        line(format!("add element ip kube-proxy service-ips {{ {key} : goto {chain} }}"));
    }
    service.ports.iter().for_each(|port| fill_chain(text, service, port));
}

fn fill_chain(text: &mut String, service: &Service, port: &Port) {
    let Port { protocol, number, .. } = port;
    let chain = chain(service, port);
    let endpoints = service.endpoints.iter().enumerate();
    let slots: Vec<String> =
        endpoints.map(|(slot, endpoint)| format!("{slot} : {endpoint} . {number}")).collect();
    let (count, slots) = (slots.len(), slots.join(" , "));
    let _ = writeln!(text, "add chain ip kube-proxy {chain}\nflush chain ip kube-proxy {chain}");
    let draw = format!("dnat ip addr . port to numgen random mod {count} map {{ {slots} }}");
    let _ = writeln!(text, "add rule ip kube-proxy {chain} meta l4proto {protocol} {draw}");
}

/// `servicePortChainNameBase` behind `servicePortPolicyClusterChainNamePrefix`.
fn chain(service: &Service, port: &Port) -> String {
    let name = format!("{NAMESPACE}/{}/{}/{}", service.name, port.protocol, port.name);
    format!("service-{}-{name}", short_hash(&name, 8))
}

/// The first letters of the base 32 form (RFC 4648) of the SHA-256 of a name.
pub(crate) fn short_hash(name: &str, letters: usize) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let hash = digest(&SHA256, name.as_bytes());
    let bit = |index: usize| hash.as_ref()[index / 8] >> (7 - index % 8) & 1;
    let letter = |index: usize| (index * 5..index * 5 + 5).fold(0, |five, at| five << 1 | bit(at));
    (0..letters).map(|index| char::from(ALPHABET[usize::from(letter(index))])).collect()
}
