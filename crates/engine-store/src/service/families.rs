//! Address families of Services: what is meant by the fields that are set, and what the others become.

use serde_json::{Value, json};
use types::IpFamily;

use engine_kinds::Findings;
use engine_kinds::object::{list, map_mut, text};

/// Keeps `clusterIP` and `clusterIPs` in step, whichever of them the client knows (upstream: `normalizeClusterIPs`).
pub(super) fn normalize(service: &mut Value, old: Option<&Value>) {
    let first = text(service, "/spec/clusterIP").to_owned();
    let addresses = list(service, "/spec/clusterIPs");
    let held = old.map_or(&[][..], |old| list(old, "/spec/clusterIPs"));
    let held_first = old.map_or("", |old| text(old, "/spec/clusterIP"));
    let wanted = match old {
        None if !first.is_empty() && addresses.is_empty() => json!([first]),
        Some(_) if held_first == first && addresses.is_empty() && !held.is_empty() => json!(held),
        Some(_) if held_first != first && addresses == held => match first.is_empty() {
            true => Value::Null,
            false => json!([first]),
        },
        _ => return,
    };
    put(service, "clusterIPs", wanted);
}

fn put(service: &mut Value, field: &str, value: Value) {
    let spec = map_mut(service, "spec");
    if value.is_null() || value == json!([]) {
        spec.remove(field);
    } else {
        spec.insert(field.to_owned(), value);
    }
}

/// Completes `ipFamilyPolicy` and `ipFamilies` for a cluster of these families, the primary one first, and takes from
/// `clusterIPs` what the policy gives up; or says what cannot be (upstream: `initIPFamilyFields`).
pub(super) fn settle(configured: &[IpFamily], service: &mut Value, old: Option<&Value>) -> Findings {
    let mut findings = Findings::default();
    if text(service, "/spec/type") == "ExternalName" || old.is_some_and(|old| stays_preferred(service, old)) {
        return findings;
    }
    if service.pointer("/spec/ipFamilyPolicy").is_none_or(Value::is_null) {
        let policy = usual_policy(service, old);
        put(service, "ipFamilyPolicy", policy);
    }
    engine_kinds::service_addresses(service, &mut findings);
    if !findings.is_empty() {
        return findings;
    }
    let mut wish = Wish::of(service);
    if let Some(old) = old {
        wish.give_up(old, &mut findings);
    }
    wish.check_policy(&mut findings);
    wish.infer_families(configured, &mut findings);
    if !findings.is_empty() {
        return findings;
    }
    if !(wish.is_headless() && wish.selects_nothing) {
        wish.check_cluster(configured, &mut findings);
        if !findings.is_empty() {
            return findings;
        }
        wish.complete(configured, configured.len() == 2);
    } else {
        // Its endpoints are the client's own: they may be of families that the cluster has not.
        wish.complete(configured, true);
    }
    put(service, "clusterIPs", json!(wish.addresses));
    put(service, "ipFamilies", json!(wish.families));
    findings
}

/// A Service that prefers two families and was not changed keeps what it has: it is not upgraded because the cluster
/// was (upstream: `isMatchingPreferDualStackClusterIPFields`).
fn stays_preferred(service: &Value, old: &Value) -> bool {
    let prefers = |service: &Value| text(service, "/spec/ipFamilyPolicy") == "PreferDualStack";
    let same = |pointer| service.pointer(pointer) == old.pointer(pointer);
    prefers(service)
        && prefers(old)
        && ["/spec/type", "/spec/clusterIPs", "/spec/ipFamilies"].into_iter().all(same)
}

fn usual_policy(service: &Value, old: Option<&Value>) -> Value {
    let before = old.map_or("", |old| text(old, "/spec/ipFamilyPolicy"));
    let is_headless = text(service, "/spec/clusterIP") == "None";
    match before {
        "" if is_headless && selects_nothing(service) => "RequireDualStack".into(),
        "" => "SingleStack".into(),
        before => before.into(),
    }
}

