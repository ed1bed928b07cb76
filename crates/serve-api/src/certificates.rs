//! Who asks for a certificate, and who may say yes.

use engine_access::{Attributes, ResourceAttributes, User};
use engine_store::{PatchKind, Status, Target, Write};
use serde_json::{Value, json};

use crate::shared::Shared;

const GROUP: &str = "certificates.k8s.io";
const PLURAL: &str = "certificatesigningrequests";

fn is_about(target: &Target) -> bool {
    target.group == GROUP && target.resource == PLURAL
}

/// Writes into a new request who asks (upstream: `csrStrategy.PrepareForCreate`).
pub(crate) fn name_requester(target: &Target, user: &User, write: &mut Write) {
    if !is_about(target) || target.subresource.is_some() {
        return;
    }
    let (Write::Create(request) | Write::Patch(PatchKind::Apply, request)) = write else { return };
    let Some(spec) = request.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for field in ["username", "uid", "groups", "extra"] {
        spec.remove(field);
    }
    spec.insert("username".to_owned(), user.name.as_str().into());
    if !user.uid.is_empty() {
        spec.insert("uid".to_owned(), user.uid.as_str().into());
    }
    if !user.groups.is_empty() {
        spec.insert("groups".to_owned(), json!(user.groups));
    }
    if !user.extra.is_empty() {
        spec.insert("extra".to_owned(), json!(user.extra));
    }
}

/// 403 unless the user may approve for the signer that is asked (upstream: admission plugin `CertificateApproval`).
pub(crate) fn check_approver(shared: &Shared, user: &User, target: &Target) -> Result<(), Status> {
    if !is_about(target) || target.subresource.as_deref() != Some("approval") {
        return Ok(());
    }
    let request = shared.store().read(&Target { subresource: None, ..target.clone() })?;
    let signer = request["spec"]["signerName"].as_str().unwrap_or_default();
    let whole_domain = signer.split_once('/').map(|(domain, _)| format!("{domain}/*"));
    let may = |name: &str| {
        let wanted = ResourceAttributes {
            verb: "approve".to_owned(),
            group: GROUP.to_owned(),
            resource: "signers".to_owned(),
            name: name.to_owned(),
            ..ResourceAttributes::default()
        };
        shared.verdict(user, &Attributes::Resource(wanted)).is_allowed()
    };
    if may(signer) || whole_domain.is_some_and(|domain| may(&domain)) {
        return Ok(());
    }
    let kind = shared.store().kind(target)?;
    let why = format!("user not permitted to approve requests with signerName {signer:?}");
    Err(Status::forbidden(&kind, target.name.as_deref().unwrap_or_default(), &why))
}
