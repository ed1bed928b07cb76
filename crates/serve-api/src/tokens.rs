//! Tokens of service accounts on request: `serviceaccounts/NAME/token`.

use std::sync::Arc;

use engine_access::{BoundRef, RequestError, TokenRequest, Wanted, now_claims};
use engine_store::{Cause, Details, Status, Target};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::issuer::ISSUER;
use crate::shared::Shared;
use crate::shell;

/// What is sent and answered.
pub(crate) const KIND: &str = "TokenRequest";
const API_VERSION: &str = "authentication.k8s.io/v1";

/// Whether a target is a service account's token.
pub(crate) fn is_about(target: &Target) -> bool {
    target.group.is_empty()
        && target.version == "v1"
        && target.resource == "serviceaccounts"
        && target.subresource.as_deref() == Some("token")
        && target.namespace.is_some()
}

/// Issues the token that is asked for.
pub(crate) fn answer(shared: &Shared, target: &Target, mut request: Value) -> Result<Value, Status> {
    if !request.is_object() {
        return Err(Status::bad_request("the body must be a TokenRequest"));
    }
    let account = shared.store().read(&Target { subresource: None, ..target.clone() })?;
    let text = |field: &str| account["metadata"][field].as_str().unwrap_or_default();
    let (namespace, name, uid) = (text("namespace"), text("name"), text("uid"));
    for (field, of_path) in [("name", name), ("namespace", namespace)] {
        let named = request["metadata"][field].as_str().unwrap_or_default();
        if !named.is_empty() && named != of_path {
            let text =
                format!("the {field} of the provided object does not match the {field} sent on the request");
            return Err(Status::bad_request(text));
        }
    }
    let asked = TokenRequest::parse(&request).map_err(|error| invalid(name, &error))?;
    let bound = asked.bound.as_ref().map(|bound| find_bound(shared, target, bound)).transpose()?;
    let (seconds, warn_after) = asked.life();
    let audiences =
        if asked.audiences.is_empty() { vec![ISSUER.to_owned()] } else { asked.audiences.clone() };
    let now = shell::now();
    let wanted =
        Wanted { issuer: ISSUER, account: (namespace, name, uid), audiences, bound, seconds, warn_after };
    let claims = now_claims(wanted, now.as_second(), shell::uid());
    let token = shared.keys.issuer.sign(&claims).map_err(|error| Status::internal(error.to_string()))?;
    request["kind"] = KIND.into();
    request["apiVersion"] = API_VERSION.into();
    request["metadata"] =
        json!({"name": name, "namespace": namespace, "creationTimestamp": time(now.as_second())});
    request["spec"]["audiences"] = json!(claims.aud);
    request["spec"]["expirationSeconds"] = json!(asked.seconds);
    request["status"] = json!({"token": token, "expirationTimestamp": time(now.as_second() + asked.seconds)});
    Ok(request)
}

/// The object a token shall be bound to (upstream: `TokenREST.Create`).
fn find_bound(shared: &Shared, account: &Target, bound: &[String; 4]) -> Result<BoundRef, Status> {
    let [kind, api_version, name, uid] = bound;
    let resource = match (kind.as_str(), api_version.as_str()) {
        ("Pod", "v1") => "pods",
        ("Secret", "v1") => "secrets",
        _ => {
            let text = format!("cannot bind token to object of type {api_version}, Kind={kind}");
            return Err(Status::bad_request(text));
        }
    };
    let read = |resource: &str, namespace: Option<String>, name: &str| {
        shared.store().read(&Target {
            resource: resource.to_owned(),
            namespace,
            name: Some(name.to_owned()),
            subresource: None,
            ..account.clone()
        })
    };
    let object = read(resource, account.namespace.clone(), name)?;
    let text = |object: &Arc<Value>, pointer: &str| {
        object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let own = account.name.clone().unwrap_or_default();
    if kind == "Pod" && text(&object, "/spec/serviceAccountName") != own {
        let text = format!(
            "cannot bind token for serviceaccount {own:?} to pod running with different serviceaccount name."
        );
        return Err(Status::bad_request(text));
    }
    let found = text(&object, "/metadata/uid");
    if !uid.is_empty() && *uid != found {
        let text = format!(
            "Operation cannot be fulfilled on {kind} {name:?}: the UID in the bound object reference ({uid}) does \
             not match the UID in record. The object might have been deleted and then recreated"
        );
        let details = Details { name: name.clone(), kind: kind.clone(), ..Details::default() };
        return Err(Status::new(409, "Conflict", text).about(details));
    }
    let node = text(&object, "/spec/nodeName");
    let node = (!node.is_empty()).then(|| {
        let uid = read("nodes", None, &node).map(|node| text(&node, "/metadata/uid")).unwrap_or_default();
        (node, uid)
    });
    Ok(BoundRef { kind: kind.clone(), name: name.clone(), uid: found, node: node.filter(|_| kind == "Pod") })
}

fn invalid(name: &str, error: &RequestError) -> Status {
    let cause =
        Cause { reason: "FieldValueInvalid", message: error.message.clone(), field: error.field.to_owned() };
    Status::invalid("authentication.k8s.io", KIND, name, vec![cause])
}

fn time(second: i64) -> String {
    Timestamp::from_second(second).map(|time| time.to_string()).unwrap_or_default()
}
