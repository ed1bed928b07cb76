//! Certificates from the Secrets that Ingresses name.

use std::collections::BTreeSet;

use model::{Ingress, IngressTls, Snapshot};
use plan::{Certificate, HostMatch};
use types::{NamespacedName, ObjectRef};

use super::routes::host_match;
use crate::findings::{Findings, error, warning};

/// Whether the Ingress has TLS for this host of its rules, with whatever certificate.
pub(super) fn covers(ingress: &Ingress, host: Option<&str>) -> bool {
    ingress.tls.iter().any(|tls| match host {
        Some(host) => tls.hosts.is_empty() || tls.hosts.iter().any(|covered| covered == host),
        None => tls.hosts.is_empty(),
    })
}

/// Certificates by host; an older Ingress keeps a host that a younger one also names.
pub(super) fn certificates(
    snapshot: &Snapshot,
    served: &[&Ingress],
    findings: &mut Findings,
) -> Vec<Certificate> {
    let mut claimed: BTreeSet<HostMatch> = BTreeSet::new();
    let mut certificates = Vec::new();
    for ingress in served {
        for (index, tls) in ingress.tls.iter().enumerate() {
            let Some(secret) = &tls.secret else { continue };
            let secret = NamespacedName::new(ingress.name.namespace.as_str(), secret.as_str());
            let object = ObjectRef::namespaced("Ingress", &ingress.name);
            let field = |leaf: &str| format!("spec.tls[{index}].{leaf}");
            let Some(found) = snapshot.secrets.get(&secret) else {
                let (reason, message) = why_no_certificate(snapshot, &secret);
                findings.insert(error(object, field("secretName"), reason, message));
                continue;
            };
            let (hosts, taken): (Vec<_>, Vec<_>) =
                hosts_of(ingress, tls).into_iter().partition(|host| claimed.insert(host.clone()));
            if !taken.is_empty() && !serves_same(&certificates, &taken, &secret) {
                let message = "an older Ingress already has a certificate for a host of this entry";
                findings.insert(warning(object, field("hosts"), "CertificateConflict", message));
            }
            if !hosts.is_empty() {
                certificates.push(Certificate {
                    hosts,
                    secret: ObjectRef::namespaced("Secret", &secret),
                    certificate_pem: found.certificate_pem.clone(),
                    key_pem: found.key_pem.clone(),
                });
            }
        }
    }
    certificates
}

/// The hosts of a `tls` entry; without any, those of the rules.
fn hosts_of(ingress: &Ingress, tls: &IngressTls) -> BTreeSet<HostMatch> {
    if tls.hosts.is_empty() {
        return ingress.rules.iter().map(|rule| host_match(rule.host.as_deref())).collect();
    }
    tls.hosts.iter().map(|host| host_match(Some(host))).collect()
}

fn serves_same(certificates: &[Certificate], taken: &[HostMatch], secret: &NamespacedName) -> bool {
    let secret = ObjectRef::namespaced("Secret", secret);
    let same = certificates.iter().filter(|certificate| certificate.secret == secret);
    let hosts: BTreeSet<&HostMatch> = same.flat_map(|certificate| &certificate.hosts).collect();
    taken.iter().all(|host| hosts.contains(host))
}

fn why_no_certificate(snapshot: &Snapshot, secret: &NamespacedName) -> (&'static str, String) {
    let consequence = "HTTPS clients get a self-made certificate";
    match snapshot.rejected.get(&ObjectRef::namespaced("Secret", secret)) {
        Some(rejected) => {
            let field = &rejected.field;
            ("SecretInvalid", format!("Secret {secret} {field}: {}; {consequence}", rejected.message))
        }
        None => {
            let message = format!("there is no Secret {secret} of type kubernetes.io/tls; {consequence}");
            ("SecretNotFound", message)
        }
    }
}