fn selects_nothing(service: &Value) -> bool {
    service.pointer("/spec/selector").and_then(Value::as_object).is_none_or(serde_json::Map::is_empty)
}

/// The fields, as they are being settled.
struct Wish {
    policy: String,
    families: Vec<String>,
    addresses: Vec<String>,
    selects_nothing: bool,
}

impl Wish {
    fn of(service: &Value) -> Self {
        Self {
            policy: text(service, "/spec/ipFamilyPolicy").to_owned(),
            families: texts(service, "/spec/ipFamilies"),
            addresses: texts(service, "/spec/clusterIPs"),
            selects_nothing: selects_nothing(service),
        }
    }

    fn is_headless(&self) -> bool {
        self.addresses.first().is_some_and(|address| address == "None")
    }

    fn is_single(&self) -> bool {
        self.policy == "SingleStack"
    }

    fn policy_is_wrong(&self, why: &str, findings: &mut Findings) {
        findings.invalid("spec.ipFamilyPolicy", &json!(self.policy), why);
    }

    /// `SingleStack` lets the second address and family go, and nothing else may.
    fn give_up(&mut self, old: &Value, findings: &mut Findings) {
        let (addresses, families) = (texts(old, "/spec/clusterIPs"), texts(old, "/spec/ipFamilies"));
        if self.is_single() {
            if self.addresses == addresses {
                self.addresses.truncate(1);
            }
            if self.families == families {
                self.families.truncate(1);
            }
            return;
        }
        let reduced = |is: &[String], was: &[String]| !is.is_empty() && is.len() < was.len();
        if reduced(&self.addresses, &addresses) {
            self.policy_is_wrong("must be 'SingleStack' to release the secondary cluster IP", findings);
        }
        if reduced(&self.families, &families) {
            self.policy_is_wrong("must be 'SingleStack' to release the secondary IP family", findings);
        }
    }

    fn check_policy(&self, findings: &mut Findings) {
        for (count, what) in [(self.addresses.len(), "cluster IPs"), (self.families.len(), "IP families")] {
            if self.is_single() && count == 2 {
                let why = format!(
                    "must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                );
                self.policy_is_wrong(&why, findings);
            }
        }
    }

    /// Addresses that are asked for name their families.
    fn infer_families(&mut self, configured: &[IpFamily], findings: &mut Findings) {
        if self.is_headless() {
            return;
        }
        for (index, address) in self.addresses.iter().enumerate().skip(self.families.len()) {
            // Validation has seen that these are addresses.
            let Ok(address) = address.parse() else { continue };
            let family = IpFamily::of(address);
            if configured.contains(&family) {
                self.families.push(family.to_string());
            } else {
                let why = format!("{family} is not configured on this cluster");
                findings.invalid(&format!("spec.clusterIPs[{index}]"), &json!(self.addresses), &why);
            }
        }
    }

    fn check_cluster(&self, configured: &[IpFamily], findings: &mut Findings) {
        if self.policy == "RequireDualStack" && configured.len() < 2 {
            self.policy_is_wrong("this cluster is not configured for dual-stack services", findings);
        }
        let is_configured =
            |family: &str| configured.iter().any(|configured| configured.to_string() == family);
        for (index, family) in self.families.iter().enumerate() {
            if !is_configured(family) {
                let field = format!("spec.ipFamilies[{index}]");
                findings.invalid(&field, &json!(family), "not configured on this cluster");
            }
        }
    }

    /// The primary family where none was asked for, and the other one where the policy wants it and it may be had.
    fn complete(&mut self, configured: &[IpFamily], may_have_both: bool) {
        if self.families.is_empty() {
            self.families.extend(configured.first().map(ToString::to_string));
        }
        if self.families.len() == 1 && !self.is_single() && may_have_both {
            let other = if self.families[0] == "IPv4" { IpFamily::V6 } else { IpFamily::V4 };
            self.families.push(other.to_string());
        }
    }
}

fn texts(service: &Value, pointer: &str) -> Vec<String> {
    list(service, pointer).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
