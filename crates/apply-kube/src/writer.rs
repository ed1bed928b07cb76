//! Writes single objects: create, replace, patch, apply, delete, bind.

use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::{Request, request};
use serde_json::{Value, json};
use types::{NamespacedName, NodeName, PodName};

use crate::{Error, FIELD_MANAGER, MANAGED_BY_LABEL, kinds};

/// Writes objects of known kinds as JSON.
#[derive(Clone)]
pub struct Writer {
    client: Client,
}

/// One object to write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// Namespace; none for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

/// How to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// `gracePeriodSeconds`; 0 removes a Pod at once, none takes the object's own.
    pub grace_seconds: Option<u32>,
    /// Delete only this very object, not one of the same name made since.
    pub uid: Option<String>,
    /// What becomes of dependents; none takes the kind's default.
    pub propagation: Option<Propagation>,
}

/// What becomes of the objects that a deleted object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Deleted afterwards.
    Background,
    /// Deleted before.
    Foreground,
    /// Kept.
    Orphan,
}

impl Target {
    /// An object in a namespace.
    #[must_use]
    pub fn namespaced(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..Self::cluster(api_version, kind, name) }
    }

    /// A cluster-scoped object.
    #[must_use]
    pub fn cluster(api_version: &str, kind: &str, name: &str) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: None,
            name: name.to_owned(),
        }
    }

    /// The object that this JSON is.
    ///
    /// # Errors
    /// When `apiVersion`, `kind` or `metadata.name` is missing.
    pub fn of(object: &Value) -> Result<Self, Error> {
        let name = text(object, "/metadata/name").ok_or(Error::Incomplete { field: "metadata.name" })?;
        Ok(Self { name, ..Self::collection_of(object)? })
    }

    /// As [`Target::of`], with an empty name when there is only `generateName`.
    fn collection_of(object: &Value) -> Result<Self, Error> {
        Ok(Self {
            api_version: text(object, "/apiVersion").ok_or(Error::Incomplete { field: "apiVersion" })?,
            kind: text(object, "/kind").ok_or(Error::Incomplete { field: "kind" })?,
            namespace: text(object, "/metadata/namespace"),
            name: String::new(),
        })
    }

    fn request(&self) -> Result<Request, Error> {
        let kind = kinds::find(&self.api_version, &self.kind)?;
        Ok(Request::new(kind.path(self.namespace.as_deref())))
    }
}

