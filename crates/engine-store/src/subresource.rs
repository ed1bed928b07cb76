//! Writes to parts of objects: status, scale, finalize, binding, eviction, ephemeral containers.

use serde_json::{Value, json};

use crate::managed::Writer;
use crate::request::{DeleteOptions, Env, PatchKind, Write, Written};
use crate::store::Store;
use crate::write::Request;
use crate::{body, patch, scale};
use engine_kinds::object::{self, text};
use engine_kinds::{Part, SCALE_SCHEMA, Status, Subresource};
use engine_schema::type_of;

impl Store {
    pub(crate) fn write_subresource(
        &mut self,
        env: &mut Env<'_>,
        request: &Request<'_>,
        subresource: &Subresource,
        write: Write,
    ) -> Result<Written, Status> {
        let part = match subresource.name {
            "status" => Part::Status,
            "approval" => Part::Approval,
            "finalize" => Part::Finalize,
            "ephemeralcontainers" => Part::EphemeralContainers,
            "scale" => return self.write_scale(env, request, write),
            "binding" => return self.bind(env, request, write),
            "eviction" => return self.evict(env, request, write),
            _ => return Err(Status::method_not_allowed()),
        };
        match write {
            Write::Update(body) => self.update_part(env, request, body, part),
            Write::Patch(..) if !subresource.verbs.contains(&"patch") => Err(Status::method_not_allowed()),
            Write::Patch(PatchKind::Apply, patch) => self.apply_part(env, request, &patch, part),
            Write::Patch(kind, patch) => self.patch_part(env, request, (kind, &patch), part),
            _ => Err(Status::method_not_allowed()),
        }
    }

    fn write_scale(
        &mut self,
        env: &mut Env<'_>,
        request: &Request<'_>,
        write: Write,
    ) -> Result<Written, Status> {
        let old = self.find(request.id, request.target)?;
        let kind = request.stored_kind();
        let mut wanted = match write {
            Write::Update(body) => body,
            Write::Patch(PatchKind::Apply, patch) => {
                patch::apply(PatchKind::Merge, &scale::of(kind, &old), &patch, &type_of(SCALE_SCHEMA))?
            }
            Write::Patch(form, patch) => {
                // A patch is conditional only on the version it sets itself.
                let mut base = scale::of(kind, &old);
                object::set_metadata(&mut base, "resourceVersion", None);
                patch::apply(form, &base, &patch, &type_of(SCALE_SCHEMA))?
            }
            _ => return Err(Status::method_not_allowed()),
        };
        body::check_spoken(SCALE_SCHEMA, &mut wanted)?;
        let new = scale::write_back(kind, &wanted, &old);
        let object = self.replace(env, request, &old, new, (Part::Scale, Writer::Update))?;
        Ok(Written { object: scale::of(kind, &object), created: false, warnings: Vec::new() })
    }

    /// `pods/binding`: gives the Pod its Node (upstream: `BindingREST.assignPod`).
    fn bind(&mut self, env: &mut Env<'_>, request: &Request<'_>, write: Write) -> Result<Written, Status> {
        let Write::Create(mut binding) = write else { return Err(Status::method_not_allowed()) };
        body::check_spoken(&request.kind().spoken_schema("binding"), &mut binding)?;
        let node = text(&binding, "/target/name").to_owned();
        if node.is_empty() {
            return Err(Status::bad_request("target.name: Required value"));
        }
        let old = self.find(request.id, request.target)?;
        let name = request.name();
        if object::is_deleting(&old) {
            let why = format!("pod {name} is being deleted, cannot be assigned to a host");
            return Err(Status::conflict(request.kind(), name, &why));
        }
        let bound = text(&old, "/spec/nodeName");
        if !bound.is_empty() {
            let why = format!("pod {name} is already assigned to node \"{bound}\"");
            return Err(Status::conflict(request.kind(), name, &why));
        }
        let mut new = Value::clone(&old);
        new["spec"]["nodeName"] = node.into();
        set_scheduled(&mut new, env);
        if let Some(annotations) = object::map(&binding, "/metadata/annotations") {
            let own = object::map_mut(&mut new["metadata"], "annotations");
            own.extend(annotations.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        self.replace_whole(env, request, &old, new, "binding");
        let object =
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        Ok(Written { object, created: true, warnings: Vec::new() })
    }

    /// `pods/eviction`: a delete that disruption budgets may hold back.
    fn evict(&mut self, env: &mut Env<'_>, request: &Request<'_>, write: Write) -> Result<Written, Status> {
        let Write::Create(mut eviction) = write else { return Err(Status::method_not_allowed()) };
        body::check_spoken(&request.kind().spoken_schema("eviction"), &mut eviction)?;
        let named = text(&eviction, "/metadata/name");
        if !named.is_empty() && named != request.name() {
            return Err(Status::bad_request("name in URL does not match name in Eviction object"));
        }
        let options = DeleteOptions::parse(eviction.get("deleteOptions").unwrap_or(&Value::Null))?;
        let pod = self.find(request.id, request.target)?;
        let dry_run = request.options.dry_run || !options.dry_run.is_empty();
        self.spend_budget(env, &pod, dry_run)?;
        self.delete(env, request, &options)?;
        let object =
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        Ok(Written { object, created: true, warnings: Vec::new() })
    }
}

/// Marks a Pod as scheduled.
fn set_scheduled(pod: &mut Value, env: &Env<'_>) {
    let status = object::map_mut(pod, "status");
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    let Some(conditions) = conditions.as_array_mut() else { return };
    conditions.retain(|condition| text(condition, "/type") != "PodScheduled");
    conditions.push(json!({
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": null,
        "lastTransitionTime": object::time_text(env.now),
    }));
}
