//! Carries out what controllers want written.

use apply_kube::{
    DeleteOptions, Error, EventKind, EventNote, Events, Propagation as Dependents, Subject,
    Target as ObjectTarget, Writer,
};
use controllers::{Note, Propagation, Severity, Write};
use engine_store::PatchKind;
use serde_json::Value;
use serve_api::ApiHandle;
use types::{NamespacedName, ObjectRef};
use watch::Client;

/// Whoever writes for the controllers.
pub(super) struct Hands {
    writer: Writer,
    events: Events,
    handle: ApiHandle,
}

impl Hands {
    pub(super) fn new(client: Client, handle: ApiHandle) -> Self {
        let writer = Writer::new(client);
        Self { events: Events::new(writer.clone()), writer, handle }
    }

    /// Does one write; the object as it is now, where the answer says. What fails is wanted again at the next look.
    pub(super) async fn carry_out(&self, write: &Write) -> Option<Value> {
        match self.perform(write).await {
            Ok(written) => written,
            Err(Error::Conflict { .. } | Error::NotFound { .. } | Error::AlreadyExists { .. }) => None,
            Err(error) => {
                tracing::warn!(%error, ?write, "a controller's write was refused");
                None
            }
        }
    }

    async fn perform(&self, write: &Write) -> Result<Option<Value>, Error> {
        match write {
            Write::Create(object) => self.writer.create(object).await.map(Some),
            Write::Replace(object) => self.writer.replace(object).await.map(Some),
            Write::ReplaceStatus(object) => self.writer.replace_status(object).await.map(Some),
            Write::Finalize(object) => self.finalize(object).await.map(|()| None),
            Write::Delete { api_version, kind, name, uid, propagation } => {
                let what = self.found(api_version, kind, name);
                self.delete(what, uid, *propagation).await.map(|()| None)
            }
            Write::Patch { api_version, kind, name, patch } => {
                self.patch(self.found(api_version, kind, name), patch).await.map(Some)
            }
            Write::Bind { pod, node, .. } => self.writer.bind(pod, node).await.map(|()| None),
            Write::Note(note) => self.events.note(&event(note)).await.map(|()| None),
        }
    }

    /// Kinds that the writer does not know go through the server in this process.
    fn found(&self, api_version: &str, kind: &str, name: &NamespacedName) -> Found {
        if apply_kube::is_known(api_version, kind) {
            let namespace = Some(name.namespace.clone()).filter(|namespace| !namespace.is_empty());
            return Found::Known(ObjectTarget {
                namespace,
                ..ObjectTarget::cluster(api_version, kind, &name.name)
            });
        }
        let kinds = self.handle.kinds();
        let served = kinds.iter().find(|served| served.api_version() == api_version && served.kind == kind);
        served.map_or(Found::Unserved, |served| {
            Found::Other(engine_store::Target {
                group: served.group.to_string(),
                version: served.version.to_string(),
                resource: served.plural.to_string(),
                namespace: served.namespaced.then(|| name.namespace.clone()),
                name: Some(name.name.clone()),
                subresource: None,
            })
        })
    }

    async fn delete(&self, what: Found, uid: &str, propagation: Propagation) -> Result<(), Error> {
        match what {
            Found::Known(target) => {
                let dependents = match propagation {
                    Propagation::AsUsual => None,
                    Propagation::Foreground => Some(Dependents::Foreground),
                };
                let uid = Some(uid.to_owned());
                let options = DeleteOptions { uid, propagation: dependents, ..DeleteOptions::default() };
                self.writer.delete(&target, &options).await
            }
            Found::Other(target) => {
                let policy = match propagation {
                    Propagation::AsUsual => None,
                    Propagation::Foreground => Some("Foreground".to_owned()),
                };
                let uid = Some(uid.to_owned());
                let options = engine_store::DeleteOptions {
                    propagation_policy: policy,
                    preconditions: Some(engine_store::Preconditions { uid, resource_version: None }),
                    ..engine_store::DeleteOptions::default()
                };
                self.in_process(&target, engine_store::Write::Delete(options)).await.map(drop)
            }
            Found::Unserved => Ok(()),
        }
    }

    async fn patch(&self, what: Found, patch: &Value) -> Result<Value, Error> {
        match what {
            Found::Known(target) => self.writer.merge_patch(&target, patch).await,
            Found::Other(target) => {
                let write = engine_store::Write::Patch(PatchKind::Merge, patch.clone());
                self.in_process(&target, write).await
            }
            // Its kind went in the meantime, and took it along.
            Found::Unserved => Ok(Value::Null),
        }
    }

    /// A Namespace's last step: the writer knows no such part of an object.
    async fn finalize(&self, object: &Value) -> Result<(), Error> {
        let target = engine_store::Target {
            group: String::new(),
            version: "v1".to_owned(),
            resource: "namespaces".to_owned(),
            namespace: None,
            name: object.pointer("/metadata/name").and_then(Value::as_str).map(ToOwned::to_owned),
            subresource: Some("finalize".to_owned()),
        };
        self.in_process(&target, engine_store::Write::Update(object.clone())).await.map(drop)
    }

    async fn in_process(
        &self,
        target: &engine_store::Target,
        write: engine_store::Write,
    ) -> Result<Value, Error> {
        let options = engine_store::WriteOptions::default();
        match self.handle.write(target, write, &options).await {
            Ok(written) => Ok(written.object),
            // Gone already, or changed since: the next look sees it.
            Err(status) if matches!(status.code, 404 | 409) => Ok(Value::Null),
            Err(status) => Err(Error::Refused { code: status.code, message: status.message }),
        }
    }
}

/// Where a write goes.
enum Found {
    Known(ObjectTarget),
    Other(engine_store::Target),
    Unserved,
}

fn event(note: &Note) -> EventNote {
    let object = if note.name.namespace.is_empty() {
        ObjectRef::cluster(&note.kind, &note.name.name)
    } else {
        ObjectRef::namespaced(&note.kind, &note.name)
    };
    EventNote {
        subject: Subject { api_version: note.api_version.clone(), object, uid: note.uid.clone() },
        kind: match note.severity {
            Severity::Normal => EventKind::Normal,
            Severity::Warning => EventKind::Warning,
        },
        reason: note.reason.to_owned(),
        message: note.message.clone(),
        component: note.component.to_owned(),
        host: None,
    }
}
