//! Rules for Services (upstream: `ValidateService` and `ValidateServiceUpdate`).

mod addresses;

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::pod::{port_reference, protocol};
use super::{Findings, meta, names};
use crate::object::{integer, list, map, text};

pub use addresses::service_addresses;

pub(crate) fn service(object: &Value, old: Option<&Value>, findings: &mut Findings) {
    let kind = text(object, "/spec/type");
    let headless = text(object, "/spec/clusterIP") == "None";
    let types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !types.contains(&kind) {
        findings.not_supported("spec.type", kind, &types);
    }
    meta::labels(map(object, "/spec/selector"), "spec.selector", findings);
    if kind == "ExternalName" {
        external_name(object, findings);
    } else if !headless && list(object, "/spec/ports").is_empty() {
        findings.required("spec.ports", "");
    }
    if headless && matches!(kind, "NodePort" | "LoadBalancer") {
        let why = format!("may not be set to 'None' for {kind} services");
        findings.invalid("spec.clusterIPs[0]", &json!("None"), &why);
    }
    ports(object, kind, findings);
    service_addresses(object, findings);
    external_addresses(object, findings);
    affinity(object, findings);
    traffic(object, kind, findings);
    balancer(object, kind, findings);
    if let Some(old) = old {
        addresses::unchanged(object, old, findings);
        unchanged_class(object, old, findings);
        unchanged_health_port(object, old, findings);
    }
}

fn external_name(object: &Value, findings: &mut Findings) {
    let name = text(object, "/spec/externalName");
    if name.is_empty() {
        return findings.required("spec.externalName", "");
    }
    let trimmed = name.strip_suffix('.').unwrap_or(name);
    names::subdomain(trimmed).iter().for_each(|why| findings.invalid("spec.externalName", &json!(name), why));
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if object.pointer(&format!("/spec/{field}")).is_some() {
            findings.forbidden(&format!("spec.{field}"), "may not be set for ExternalName services");
        }
    }
}

fn ports(object: &Value, kind: &str, findings: &mut Findings) {
    let ports = list(object, "/spec/ports");
    let (mut seen_names, mut seen, mut node_ports) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (index, port) in ports.iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        let name = text(port, "/name");
        if name.is_empty() && ports.len() > 1 {
            findings.required(&format!("{field}.name"), "");
        } else if !name.is_empty() {
            names::label(name)
                .iter()
                .for_each(|why| findings.invalid(&format!("{field}.name"), &json!(name), why));
            if !seen_names.insert(name.to_owned()) {
                findings.duplicate(&format!("{field}.name"), &json!(name));
            }
        }
        let number = integer(port, "/port").unwrap_or(0);
        if let Some(why) = names::port_number(number) {
            findings.invalid(&format!("{field}.port"), &number.into(), why);
        }
        protocol(port, &field, findings);
        if let Some(target) = port.get("targetPort") {
            port_reference(target, &format!("{field}.targetPort"), findings);
        }
        let protocol = text(port, "/protocol").to_owned();
        if !seen.insert((number, protocol.clone())) {
            findings.duplicate(&field, &json!({"port": number, "protocol": protocol}));
        }
        let node_port = integer(port, "/nodePort").unwrap_or(0);
        if node_port == 0 {
            continue;
        }
        if kind == "ClusterIP" || kind == "ExternalName" {
            findings.forbidden(&format!("{field}.nodePort"), "may not be used when `type` is 'ClusterIP'");
        } else if !node_ports.insert((node_port, protocol)) {
            findings.duplicate(&format!("{field}.nodePort"), &node_port.into());
        }
    }
}

fn external_addresses(object: &Value, findings: &mut Findings) {
    for (index, address) in list(object, "/spec/externalIPs").iter().enumerate() {
        let (address, field) = (address.as_str().unwrap_or_default(), format!("spec.externalIPs[{index}]"));
        match address.parse() {
            Ok(address) => super::endpoints::special(address, &field, findings),
            Err(_) => ip(address, &field, findings),
        }
    }
}

/// An IP address.
pub(super) fn ip(address: &str, field: &str, findings: &mut Findings) {
    if address.parse::<IpAddr>().is_err() {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        findings.invalid(field, &json!(address), why);
    }
}

fn affinity(object: &Value, findings: &mut Findings) {
    match text(object, "/spec/sessionAffinity") {
        "None" => {}
        "ClientIP" => {
            let seconds = integer(object, "/spec/sessionAffinityConfig/clientIP/timeoutSeconds").unwrap_or(0);
            if !(1..=86400).contains(&seconds) {
                let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
                findings.invalid(field, &seconds.into(), "must be greater than 0 and less than 86400");
            }
        }
        other => findings.not_supported("spec.sessionAffinity", other, &["ClientIP", "None"]),
    }
}

