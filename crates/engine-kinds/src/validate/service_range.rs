//! Rules for ServiceCIDRs and IPAddresses (upstream: `ValidateServiceCIDR`, `ValidateIPAddress` and their updates).

use serde_json::{Value, json};
use types::{IpFamily, Prefix};

use super::{Findings, names};
use crate::object::{list, map, text};

const CIDRS: &str = "spec.cidrs";
const PARENT: &str = "spec.parentRef";

pub(crate) fn service_cidr(object: &Value, old: Option<&Value>, findings: &mut Findings) {
    let ranges = list(object, "/spec/cidrs");
    let Some(old) = old else { return check_ranges(ranges, findings) };
    let before = list(old, "/spec/cidrs");
    match (before.len(), ranges.len()) {
        // A second family may be added.
        (1, 2) => {
            findings.immutable(&format!("{CIDRS}[0]"), before.first(), ranges.first());
            check_ranges(ranges, findings);
        }
        (was, is) if was == is => {
            for (index, (was, is)) in before.iter().zip(ranges).enumerate() {
                findings.immutable(&format!("{CIDRS}[{index}]"), Some(was), Some(is));
            }
        }
        _ => findings.invalid(CIDRS, &json!(ranges), "field is immutable"),
    }
}

fn check_ranges(ranges: &[Value], findings: &mut Findings) {
    if ranges.is_empty() {
        return findings.required(CIDRS, "at least one CIDR required");
    }
    if ranges.len() > 2 {
        return findings.invalid(CIDRS, &json!({"CIDRs": ranges}), "may only hold up to 2 values");
    }
    let mut families = Vec::new();
    for (index, range) in ranges.iter().enumerate() {
        let range = range.as_str().unwrap_or_default();
        if let Some(why) = names::range(range) {
            findings.invalid(&format!("{CIDRS}[{index}]"), &json!(range), &why);
        }
        families.extend(range.parse::<Prefix>().map(Prefix::family));
    }
    if matches!(families.as_slice(), [IpFamily::V4, IpFamily::V4] | [IpFamily::V6, IpFamily::V6]) {
        let why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        findings.invalid(CIDRS, &json!(ranges), why);
    }
}

pub(crate) fn ip_address(object: &Value, old: Option<&Value>, findings: &mut Findings) {
    if map(object, "/spec/parentRef").is_none() {
        findings.required(PARENT, "");
    } else {
        check_parent(object, findings);
    }
    if let Some(old) = old {
        findings.immutable(PARENT, old.pointer("/spec/parentRef"), object.pointer("/spec/parentRef"));
    }
}

/// The core group's name is empty, so a group need not be named, nor a namespace.
fn check_parent(object: &Value, findings: &mut Findings) {
    for (field, is_required) in [("group", false), ("resource", true), ("name", true), ("namespace", false)] {
        let value = text(object, &format!("/spec/parentRef/{field}"));
        let wrong = match (value, field) {
            ("", _) if is_required => {
                findings.required(&format!("{PARENT}.{field}"), "");
                continue;
            }
            ("", _) => continue,
            (_, "group") => names::subdomain(value),
            _ => names::path_segment(value),
        };
        for why in wrong {
            findings.invalid(&format!("{PARENT}.{field}"), &json!(value), &why);
        }
    }
}
