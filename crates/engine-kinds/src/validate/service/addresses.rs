//! Rules for the cluster addresses and address families of Services.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::ip;
use crate::Findings;
use crate::object::{list, text};

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];

/// Whether the fields about cluster addresses fit each other (upstream: `ValidateServiceClusterIPsRelatedFields`).
pub fn service_addresses(service: &Value, findings: &mut Findings) {
    const FIELD: &str = "spec.clusterIPs";
    if text(service, "/spec/type") == "ExternalName" {
        return;
    }
    let first = text(service, "/spec/clusterIP");
    let addresses = list(service, "/spec/clusterIPs");
    match (first.is_empty(), addresses.first()) {
        (false, None) => findings.required(FIELD, ""),
        (false, Some(listed)) if listed != first => {
            findings.invalid(FIELD, &json!(addresses), "first value must match `clusterIP`");
        }
        (true, Some(_)) => {
            findings.invalid(FIELD, &json!(addresses), "must be empty when `clusterIP` is not specified");
        }
        _ => {}
    }
    families(service, findings);
    let mut probe = Findings::default();
    for (index, address) in addresses.iter().enumerate() {
        let address = address.as_str().unwrap_or_default();
        if index > 0 || address != "None" {
            ip(address, &format!("{FIELD}[{index}]"), &mut probe);
        } else if addresses.len() > 1 {
            probe.invalid(FIELD, &json!(addresses), "'None' must be the first and only value");
        }
    }
    let are_addresses = probe.is_empty();
    findings.append(probe);
    if addresses.len() > 2 {
        findings.invalid(FIELD, &json!(addresses), "may only hold up to 2 values");
    }
    if are_addresses {
        of_families(service, addresses, findings);
    }
}

/// What each field about families may hold by itself.
fn families(service: &Value, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (index, family) in list(service, "/spec/ipFamilies").iter().enumerate() {
        let field = format!("spec.ipFamilies[{index}]");
        let family = family.as_str().unwrap_or_default();
        if !FAMILIES.contains(&family) {
            findings.not_supported(&field, family, &FAMILIES);
        }
        if !seen.insert(family) {
            findings.duplicate(&field, &json!(family));
        }
    }
    let policy = service.pointer("/spec/ipFamilyPolicy").and_then(Value::as_str);
    if let Some(policy) = policy.filter(|policy| !POLICIES.contains(policy)) {
        findings.not_supported("spec.ipFamilyPolicy", policy, &POLICIES);
    }
}

/// Addresses are of different families, and of those that are named in their places.
fn of_families(service: &Value, addresses: &[Value], findings: &mut Findings) {
    let family =
        |address: &Value| address.as_str().and_then(|text| text.parse::<IpAddr>().ok()).map(family_of);
    if addresses.len() > 1 {
        let distinct: BTreeSet<_> = addresses.iter().map(family).collect();
        if distinct.len() != addresses.len() {
            let why = "may specify no more than one IP for each IP family";
            findings.invalid("spec.clusterIPs", &json!(addresses), why);
        }
    }
    let wanted = list(service, "/spec/ipFamilies").iter().filter_map(Value::as_str);
    for (index, (address, wanted)) in addresses.iter().zip(wanted).enumerate() {
        if family(address).is_some_and(|family| family != wanted) && FAMILIES.contains(&wanted) {
            let why = format!("expected an {wanted} value as indicated by `ipFamilies[{index}]`");
            findings.invalid(&format!("spec.clusterIPs[{index}]"), address, &why);
        }
    }
}

fn family_of(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// The first address and family stay, and the second go only with a policy that says so (upstream:
/// `validateUpgradeDowngradeClusterIPs` and `validateUpgradeDowngradeIPFamilies`).
pub(super) fn unchanged(service: &Value, old: &Value, findings: &mut Findings) {
    let is_alias = |service: &Value| text(service, "/spec/type") == "ExternalName";
    if is_alias(service) || is_alias(old) {
        return;
    }
    let is_headless = |service: &Value| list(service, "/spec/clusterIPs") == [json!("None")];
    if is_headless(service) && is_headless(old) {
        return;
    }
    let addresses = Field {
        name: "clusterIPs",
        unset: "primary clusterIP can not be unset",
        released: "must be set to 'SingleStack' when releasing the secondary clusterIP",
    };
    addresses.check(service, old, findings);
    if !is_headless(service) && !is_headless(old) {
        let families = Field {
            name: "ipFamilies",
            unset: "primary ipFamily can not be unset",
            released: "must be set to 'SingleStack' when releasing the secondary ipFamily",
        };
        families.check(service, old, findings);
    }
}

/// One of the two lists whose first entry stays.
struct Field {
    name: &'static str,
    unset: &'static str,
    released: &'static str,
}

impl Field {
    fn check(&self, service: &Value, old: &Value, findings: &mut Findings) {
        let pointer = format!("/spec/{}", self.name);
        let (was, is) = (list(old, &pointer), list(service, &pointer));
        let at = |index| format!("spec.{}[{index}]", self.name);
        let both = was.iter().zip(is).enumerate();
        for (index, _) in both.filter(|(_, (was, is))| was != is) {
            // Upstream names the first family, whichever changed.
            let index = if self.name == "ipFamilies" { 0 } else { index };
            findings.invalid(&at(index), &json!(is), "may not change once set");
        }
        if is.len() >= was.len() {
            return;
        }
        if is.is_empty() {
            findings.invalid(&at(0), &json!(is), self.unset);
        } else if text(service, "/spec/ipFamilyPolicy") != "SingleStack" {
            let policy = service.pointer("/spec/ipFamilyPolicy").unwrap_or(&Value::Null);
            findings.invalid("spec.ipFamilyPolicy", policy, self.released);
        }
    }
}
