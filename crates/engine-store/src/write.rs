//! The one way in for changes: finds the kind, and sends the write to the operation it asks for.

use serde_json::Value;

use crate::body::{self, Strictness};
use std::borrow::Cow;
use std::sync::Arc;

use crate::key::Key;
use crate::registry::KindId;
use crate::request::{DeleteOptions, Env, ListOptions, PatchKind, Target, Write, WriteOptions, Written};
use crate::store::{Commit, Store};
use crate::{admission, managed, names, service};
use engine_kinds::object::{self, set_metadata};
use engine_kinds::{Kind, Status};

/// Custom kinds have no strategic merge patch (upstream: `negotiation.NewUnsupportedMediaTypeError`).
const NOT_STRATEGIC: &str = "the body of the request was in an unknown format - accepted media types include: \
                             application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

/// A write with its kind found.
pub(crate) struct Request<'a> {
    pub(crate) id: KindId,
    kind: Arc<Kind>,
    stored: KindId,
    stored_kind: Arc<Kind>,
    pub(crate) target: &'a Target,
    pub(crate) options: &'a WriteOptions,
}

impl<'a> Request<'a> {
    fn new(store: &Store, target: &'a Target, options: &'a WriteOptions) -> Result<Self, Status> {
        let registry = store.registry();
        let id = registry.of_target(target)?;
        let stored = registry.stored(id);
        let kind = Arc::clone(registry.kind(id));
        // Versions of a custom kind differ in nothing but their schema, and the one that is asked for decides.
        let stored_kind = Arc::clone(if kind.is_custom() { &kind } else { registry.kind(stored) });
        Ok(Self { id, kind, stored, stored_kind, target, options })
    }

    /// The kind as the client named it.
    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Where the objects are stored.
    pub(crate) fn stored(&self) -> KindId {
        self.stored
    }

    /// The kind as stored.
    pub(crate) fn stored_kind(&self) -> &Kind {
        &self.stored_kind
    }

    pub(crate) fn name(&self) -> &str {
        self.target.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn namespace(&self) -> &str {
        self.target.namespace.as_deref().unwrap_or_default()
    }

    pub(crate) fn strictness(&self) -> Strictness<'_> {
        Strictness { validation: self.options.field_validation, duplicates: &self.options.duplicates }
    }

    /// The object in the form the client asked for.
    pub(crate) fn shown(&self, object: Value) -> Value {
        match &self.kind().view_of {
            None => object,
            Some(view) => (view.from_stored)(&object),
        }
    }

    /// The same of an object that stays.
    pub(crate) fn seen<'o>(&self, object: &'o Value) -> Cow<'o, Value> {
        match &self.kind().view_of {
            None => Cow::Borrowed(object),
            Some(view) => Cow::Owned((view.from_stored)(object)),
        }
    }

    /// The object in its stored form.
    pub(crate) fn to_stored(&self, object: Value) -> Value {
        match &self.kind().view_of {
            None => object,
            Some(view) => (view.to_stored)(object),
        }
    }
}

impl Store {
    /// Makes one change, or says why not.
    ///
    /// # Errors
    /// The API's own statuses: 400, 403, 404, 405, 409, 415 and 422.
    pub fn write(
        &mut self,
        env: &mut Env<'_>,
        target: &Target,
        write: Write,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let removes = matches!(write, Write::Delete(_) | Write::DeleteCollection { .. });
        let had_own = removes && target.resource == "services" && self.has_own_service();
        let written = self.write_one(env, target, write, options);
        self.settle_definitions(env.now);
        self.settle_addresses(env);
        if had_own && !self.has_own_service() {
            // Upstream does within seconds; only the Service range could stand in the way, and it has just had it.
            let _ = self.ensure_own_service(env);
        }
        written
    }

    /// The same without what the server does of its own accord afterwards.
    pub(crate) fn write_one(
        &mut self,
        env: &mut Env<'_>,
        target: &Target,
        write: Write,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let request = Request::new(self, target, options)?;
        let is_collection = matches!(write, Write::DeleteCollection { .. });
        if request.kind().namespaced != target.namespace.is_some()
            || is_collection && !request.kind().verbs().contains(&"deletecollection")
        {
            return Err(Status::method_not_allowed());
        }
        if let (true, Write::Patch(PatchKind::StrategicMerge, _)) = (request.kind().is_custom(), &write) {
            return Err(Status::new(415, "UnsupportedMediaType", NOT_STRATEGIC));
        }
        match (target.subresource.as_deref(), target.name.is_some(), write) {
            (None, false, Write::Create(object)) => self.create(env, &request, object),
            (None, true, Write::Update(object)) => self.update(env, &request, object),
            (None, true, Write::Patch(PatchKind::Apply, patch)) => self.apply(env, &request, &patch),
            (None, true, Write::Patch(kind, patch)) => self.patch(env, &request, kind, &patch),
            (None, true, Write::Delete(options)) => self.delete(env, &request, &options),
            (None, false, Write::DeleteCollection { options, list }) => {
                self.delete_collection(env, &request, &options, &list)
            }
            (Some(name), true, write) => {
                let subresource = request.kind().subresource(name).ok_or_else(Status::unknown_resource)?;
                self.write_subresource(env, &request, subresource, write)
            }
            _ => Err(Status::method_not_allowed()),
        }
    }

