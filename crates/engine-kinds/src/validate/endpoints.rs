//! Rules for EndpointSlices and Endpoints (upstream: `pkg/apis/discovery/validation`, `ValidateEndpoints`).

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::pod::protocol;
use super::{Findings, names};
use crate::object::{integer, list, text};

const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 20_000;

pub(crate) fn endpoint_slice(object: &Value, old: Option<&Value>, findings: &mut Findings) {
    let kind = text(object, "/addressType");
    match kind {
        "" => findings.required("addressType", ""),
        "IPv4" | "IPv6" | "FQDN" => {}
        other => findings.not_supported("addressType", other, &["FQDN", "IPv4", "IPv6"]),
    }
    if let Some(old) = old {
        findings.immutable("addressType", old.get("addressType"), object.get("addressType"));
    }
    let endpoints = list(object, "/endpoints");
    if endpoints.len() > MAX_ENDPOINTS {
        findings.too_many("endpoints", endpoints.len(), MAX_ENDPOINTS);
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        let field = format!("endpoints[{index}].addresses");
        let addresses = list(endpoint, "/addresses");
        if addresses.is_empty() {
            findings.required(&field, "must contain at least 1 address");
        } else if addresses.len() > MAX_ADDRESSES {
            findings.too_many(&field, addresses.len(), MAX_ADDRESSES);
        }
        for (number, entry) in addresses.iter().enumerate() {
            address(entry.as_str().unwrap_or_default(), kind, &format!("{field}[{number}]"), findings);
        }
    }
    ports(object, findings);
}

fn address(address: &str, kind: &str, field: &str, findings: &mut Findings) {
    if kind == "FQDN" {
        return names::subdomain(address)
            .iter()
            .for_each(|why| findings.invalid(field, &json!(address), why));
    }
    let Ok(ip) = address.parse::<IpAddr>() else {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        return findings.invalid(field, &json!(address), why);
    };
    match (kind, ip) {
        ("IPv4", IpAddr::V6(_)) => findings.invalid(field, &json!(address), "must be an IPv4 address"),
        ("IPv6", IpAddr::V4(_)) => findings.invalid(field, &json!(address), "must be an IPv6 address"),
        _ => special(ip, field, findings),
    }
}

/// Addresses that must be neither endpoints nor external addresses (upstream: `ValidateEndpointIP`).
pub(super) fn special(ip: IpAddr, field: &str, findings: &mut Findings) {
    let value = json!(ip.to_string());
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let local_multicast = match ip {
        IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    };
    if ip.is_unspecified() {
        findings.invalid(field, &value, &format!("may not be unspecified ({ip})"));
    } else if ip.is_loopback() {
        findings.invalid(field, &value, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    } else if link_local {
        findings.invalid(field, &value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    } else if local_multicast {
        findings.invalid(
            field,
            &value,
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)",
        );
    }
}

fn ports(object: &Value, findings: &mut Findings) {
    let ports = list(object, "/ports");
    if ports.len() > MAX_PORTS {
        findings.too_many("ports", ports.len(), MAX_PORTS);
    }
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let field = format!("ports[{index}]");
        let name = text(port, "/name");
        if !name.is_empty() {
            names::label(name)
                .iter()
                .for_each(|why| findings.invalid(&format!("{field}.name"), &json!(name), why));
        }
        if !seen.insert(name.to_owned()) {
            findings.duplicate(&format!("{field}.name"), &json!(name));
        }
        protocol(port, &field, findings);
    }
}

pub(crate) fn endpoints(object: &Value, _: Option<&Value>, findings: &mut Findings) {
    for (index, subset) in list(object, "/subsets").iter().enumerate() {
        let field = format!("subsets[{index}]");
        let (ready, not_ready) = (list(subset, "/addresses"), list(subset, "/notReadyAddresses"));
        if ready.is_empty() && not_ready.is_empty() {
            findings.required(&field, "must specify `addresses` or `notReadyAddresses`");
        }
        for (list_name, addresses) in [("addresses", ready), ("notReadyAddresses", not_ready)] {
            for (number, entry) in addresses.iter().enumerate() {
                let field = format!("{field}.{list_name}[{number}].ip");
                match text(entry, "/ip").parse::<IpAddr>() {
                    Ok(ip) => special(ip, &field, findings),
                    Err(_) => super::service::ip(text(entry, "/ip"), &field, findings),
                }
            }
        }
        let ports = list(subset, "/ports");
        for (number, port) in ports.iter().enumerate() {
            let field = format!("{field}.ports[{number}]");
            if text(port, "/name").is_empty() && ports.len() > 1 {
                findings.required(&format!("{field}.name"), "");
            }
            let value = integer(port, "/port").unwrap_or(0);
            if let Some(why) = names::port_number(value) {
                findings.invalid(&format!("{field}.port"), &value.into(), why);
            }
            protocol(port, &field, findings);
        }
    }
}