fn traffic(object: &Value, kind: &str, findings: &mut Findings) {
    let policies = ["Cluster", "Local"];
    let external = text(object, "/spec/externalTrafficPolicy");
    let reachable = matches!(kind, "NodePort" | "LoadBalancer")
        || (kind == "ClusterIP" && !list(object, "/spec/externalIPs").is_empty());
    if !external.is_empty() && !reachable {
        let why = "may only be set for externally-accessible services";
        findings.invalid("spec.externalTrafficPolicy", &json!(external), why);
    } else if reachable && !policies.contains(&external) {
        findings.not_supported("spec.externalTrafficPolicy", external, &policies);
    }
    let internal = text(object, "/spec/internalTrafficPolicy");
    if !internal.is_empty() && !policies.contains(&internal) {
        findings.not_supported("spec.internalTrafficPolicy", internal, &policies);
    }
    let distribution = text(object, "/spec/trafficDistribution");
    // Upstream `core.ServiceTrafficDistribution*`: two of the three are gated, all are accepted here.
    let known = ["PreferClose", "PreferSameNode", "PreferSameZone"];
    if !distribution.is_empty() && !known.contains(&distribution) {
        findings.not_supported("spec.trafficDistribution", distribution, &known);
    }
    let health = integer(object, "/spec/healthCheckNodePort").unwrap_or(0);
    if health != 0 && !(kind == "LoadBalancer" && external == "Local") {
        let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        findings.invalid("spec.healthCheckNodePort", &health.into(), why);
    }
}

fn balancer(object: &Value, kind: &str, findings: &mut Findings) {
    let is_balancer = kind == "LoadBalancer";
    for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
        if !is_balancer && object.pointer(&format!("/spec/{field}")).is_some() {
            findings.forbidden(&format!("spec.{field}"), "may only be used when `type` is 'LoadBalancer'");
        }
    }
    let ranges = list(object, "/spec/loadBalancerSourceRanges");
    if !is_balancer && !ranges.is_empty() {
        let why = "may only be used when `type` is 'LoadBalancer'";
        findings.forbidden("spec.LoadBalancerSourceRanges", why);
    }
    for (index, range) in ranges.iter().enumerate() {
        let range = range.as_str().unwrap_or_default().trim();
        if range.parse::<types::Prefix>().is_err() {
            let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            findings.invalid(&format!("spec.LoadBalancerSourceRanges[{index}]"), &json!(range), why);
        }
    }
}

fn unchanged_class(object: &Value, old: &Value, findings: &mut Findings) {
    let was = old.pointer("/spec/loadBalancerClass");
    let both = [old, object].iter().all(|service| text(service, "/spec/type") == "LoadBalancer");
    if both && was != object.pointer("/spec/loadBalancerClass") {
        let value = object.pointer("/spec/loadBalancerClass").unwrap_or(&Value::Null);
        findings.invalid("spec.loadBalancerClass", value, "may not change once set");
    }
}

/// A balancer knows the port (upstream: `validateServiceExternalTrafficFieldsUpdate`).
fn unchanged_health_port(object: &Value, old: &Value, findings: &mut Findings) {
    const FIELD: &str = "spec.healthCheckNodePort";
    let needs_one = |service: &&Value| {
        text(service, "/spec/type") == "LoadBalancer"
            && text(service, "/spec/externalTrafficPolicy") == "Local"
    };
    let port = |service: &Value| integer(service, "/spec/healthCheckNodePort").unwrap_or(0);
    if [old, object].iter().all(needs_one) && port(old) != 0 && port(object) != port(old) {
        findings.forbidden(FIELD, "field is immutable");
    }
}

/// Rules for the status of a Service.
pub(super) fn status(object: &Value, findings: &mut Findings) {
    const FIELD: &str = "status.loadBalancer.ingress";
    let entries = list(object, "/status/loadBalancer/ingress");
    if !entries.is_empty() && text(object, "/spec/type") != "LoadBalancer" {
        findings.forbidden(FIELD, "may only be used when `spec.type` is \"LoadBalancer\"");
    }
    for (index, entry) in entries.iter().enumerate() {
        let address = text(entry, "/ip");
        if !address.is_empty() {
            ip(address, &format!("{FIELD}[{index}].ip"), findings);
        }
        let mode = text(entry, "/ipMode");
        if !mode.is_empty() && address.is_empty() {
            findings
                .forbidden(&format!("{FIELD}[{index}].ipMode"), "may not be specified when `ip` is not set");
        } else if !mode.is_empty() && !["Proxy", "VIP"].contains(&mode) {
            findings.not_supported(&format!("{FIELD}[{index}].ipMode"), mode, &["Proxy", "VIP"]);
        }
    }
}
