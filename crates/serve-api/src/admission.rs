//! Validating admission policies around writes: a write that some policy is about is rehearsed first, so that the
//! policy sees what it would make.

use std::sync::Arc;

use engine_access::{User, label_selector};
use engine_admission::{Admission, Denial, Operation, Outcome, ParamRef, Request, decide, findings};
use engine_store::{Cause, Details, Env, Kind, ListOptions, Status, Store, Target, Write, WriteOptions};
use serde_json::Value;
use types::Labels;

/// The API group of policies and bindings.
pub(crate) const ADMISSION_GROUP: &str = "admissionregistration.k8s.io";
const POLICIES: &str = "validatingadmissionpolicies";
const BINDINGS: &str = "validatingadmissionpolicybindings";
const AUDIT: &str =
    "validationActions: Audit has no effect here, as there is no audit log; Deny and Warn have";

/// A write that is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) user: &'a User,
    pub(crate) target: &'a Target,
    pub(crate) write: &'a Write,
    pub(crate) options: &'a WriteOptions,
}

/// Reads policies and bindings from the store.
pub(crate) fn read(store: &Store) -> Admission {
    let list = |plural: &str| {
        let target = Target {
            group: ADMISSION_GROUP.to_owned(),
            version: "v1".to_owned(),
            resource: plural.to_owned(),
            ..Target::default()
        };
        all(store, &target, &ListOptions::default()).unwrap_or_default()
    };
    Admission::new(&list(POLICIES), &list(BINDINGS))
}

/// The objects of a collection.
fn all(store: &Store, target: &Target, options: &ListOptions) -> Result<Vec<Value>, Status> {
    Ok(store.list(target, options)?.shown().map(|object| object.value()).collect())
}

/// Asks the policies; the warnings for the author of the write.
pub(crate) fn admit(
    store: &mut Store,
    env: &mut Env<'_>,
    admission: &Admission,
    asked: Asked<'_>,
) -> Result<Vec<String>, Status> {
    if asked.target.group == ADMISSION_GROUP {
        return check_policy(store, env, asked);
    }
    if admission.is_empty() {
        return Ok(Vec::new());
    }
    let Write::DeleteCollection { list, .. } = asked.write else {
        return admit_one(store, env, admission, asked);
    };
    let mut warnings = Vec::new();
    for item in all(store, asked.target, list)? {
        let text = |field: &str| item["metadata"][field].as_str().map(str::to_owned);
        let target = Target { name: text("name"), namespace: text("namespace"), ..asked.target.clone() };
        let write = Write::Delete(engine_store::DeleteOptions::default());
        let one = Asked { target: &target, write: &write, ..asked };
        warnings.extend(admit_one(store, env, admission, one)?);
    }
    Ok(warnings)
}

fn admit_one(
    store: &mut Store,
    env: &mut Env<'_>,
    admission: &Admission,
    asked: Asked<'_>,
) -> Result<Vec<String>, Status> {
    let target = asked.target;
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let old = target.name.is_some().then(|| store.read(target).ok()).flatten();
    let operation = match asked.write {
        Write::Create(_) => Operation::Create,
        Write::Delete(_) | Write::DeleteCollection { .. } => Operation::Delete,
        Write::Update(_) | Write::Patch(..) if old.is_some() => Operation::Update,
        Write::Update(_) | Write::Patch(..) => Operation::Create,
    };
    let (subresource, namespace, name) =
        (text(&target.subresource), text(&target.namespace), text(&target.name));
    let user = asked.user.to_value();
    let kind = kind_of(store, target).map(|kind| kind.kind.to_string()).unwrap_or_default();
    let mut request = Request {
        operation,
        resource: [&target.group, &target.version, &target.resource],
        kind: &kind,
        subresource: &subresource,
        namespace: &namespace,
        name: &name,
        user: &user,
        dry_run: asked.options.dry_run,
        object: None,
        old: if operation == Operation::Create { None } else { old.as_deref() },
        home: None,
    };
    if !admission.may_concern(&request) {
        return Ok(Vec::new());
    }
    let new = match asked.write {
        Write::Create(body) if !subresource.is_empty() => Some(body.clone()),
        _ if operation == Operation::Delete => None,
        write => {
            let rehearsal = WriteOptions { dry_run: true, ..asked.options.clone() };
            Some(store.write(env, target, write.clone(), &rehearsal)?.object)
        }
    };
    let made = new.as_ref().and_then(|new| new["metadata"]["name"].as_str()).unwrap_or_default();
    let home = home_of(store, &namespace);
    request.name = if name.is_empty() { made } else { &name };
    (request.object, request.home) = (new.as_ref(), home.as_deref());
    let Outcome { denial, warnings } = decide(admission, &request, |api_version, kind, reference| {
        find(store, api_version, kind, reference, &namespace)
    });
    match denial {
        None => Ok(warnings),
        Some(denial) => Err(refusal(&denial, target, request.name)),
    }
}

