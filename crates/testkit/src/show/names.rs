//! DNS names as text.

use plan::{DnsPlan, DnsPort, DnsServiceKind};

use super::joined;

/// The lab's own Services are in every plan, and so in none of the texts.
const LAB_SERVICES: [&str; 2] = ["default/kubernetes", "kube-system/kube-dns"];

pub(super) fn show(dns: &DnsPlan) -> String {
    let mut text = String::new();
    for (name, service) in dns.services.iter().filter(|(name, _)| !LAB_SERVICES.contains(&&*name.to_string()))
    {
        let what = match &service.kind {
            DnsServiceKind::ClusterIp { addresses, ports } => {
                format!("{} with {}", joined(addresses, " "), port_list(ports))
            }
            DnsServiceKind::Headless { .. } => "headless".to_owned(),
            DnsServiceKind::ExternalName { target } => format!("CNAME {target}"),
        };
        text += &format!("{}.{}.svc.{}: {what}\n", name.name, name.namespace, dns.cluster_domain);
        for endpoint in &service.endpoints {
            let ports = port_list(&endpoint.ports);
            text += &format!("  {}: {} with {ports}\n", endpoint.hostname, endpoint.address);
        }
        if let DnsServiceKind::Headless { zones } = &service.kind {
            let lines = zones
                .iter()
                .map(|(zone, addresses)| format!("  in zone {zone}: {}\n", joined(addresses, " ")));
            text.extend(lines);
        }
    }
    text
}

fn port_list(ports: &[DnsPort]) -> String {
    let port = |port: &DnsPort| {
        let name = if port.name.is_empty() { "(unnamed)" } else { port.name.as_str() };
        format!("{name} {}/{}", port.port, port.protocol)
    };
    if ports.is_empty() { "no port".to_owned() } else { joined(ports.iter().map(port), ", ") }
}
