//! Requests about objects: HTTP on one side, reads and writes of the store on the other.

use std::sync::Arc;

use engine_store::{
    DeleteOptions, Kind, PatchKind, Shown, Status, Target, Write, WriteOptions, Written, partial_metadata,
};
use http::{Method, StatusCode};
use serde_json::Value;
use types::NamespacedName;

use crate::access;
use crate::answer::{self, Answer};
use crate::body;
use crate::listing::{self, Items};
use crate::negotiate::{self, Form, JSON};
use crate::pods::{Conversation, Opening, Surroundings};
use crate::query::{Query, option_error};
use crate::service::{Asked, Service};
use crate::{certificates, pods, present, review, tokens, watch as streams};

/// Answers a request about a collection, an object, or a part of one.
pub(crate) async fn answer(service: &Service, target: Target, asked: Asked) -> Result<Answer, Status> {
    if let Some(review) = review::find(&target) {
        return answer_review(service, review, target, asked).await;
    }
    if tokens::is_about(&target) {
        return answer_token(service, target, asked).await;
    }
    let kind = kind_of(service, &target)?;
    if kind.is_core("pods") {
        match target.subresource.as_deref() {
            Some("log") => return answer_logs(service, target, asked).await,
            Some("exec" | "attach" | "portforward") => return converse(service, target, asked),
            _ => {}
        }
    }
    let verb = verb(&asked, &target)?;
    authorize(service, &asked, verb, &target)?;
    let answered = match verb {
        "watch" => watch(service, &target, &asked).await,
        "list" => list(service, &target, &asked).await,
        "get" => get(service, &target, &asked),
        _ => write(service, &target, asked).await,
    };
    let Some(deprecation) = &kind.deprecation else { return answered };
    let mut answer = answered.unwrap_or_else(|status| answer::failure(&status));
    answer::warn(&mut answer, &[deprecation.to_string()]);
    Ok(answer)
}

/// Answers with a stream of changes.
pub(crate) async fn watch(service: &Service, target: &Target, asked: &Asked) -> Result<Answer, Status> {
    authorize(service, asked, "watch", target)?;
    let form = asked.form()?;
    streams::watch(&service.shared, target, &asked.query, form, service.closing.clone()).await
}

/// The kind a target is about; 404 where there is none or its scope does not fit the path.
fn kind_of(service: &Service, target: &Target) -> Result<Arc<Kind>, Status> {
    let kind = service.shared.store().kind(target)?;
    let scope_fits = if kind.namespaced {
        target.namespace.is_some() || target.name.is_none()
    } else {
        target.namespace.is_none()
    };
    let part_exists = target.subresource.as_deref().is_none_or(|part| kind.subresource(part).is_some());
    if scope_fits && part_exists { Ok(kind) } else { Err(Status::unknown_resource()) }
}

/// The API's verb for a method, or 405.
fn verb(asked: &Asked, target: &Target) -> Result<&'static str, Status> {
    let watching = asked.query.flag("watch") && target.subresource.is_none();
    match (&asked.head.method, target.name.is_some(), target.subresource.is_some()) {
        (&Method::GET, _, _) if watching => Ok("watch"),
        (&Method::GET, true, _) => Ok("get"),
        (&Method::GET, false, _) => Ok("list"),
        (&Method::POST, false, _) | (&Method::POST, true, true) => Ok("create"),
        (&Method::PUT, true, _) => Ok("update"),
        (&Method::PATCH, true, _) => Ok("patch"),
        (&Method::DELETE, true, false) => Ok("delete"),
        (&Method::DELETE, false, false) => Ok("deletecollection"),
        _ => Err(Status::method_not_allowed()),
    }
}

/// 403 unless the user may do it.
fn authorize(service: &Service, asked: &Asked, verb: &str, target: &Target) -> Result<(), Status> {
    let mut wanted = target.clone();
    if target.name.is_none() && matches!(verb, "list" | "watch" | "deletecollection") {
        wanted.name = asked.query.get("fieldSelector").and_then(access::selected_name).map(str::to_owned);
    }
    service.shared.authorize(&asked.identity, &access::attributes(verb, &wanted))
}

