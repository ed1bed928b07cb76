//! Cells of networking tables (upstream: `printService`, `printIngress`, `printEndpointSlice`, ...).

use serde_json::Value;

use crate::object::{integer, list, map, text};

/// Endpoints shown before the rest is only counted.
const MAX_ENDPOINTS: usize = 3;

pub(super) fn external_ip(service: &Value) -> String {
    let external: Vec<&str> = list(service, "/spec/externalIPs").iter().filter_map(Value::as_str).collect();
    let none_or = |texts: Vec<&str>| if texts.is_empty() { "<none>".to_owned() } else { texts.join(",") };
    match text(service, "/spec/type") {
        "LoadBalancer" => {
            let balancer = balancer_addresses(service);
            let mut all: Vec<&str> = if balancer.is_empty() { Vec::new() } else { vec![&balancer] };
            all.extend(external);
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => text(service, "/spec/externalName").to_owned(),
        _ => none_or(external),
    }
}

/// Addresses in `status.loadBalancer`.
pub(super) fn balancer_addresses(object: &Value) -> String {
    let addresses =
        list(object, "/status/loadBalancer/ingress").iter().map(|entry| match text(entry, "/ip") {
            "" => text(entry, "/hostname"),
            ip => ip,
        });
    addresses.filter(|address| !address.is_empty()).collect::<Vec<_>>().join(",")
}

pub(super) fn service_ports(service: &Value) -> String {
    let ports: Vec<String> = list(service, "/spec/ports")
        .iter()
        .map(|port| {
            let (number, protocol) = (integer(port, "/port").unwrap_or(0), text(port, "/protocol"));
            match integer(port, "/nodePort") {
                Some(node_port) if node_port > 0 => format!("{number}:{node_port}/{protocol}"),
                _ => format!("{number}/{protocol}"),
            }
        })
        .collect();
    if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") }
}

/// A selector that is a plain map.
pub(super) fn plain_selector(selector: Option<&Value>) -> String {
    let terms: Vec<String> = selector
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if terms.is_empty() { "<none>".to_owned() } else { terms.join(",") }
}

pub(super) fn endpoints(object: &Value) -> String {
    let mut all = Vec::new();
    for subset in list(object, "/subsets") {
        let ports = list(subset, "/ports");
        for address in list(subset, "/addresses") {
            let ip = text(address, "/ip");
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            all.extend(ports.iter().map(|port| join_port(ip, integer(port, "/port").unwrap_or(0))));
        }
    }
    shortened(&all, " + ", " more...")
}

fn join_port(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

fn shortened(all: &[String], before: &str, after: &str) -> String {
    if all.is_empty() {
        return "<none>".to_owned();
    }
    let shown = all[..all.len().min(MAX_ENDPOINTS)].join(",");
    if all.len() > MAX_ENDPOINTS {
        format!("{shown}{before}{}{after}", all.len() - MAX_ENDPOINTS)
    } else {
        shown
    }
}

pub(super) fn slice_endpoints(slice: &Value) -> String {
    let all: Vec<String> = list(slice, "/endpoints")
        .iter()
        .flat_map(|endpoint| list(endpoint, "/addresses"))
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect();
    if all.is_empty() { "<unset>".to_owned() } else { shortened(&all, " + ", " more...") }
}

pub(super) fn slice_ports(slice: &Value) -> String {
    let ports: Vec<String> = list(slice, "/ports")
        .iter()
        .map(|port| integer(port, "/port").map_or_else(|| "*".to_owned(), |port| port.to_string()))
        .collect();
    if ports.is_empty() { "<unset>".to_owned() } else { shortened(&ports, " + ", " more...") }
}

pub(super) fn ingress_hosts(ingress: &Value) -> String {
    let mut hosts: Vec<&str> = Vec::new();
    for rule in list(ingress, "/spec/rules") {
        let host = text(rule, "/host");
        if !host.is_empty() && !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    if hosts.is_empty() {
        return "*".to_owned();
    }
    let shown = hosts[..hosts.len().min(MAX_ENDPOINTS)].join(",");
    if hosts.len() > MAX_ENDPOINTS {
        format!("{shown} + {} more...", hosts.len() - MAX_ENDPOINTS)
    } else {
        shown
    }
}

pub(super) fn class_parameters(class: &Value) -> String {
    if map(class, "/spec/parameters").is_none() {
        return "<none>".to_owned();
    }
    let (group, kind) = (text(class, "/spec/parameters/apiGroup"), text(class, "/spec/parameters/kind"));
    let kind = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
    format!("{kind}/{}", text(class, "/spec/parameters/name"))
}

/// The ranges of a ServiceCIDR.
pub(super) fn ranges(object: &Value) -> String {
    let ranges: Vec<&str> = list(object, "/spec/cidrs").iter().filter_map(Value::as_str).collect();
    ranges.join(",")
}

/// What an address was given to, as upstream's `printIPAddress` writes it.
pub(super) fn parent(object: &Value) -> String {
    if map(object, "/spec/parentRef").is_none() {
        return "<none>".to_owned();
    }
    let part = |field: &str| text(object, &format!("/spec/parentRef/{field}"));
    let resource = match part("group") {
        "" => part("resource").to_lowercase(),
        group => format!("{}.{group}", part("resource")).to_lowercase(),
    };
    match part("namespace") {
        "" => format!("{resource}/{}", part("name")),
        namespace => format!("{resource}/{namespace}/{}", part("name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn service_cells() {
        let service = json!({"spec": {"type": "LoadBalancer", "ports": [
            {"port": 80, "protocol": "TCP", "nodePort": 30443}, {"port": 53, "protocol": "UDP"}]}});
        assert_eq!(external_ip(&service), "<pending>");
        assert_eq!(service_ports(&service), "80:30443/TCP,53/UDP");
    }

    #[test]
    fn many_endpoints_are_counted() {
        let slice = json!({"endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]},
            {"addresses": ["10.0.0.3"]}, {"addresses": ["10.0.0.4"]}], "ports": [{"port": 80}]});
        assert_eq!(slice_endpoints(&slice), "10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...");
        assert_eq!(slice_ports(&slice), "80");
    }
}