    fn create(&mut self, env: &mut Env<'_>, request: &Request<'_>, body: Value) -> Result<Written, Status> {
        let (mut object, mut warnings) = self.decode_new(request, body)?;
        self.name_new(env, request, &mut object)?;
        let created = self.insert(env, request, object, managed::Writer::Update)?;
        warnings.extend(request.kind().warning.as_ref().map(ToString::to_string));
        Ok(Written { object: created, created: true, warnings })
    }

    /// Checks the body of a create.
    fn decode_new(&self, request: &Request<'_>, mut body: Value) -> Result<(Value, Vec<String>), Status> {
        let kind = request.kind();
        body::check_type(kind, &mut body)?;
        let warnings = body::check(kind, &mut body, request.strictness())?;
        let mut object = request.to_stored(body);
        if !object::resource_version(&object).is_empty() {
            return Err(Status::bad_request("resourceVersion should not be set on objects to be created"));
        }
        check_namespace(request, &mut object)?;
        Ok((object, warnings))
    }

    /// Gives a new object its name: its own, or one made from `generateName`.
    fn name_new(&self, env: &mut Env<'_>, request: &Request<'_>, object: &mut Value) -> Result<(), Status> {
        /// How often a name is drawn before giving up (upstream: `maxNameGenerationCreateAttempts`).
        const ATTEMPTS: usize = 8;
        let base = object::text(object, "/metadata/generateName").to_owned();
        if !object::name(object).is_empty() || base.is_empty() {
            return Ok(());
        }
        let mut name = String::new();
        for _ in 0..ATTEMPTS {
            name = names::generate(&base, env);
            if !self.holds(request.stored(), request.namespace(), &name) {
                break;
            }
        }
        set_metadata(object, "name", Some(name.into()));
        Ok(())
    }

    /// Completes, checks and stores a new object; returns it in the form the client asked for.
    pub(crate) fn insert(
        &mut self,
        env: &mut Env<'_>,
        request: &Request<'_>,
        mut object: Value,
        writer: managed::Writer,
    ) -> Result<Value, Status> {
        let kind = request.stored_kind();
        self.check_home(request, object::name(&object))?;
        self.check_definition(kind)?;
        begin_life(env, kind, &mut object);
        kind.default(&mut object);
        // Before admission and allocation: what the server adds belongs to nobody (upstream: `createHandler`).
        managed::record(None, &mut object, &managed::Context::new(request, env.now, None), writer);
        admission::admit_new(self, env, kind, &mut object)?;
        kind.default(&mut object);
        service::prepare(self.allocations(), kind, &mut object, None)?;
        engine_kinds::new_object(kind, &object)?;
        if self.holds(request.stored(), request.namespace(), object::name(&object)) {
            return Err(Status::already_exists(request.kind(), object::name(&object)));
        }
        service::allocate(self.allocations(), env, kind, &mut object, None)?;
        if kind.generation != engine_kinds::Generation::None {
            set_metadata(&mut object, "generation", Some(1.into()));
        }
        if request.options.dry_run {
            return Ok(request.shown(object));
        }
        let stored = self.commit(request.stored(), Commit::Put(object));
        if request.stored() == self.registry().built_in("", "namespaces") {
            self.furnish(env, object::name(&stored))?;
        }
        Ok(request.shown(stored))
    }

    /// Whether a new object's namespace exists and takes new content.
    fn check_home(&self, request: &Request<'_>, name: &str) -> Result<(), Status> {
        let Some(namespace) = request.target.namespace.as_deref() else { return Ok(()) };
        let id = self.registry().built_in("", "namespaces");
        let Some(home) = self.objects(id).get(&Key::new("", namespace)) else {
            return Err(Status::not_found(self.registry().kind(id), namespace));
        };
        // Nearly always the text alone says that it stays.
        if !home.may_hold("deletionTimestamp") || !object::is_deleting(&home.untyped()) {
            return Ok(());
        }
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        Err(Status::forbidden(request.kind(), name, &why).with_cause(engine_kinds::Cause {
            reason: "NamespaceTerminating",
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".to_owned(),
        }))
    }

    fn delete_collection(
        &mut self,
        env: &mut Env<'_>,
        request: &Request<'_>,
        options: &DeleteOptions,
        list: &ListOptions,
    ) -> Result<Written, Status> {
        let found = self.list(request.target, list)?;
        for item in found.shown() {
            let item = item.value();
            let target = Target {
                namespace: request.kind().namespaced.then(|| object::namespace(&item).to_owned()),
                name: Some(object::name(&item).to_owned()),
                ..request.target.clone()
            };
            let one = Request::new(self, &target, request.options)?;
            self.delete(env, &one, options)?;
        }
        Ok(Written { object: found.to_value(), created: false, warnings: Vec::new() })
    }
}

/// The body's namespace must be the path's; an absent one is filled in.
pub(crate) fn check_namespace(request: &Request<'_>, object: &mut Value) -> Result<(), Status> {
    let found = object::namespace(object);
    if !found.is_empty() && found != request.namespace() {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let namespace = request.target.namespace.clone();
    set_metadata(object, "namespace", namespace.map(Value::from));
    Ok(())
}

/// Metadata only the server sets.
fn begin_life(env: &mut Env<'_>, kind: &Kind, object: &mut Value) {
    let uid = names::uid(env);
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"] {
        set_metadata(object, field, None);
    }
    set_metadata(object, "uid", Some(uid.into()));
    set_metadata(object, "creationTimestamp", Some(object::time_text(env.now).into()));
    if let (true, Some(map)) = (kind.has_status() && !kind.status_on_create, object.as_object_mut()) {
        map.remove("status");
    }
}