fn get(service: &Service, target: &Target, asked: &Asked) -> Result<Answer, Status> {
    let form = asked.form()?;
    let object = service.shared.store().show(target)?;
    let body = match form {
        Form::Table => {
            let metadata = present::list_metadata_of(&object);
            let include = asked.query.include_object()?;
            let rows = std::slice::from_ref(&object);
            let table = present::table(&service.shared.store(), target, rows, metadata, include);
            present::to_json(&table)
        }
        Form::Metadata => present::partial_metadata(object.metadata()).concat().into(),
        _ => object.text().concat().into(),
    };
    Ok(answer::full(StatusCode::OK, JSON, body))
}

async fn list(service: &Service, target: &Target, asked: &Asked) -> Result<Answer, Status> {
    let form = asked.form()?;
    let options = asked.query.list_options()?;
    let list = service.shared.read_at_revision(|store| store.list(target, &options)).await?;
    Ok(match form {
        Form::Table => {
            let include = asked.query.include_object()?;
            let store = service.shared.store();
            let rows: Vec<Shown> = list.shown().collect();
            let table = present::table(&store, target, &rows, list.metadata(), include);
            drop(store);
            answer::full(StatusCode::OK, JSON, present::to_json(&table))
        }
        Form::Metadata => listing::answer(list, Items::Metadata),
        Form::Objects | Form::AggregatedDiscovery => listing::answer(list, Items::Whole),
    })
}

async fn write(service: &Service, target: &Target, asked: Asked) -> Result<Answer, Status> {
    let form = asked.form()?;
    let mut options = asked.query.write_options(asked.user_agent())?;
    let user = asked.identity.clone();
    let taken = kind_taken(service, target)?;
    let mut write = read_write(target, &taken, asked, &mut options).await?;
    certificates::check_approver(&service.shared, &user, target)?;
    certificates::name_requester(target, &user, &mut write);
    let written = service.shared.write(&user, target, write, &options).await?;
    Ok(answer_written(written, form))
}

/// The kind of the objects an address takes.
fn kind_taken(service: &Service, target: &Target) -> Result<String, Status> {
    let kind = kind_of(service, target)?;
    let part = target.subresource.as_deref().and_then(|part| kind.subresource(part));
    let spoken = part.and_then(|part| part.speaks.as_ref());
    Ok(spoken.map_or(&*kind.kind, |spoken| spoken.kind).to_owned())
}

/// Reads the body into what the store is to do.
async fn read_write(
    target: &Target,
    taken: &str,
    asked: Asked,
    options: &mut WriteOptions,
) -> Result<Write, Status> {
    let Asked { query, head, body, .. } = asked;
    let (patch, body_form) = match head.method {
        Method::PATCH => {
            let (kind, form) = negotiate::patch_form(&head.headers)?;
            (Some(kind), form)
        }
        _ => (None, negotiate::body_form(&head.headers)?),
    };
    check_patch_options(patch, &query)?;
    let taken = if head.method == Method::DELETE { "DeleteOptions" } else { taken };
    let text = body::read(body).await?;
    let engine_store::Body { value: parsed, duplicates } = body::parse(&text, body_form, taken)?;
    options.duplicates = duplicates;
    if parsed.is_null() && head.method != Method::DELETE {
        return Err(Status::bad_request("the request has no body"));
    }
    Ok(match (patch, &head.method) {
        (Some(kind), _) => Write::Patch(kind, parsed),
        (None, &Method::POST) => Write::Create(parsed),
        (None, &Method::PUT) => Write::Update(parsed),
        (None, _) => {
            let delete = match parsed {
                Value::Null => delete_options_of(&query)?,
                body => DeleteOptions::parse(&body)?,
            };
            options.dry_run |= !delete.dry_run.is_empty();
            match target.name {
                Some(_) => Write::Delete(delete),
                None => Write::DeleteCollection { options: delete, list: query.list_options()? },
            }
        }
    })
}

/// Options of a delete without a body.
fn delete_options_of(query: &Query) -> Result<DeleteOptions, Status> {
    let grace = query.number("gracePeriodSeconds")?;
    Ok(DeleteOptions {
        grace_period_seconds: grace.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX)),
        propagation_policy: query.get("propagationPolicy").map(str::to_owned),
        orphan_dependents: query.get("orphanDependents").map(|_| query.flag("orphanDependents")),
        ..DeleteOptions::default()
    })
}