/// The API's answer to a denied write: a 403's text with the policy's reason and code.
fn refusal(denial: &Denial, target: &Target, name: &str) -> Status {
    let text = denial.text();
    let resource = if target.group.is_empty() {
        target.resource.clone()
    } else {
        format!("{}.{}", target.resource, target.group)
    };
    let details = Details {
        name: name.to_owned(),
        group: target.group.clone(),
        kind: target.resource.clone(),
        causes: vec![Cause { reason: "", message: text.clone(), field: String::new() }],
        ..Details::default()
    };
    Status::new(denial.code(), denial.reason, format!("{resource} {name:?} is forbidden: {text}"))
        .about(details)
}

/// A policy whose expressions cannot be used is refused; a binding's action without effect is told.
fn check_policy(store: &mut Store, env: &mut Env<'_>, asked: Asked<'_>) -> Result<Vec<String>, Status> {
    let plural = asked.target.resource.as_str();
    let writes = matches!(asked.write, Write::Create(_) | Write::Update(_) | Write::Patch(..));
    if !writes || asked.target.subresource.is_some() || ![POLICIES, BINDINGS].contains(&plural) {
        return Ok(Vec::new());
    }
    let rehearsal = WriteOptions { dry_run: true, ..asked.options.clone() };
    let object = store.write(env, asked.target, asked.write.clone(), &rehearsal)?.object;
    if plural == BINDINGS {
        let actions = object["spec"]["validationActions"].as_array();
        let audits = actions.is_some_and(|actions| actions.iter().any(|action| action == "Audit"));
        return Ok(audits.then(|| AUDIT.to_owned()).into_iter().collect());
    }
    let causes: Vec<Cause> = findings(&object)
        .into_iter()
        .map(|(field, expression, why)| Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {expression:?}: compilation failed: {why}"),
            field,
        })
        .collect();
    if causes.is_empty() {
        return Ok(Vec::new());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    Err(Status::invalid(ADMISSION_GROUP, "ValidatingAdmissionPolicy", name, causes))
}

fn kind_of(store: &Store, target: &Target) -> Option<Arc<Kind>> {
    let mut kinds = store.kinds().iter();
    let is = |kind: &&Arc<Kind>| {
        kind.plural == target.resource && kind.group == target.group && kind.version == target.version
    };
    kinds.find(is).cloned()
}

fn home_of(store: &Store, namespace: &str) -> Option<Arc<Value>> {
    let target = Target {
        version: "v1".to_owned(),
        resource: "namespaces".to_owned(),
        name: Some(namespace.to_owned()),
        ..Target::default()
    };
    if namespace.is_empty() { None } else { store.read(&target).ok() }
}

/// The parameters of a binding.
fn find(
    store: &Store,
    api_version: &str,
    kind: &str,
    reference: &ParamRef,
    here: &str,
) -> Result<Vec<Arc<Value>>, String> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let mut kinds = store.kinds().iter();
    let found = kinds.find(|one| one.kind == kind && one.group == group && one.version == version);
    let found = found.ok_or_else(|| format!("no matches for kind {kind:?} in version {api_version:?}"))?;
    let namespace = if reference.namespace.is_empty() { here } else { &reference.namespace };
    let target = Target {
        group: group.to_owned(),
        version: version.to_owned(),
        resource: found.plural.to_string(),
        namespace: found.namespaced.then(|| namespace.to_owned()),
        name: Some(reference.name.clone()).filter(|name| !name.is_empty()),
        ..Target::default()
    };
    if target.name.is_some() {
        return Ok(store.read(&target).ok().into_iter().collect());
    }
    let selector = label_selector(reference.selector.as_ref().unwrap_or(&Value::Null));
    let list = all(store, &target, &ListOptions::default()).map_err(|status| status.message)?;
    Ok(list.into_iter().filter(|item| selector.matches(&labels(item))).map(Arc::new).collect())
}

fn labels(object: &Value) -> Labels {
    let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
