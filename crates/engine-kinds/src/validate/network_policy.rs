//! Rules for NetworkPolicies (upstream: `ValidateNetworkPolicySpec`).

use serde_json::{Value, json};

use super::pod::{port_reference, protocol};
use super::{Findings, meta};
use crate::object::{integer, list, text};

pub(crate) fn network_policy(object: &Value, _: Option<&Value>, findings: &mut Findings) {
    if let Some(selector) = object.pointer("/spec/podSelector") {
        meta::label_selector(selector, "spec.podSelector", findings);
    }
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in list(object, &format!("/spec/{rules}")).iter().enumerate() {
            let field = format!("spec.{rules}[{index}]");
            for (index, entry) in list(rule, "/ports").iter().enumerate() {
                port(entry, &format!("{field}.ports[{index}]"), findings);
            }
            for (index, entry) in list(rule, &format!("/{peers}")).iter().enumerate() {
                peer(entry, &format!("{field}.{peers}[{index}]"), findings);
            }
        }
    }
    let types = list(object, "/spec/policyTypes");
    if types.len() > 2 {
        return findings.invalid(
            "spec.policyTypes",
            &json!(types),
            "may not specify more than two policyTypes",
        );
    }
    for (index, name) in types.iter().enumerate() {
        let name = name.as_str().unwrap_or_default();
        if !["Egress", "Ingress"].contains(&name) {
            findings.not_supported(&format!("spec.policyTypes[{index}]"), name, &["Egress", "Ingress"]);
        }
    }
}

fn port(port: &Value, field: &str, findings: &mut Findings) {
    protocol(port, field, findings);
    let number = port.get("port");
    if let Some(number) = number {
        port_reference(number, &format!("{field}.port"), findings);
    }
    let Some(end) = integer(port, "/endPort") else { return };
    let field = format!("{field}.endPort");
    match number {
        Some(Value::String(_)) => {
            findings.invalid(&field, &end.into(), "may not be specified when `port` is non-numeric");
        }
        None => findings.invalid(&field, &end.into(), "may not be specified when `port` is not specified"),
        Some(begin) => {
            if end < begin.as_i64().unwrap_or(0) {
                findings.invalid(&field, &end.into(), "must be greater than or equal to `port`");
            }
            if end > 65535 {
                findings.invalid(&field, &end.into(), "must be between 1 and 65535, inclusive");
            }
        }
    }
}

fn peer(peer: &Value, field: &str, findings: &mut Findings) {
    let given = peer.as_object().map_or(0, serde_json::Map::len);
    if given == 0 {
        return findings.required(field, "must specify a peer");
    }
    for name in ["podSelector", "namespaceSelector"] {
        if let Some(selector) = peer.get(name) {
            meta::label_selector(selector, &format!("{field}.{name}"), findings);
        }
    }
    let Some(block) = peer.get("ipBlock") else { return };
    if given > 1 {
        findings.forbidden(field, "may not specify both ipBlock and another peer");
    }
    ip_block(block, &format!("{field}.ipBlock"), findings);
}

fn ip_block(block: &Value, field: &str, findings: &mut Findings) {
    const NO_CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let cidr = text(block, "/cidr");
    if cidr.is_empty() {
        return findings.required(&format!("{field}.cidr"), "");
    }
    let outer = cidr.parse::<types::Prefix>();
    if outer.is_err() {
        findings.invalid(&format!("{field}.cidr"), &json!(cidr), NO_CIDR);
    }
    for (index, except) in list(block, "/except").iter().enumerate() {
        let field = format!("{field}.except[{index}]");
        let text = except.as_str().unwrap_or_default();
        match (text.parse::<types::Prefix>(), &outer) {
            (Err(_), _) => findings.invalid(&field, except, NO_CIDR),
            (Ok(inner), Ok(outer)) if !(outer.covers(inner) && inner.len() > outer.len()) => {
                findings.invalid(&field, except, &format!("must be a strict subset of `cidr` {outer}"));
            }
            _ => {}
        }
    }
}