fn text(object: &Value, pointer: &str) -> Option<String> {
    object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

impl Writer {
    /// A writer over this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Makes an object of our own, with our label, and returns it as stored.
    ///
    /// # Errors
    /// As [`Writer::create`].
    pub async fn create_ours(&self, object: &Value) -> Result<Value, Error> {
        self.create(&with_label(object.clone())).await
    }

    /// Makes an object on a user's behalf, as it is, and returns it as stored.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when there is one of that name, and every other [`Error`].
    pub async fn create(&self, object: &Value) -> Result<Value, Error> {
        let target = Target::collection_of(object)?;
        self.send(target.request()?.create(&post_params(), to_body(object))).await
    }

    /// Replaces an object; with `metadata.resourceVersion` only if it is still that version.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it changed since, and every other [`Error`].
    pub async fn replace(&self, object: &Value) -> Result<Value, Error> {
        let target = Target::of(object)?;
        self.send(target.request()?.replace(&target.name, &post_params(), to_body(object))).await
    }

    /// Replaces an object's status, leaving the rest as it is.
    ///
    /// # Errors
    /// As [`Writer::replace`].
    pub async fn replace_status(&self, object: &Value) -> Result<Value, Error> {
        let target = Target::of(object)?;
        let request = target.request()?;
        self.send(request.replace_subresource("status", &target.name, &post_params(), to_body(object))).await
    }

    /// Sets the given fields of `status`; null removes one. Lists with a key, such as conditions, keep the entries
    /// that are not given (strategic merge patch).
    ///
    /// # Errors
    /// [`Error::NotFound`] when the object is gone, and every other [`Error`].
    pub async fn patch_status(&self, target: &Target, status: &Value) -> Result<Value, Error> {
        let patch = Patch::Strategic(json!({ "status": status }));
        let request = target.request()?;
        self.send(request.patch_subresource("status", &target.name, &patch_params(), &patch)).await
    }

    /// Sets the given fields; null removes one (JSON merge patch, RFC 7396).
    ///
    /// # Errors
    /// As [`Writer::patch_status`].
    pub async fn merge_patch(&self, target: &Target, patch: &Value) -> Result<Value, Error> {
        self.send(target.request()?.patch(&target.name, &patch_params(), &Patch::Merge(patch))).await
    }

    /// Server-side apply: makes the object or takes ownership of the given fields.
    ///
    /// # Errors
    /// Every [`Error`] but [`Error::Conflict`]: fields of other managers are taken over.
    pub async fn apply(&self, object: &Value) -> Result<Value, Error> {
        let target = Target::of(object)?;
        let patch = Patch::Apply(with_label(object.clone()));
        self.send(target.request()?.patch(&target.name, &patch_params().force(), &patch)).await
    }

    /// Deletes an object; one that is gone already counts as deleted.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the uid is another one, and every other [`Error`].
    pub async fn delete(&self, target: &Target, options: &DeleteOptions) -> Result<(), Error> {
        let outcome = self.send(target.request()?.delete(&target.name, &options.params())).await;
        match outcome {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Puts a Pod on a node, as a scheduler does.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it is on one already, and every other [`Error`].
    pub async fn bind(&self, pod: &PodName, node: &NodeName) -> Result<(), Error> {
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": { "name": pod.name, "namespace": pod.namespace },
            "target": { "apiVersion": "v1", "kind": "Node", "name": node.as_str() },
        });
        let request = Target::namespaced("v1", "Pod", &pod.namespace, &pod.name).request()?;
        self.send(request.create_subresource("binding", &pod.name, &post_params(), to_body(&binding)))
            .await?;
        Ok(())
    }

    /// Asks for a token of a service account; the answer is the `TokenRequest` with its status.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the account or what the token shall be bound to is gone, and every other [`Error`].
    pub async fn token(&self, account: &NamespacedName, spec: &Value) -> Result<Value, Error> {
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {},
            "spec": spec,
        });
        let request =
            Target::namespaced("v1", "ServiceAccount", &account.namespace, &account.name).request()?;
        self.send(request.create_subresource("token", &account.name, &post_params(), to_body(&body))).await
    }

    async fn send(&self, request: Result<http::Request<Vec<u8>>, request::Error>) -> Result<Value, Error> {
        let request = request.map_err(kube::Error::BuildRequest)?;
        Ok(self.client.request(request).await?)
    }
}

impl DeleteOptions {
    /// At once, without grace.
    #[must_use]
    pub fn now() -> Self {
        Self { grace_seconds: Some(0), ..Self::default() }
    }

    fn params(&self) -> DeleteParams {
        DeleteParams {
            grace_period_seconds: self.grace_seconds,
            preconditions: self
                .uid
                .clone()
                .map(|uid| Preconditions { uid: Some(uid), resource_version: None }),
            propagation_policy: self.propagation.map(|propagation| match propagation {
                Propagation::Background => PropagationPolicy::Background,
                Propagation::Foreground => PropagationPolicy::Foreground,
                Propagation::Orphan => PropagationPolicy::Orphan,
            }),
            ..DeleteParams::default()
        }
    }
}

fn post_params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

fn patch_params() -> PatchParams {
    PatchParams::apply(FIELD_MANAGER)
}

fn to_body(object: &Value) -> Vec<u8> {
    object.to_string().into_bytes()
}

/// Marks an object as made by us, unless it says who manages it, as EndpointSlices do with a label of their own.
fn with_label(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        if let Some(labels) = labels.as_object_mut() {
            labels.entry(MANAGED_BY_LABEL).or_insert_with(|| json!(FIELD_MANAGER));
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn created_objects_are_recognisable_as_ours() {
        let made = with_label(json!({ "metadata": { "name": "a", "labels": { "app": "web" } } }));
        assert_eq!(made["metadata"]["labels"], json!({ "app": "web", MANAGED_BY_LABEL: "sealane" }));
        let kept = with_label(json!({ "metadata": { "labels": { MANAGED_BY_LABEL: "Helm" } } }));
        assert_eq!(kept["metadata"]["labels"][MANAGED_BY_LABEL], "Helm");
    }

    #[test]
    fn an_object_names_its_target() {
        let object =
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "a", "namespace": "shop" } });
        assert_eq!(Target::of(&object).expect("complete"), Target::namespaced("v1", "Pod", "shop", "a"));
        let nameless = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "generateName": "a-" } });
        assert!(matches!(Target::of(&nameless), Err(Error::Incomplete { field: "metadata.name" })));
    }
}