/// What an apply must say, and other patches may not (upstream: `ValidatePatchOptions`).
fn check_patch_options(patch: Option<PatchKind>, query: &Query) -> Result<(), Status> {
    let (field, reason, why) = match patch {
        Some(PatchKind::Apply) if query.get("fieldManager").unwrap_or_default().is_empty() => {
            ("fieldManager", "FieldValueRequired", "Required value: is required for apply patch")
        }
        Some(kind) if kind != PatchKind::Apply && query.get("force").is_some() => {
            ("force", "FieldValueForbidden", "Forbidden: may not be specified for non-apply patch")
        }
        _ => return Ok(()),
    };
    Err(option_error("PatchOptions", field, reason, why))
}

fn answer_written(written: Written, form: Form) -> Answer {
    let code = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    let is_status = written.object["kind"] == "Status";
    let body = match form {
        Form::Metadata if !is_status => present::to_json(&partial_metadata(&written.object)),
        _ => present::to_json(&written.object),
    };
    let mut answer = answer::full(code, JSON, body);
    answer::warn(&mut answer, &written.warnings);
    answer
}

async fn answer_review(
    service: &Service,
    review: &review::Review,
    target: Target,
    asked: Asked,
) -> Result<Answer, Status> {
    if asked.head.method != Method::POST {
        return Ok(answer::method_not_allowed("POST"));
    }
    authorize(service, &asked, "create", &target)?;
    let user = asked.identity.clone();
    let question = read_plain(review.kind, asked).await?;
    let answered = review::answer(&service.shared, review, &target, question, &user)?;
    Ok(answer::json(StatusCode::CREATED, &answered))
}

async fn answer_token(service: &Service, target: Target, asked: Asked) -> Result<Answer, Status> {
    if asked.head.method != Method::POST {
        return Ok(answer::method_not_allowed("POST"));
    }
    authorize(service, &asked, "create", &target)?;
    let request = read_plain(tokens::KIND, asked).await?;
    Ok(answer::json(StatusCode::CREATED, &tokens::answer(&service.shared, &target, request)?))
}

/// The body of a request that stores nothing.
async fn read_plain(kind: &str, asked: Asked) -> Result<Value, Status> {
    let form = negotiate::body_form(&asked.head.headers)?;
    Ok(body::parse(&body::read(asked.body).await?, form, kind)?.value)
}

/// The Pod a request for one of its parts is about.
fn pod(service: &Service, target: &Target) -> Result<(NamespacedName, Arc<Value>), Status> {
    let whole = Target { subresource: None, ..target.clone() };
    let object = service.shared.store().read(&whole)?;
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    Ok((NamespacedName::new(part(&target.namespace), part(&target.name)), object))
}

async fn answer_logs(service: &Service, target: Target, asked: Asked) -> Result<Answer, Status> {
    if asked.head.method != Method::GET {
        return Ok(answer::method_not_allowed("GET"));
    }
    authorize(service, &asked, "get", &target)?;
    let (name, object) = pod(service, &target)?;
    pods::logs(&service.shared.runtime, name, &object, &asked.query, service.closing.clone()).await
}

/// Opens a conversation with a Pod on the connection of the request.
fn converse(service: &Service, target: Target, mut asked: Asked) -> Result<Answer, Status> {
    if asked.head.method != Method::GET && asked.head.method != Method::POST {
        return Ok(answer::method_not_allowed("GET, POST"));
    }
    authorize(service, &asked, "create", &target)?;
    let (name, object) = pod(service, &target)?;
    let upgrade = asked.head.extensions.remove::<hyper::upgrade::OnUpgrade>();
    let (query, head) = (&asked.query, &asked.head);
    let opening = match target.subresource.as_deref() {
        Some("portforward") => pods::forward(name, &object, query, head)?.map(Conversation::Forward),
        Some("attach") => pods::attach(name, &object, query, head)?.map(Conversation::command),
        _ => pods::exec(name, &object, query, head)?.map(Conversation::command),
    };
    match opening {
        Opening::Refused(answer) => Ok(answer),
        Opening::Opens(answer, conversation) => {
            let upgrade = upgrade.ok_or_else(|| Status::bad_request("Upgrade request required"))?;
            conversation.check(&*service.shared.runtime)?;
            let around = Surroundings {
                runtime: Arc::clone(&service.shared.runtime),
                closing: service.closing.clone(),
            };
            service.tasks.spawn(conversation.run(upgrade, around));
            Ok(answer)
        }
    }
}
