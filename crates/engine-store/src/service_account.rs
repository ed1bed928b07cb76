//! Admission of Pods as service accounts (upstream: `plugin/pkg/admission/serviceaccount`): who a Pod is, and the
//! volume with which its containers can say so to the API.

use serde_json::{Value, json};

use crate::names;
use crate::request::Env;
use crate::store::Store;
use engine_kinds::Status;
use engine_kinds::object::{self, default_to, list, map_mut, text};

/// The account of a Pod that names none. Every Namespace is made with one: upstream's controller makes it right after,
/// and admission waits for that (`getServiceAccount`), so that nobody sees a Namespace without it either.
pub(crate) const DEFAULT: &str = "default";
/// Where containers find token, authority and Namespace (upstream: `DefaultAPITokenMountPath`).
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// What the volume's name begins with (upstream: `ServiceAccountVolumeName`).
const VOLUME: &str = "kube-api-access-";
/// Life of the token in seconds; the server knows such tokens by it (upstream: `WarnOnlyBoundTokenExpirationPeriod`).
const SECONDS: i64 = 3607;
/// The ConfigMap with the authority that signed the API's certificate (upstream: `RootCACertConfigMapName`).
const AUTHORITY: &str = "kube-root-ca.crt";

/// Gives a new Pod its account and, unless it or the account wants none, the volume.
///
/// # Errors
/// 403 when its account is not there.
pub(crate) fn admit(store: &Store, env: &mut Env<'_>, pod: &mut Value) -> Result<(), Status> {
    let spec = map_mut(pod, "spec");
    default_to(spec, "serviceAccountName", DEFAULT);
    let name = text(pod, "/spec/serviceAccountName").to_owned();
    let accounts = store.registry().built_in("", "serviceaccounts");
    let account = store.get(accounts, object::namespace(pod), &name);
    let Some(account) = account else {
        let pods = store.registry().kind(store.registry().built_in("", "pods"));
        let why = format!(
            "error looking up service account {}/{name}: serviceaccount {name:?} not found",
            object::namespace(pod)
        );
        return Err(Status::forbidden(pods, object::name(pod), &why));
    };
    if list(pod, "/spec/imagePullSecrets").is_empty() && !list(&account, "/imagePullSecrets").is_empty() {
        pod["spec"]["imagePullSecrets"] = account["imagePullSecrets"].clone();
    }
    if wants_token(pod, &account) {
        mount_token(env, pod);
    }
    Ok(())
}

/// The Pod's wish counts before the account's; without either it is yes.
fn wants_token(pod: &Value, account: &Value) -> bool {
    let wish = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_bool);
    let of_pod = wish(pod, "/spec/automountServiceAccountToken");
    of_pod.or_else(|| wish(account, "/automountServiceAccountToken")).unwrap_or(true)
}

/// Adds the volume, and mounts it in every container that has nothing at its place.
fn mount_token(env: &mut Env<'_>, pod: &mut Value) {
    let mut existing = list(pod, "/spec/volumes").iter().map(|volume| text(volume, "/name"));
    let existing = existing.rfind(|name| name.starts_with(VOLUME)).map(str::to_owned);
    let volume = existing.clone().unwrap_or_else(|| names::generate(VOLUME, env));
    let mut used = false;
    for field in ["containers", "initContainers"] {
        let Some(containers) = pod["spec"].get_mut(field).and_then(Value::as_array_mut) else { continue };
        for container in containers.iter_mut().filter(|container| container.is_object()) {
            used |= mount_in(container, &volume);
        }
    }
    if used && existing.is_none() {
        let volumes = map_mut(pod, "spec").entry("volumes").or_insert_with(|| json!([]));
        if volumes.is_null() {
            *volumes = json!([]);
        }
        if let Some(volumes) = volumes.as_array_mut() {
            volumes.push(token_volume(&volume));
        }
    }
}

/// Whether the container got the mount.
fn mount_in(container: &mut Value, volume: &str) -> bool {
    if list(container, "/volumeMounts").iter().any(|mount| text(mount, "/mountPath") == MOUNT_PATH) {
        return false;
    }
    let mount = json!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH});
    match container.get_mut("volumeMounts").and_then(Value::as_array_mut) {
        Some(mounts) => mounts.push(mount),
        None => container["volumeMounts"] = json!([mount]),
    }
    true
}

fn token_volume(name: &str) -> Value {
    json!({
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": SECONDS, "path": "token"}},
                {"configMap": {"name": AUTHORITY, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{
                    "path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                }]}},
            ],
        },
    })
}
