//! One request: who asks, what for, and the way to the part that answers.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use engine_access::{Attributes, User};
use engine_store::{KUBERNETES_VERSION, Status};
use futures_util::FutureExt;
use http::header::{IF_NONE_MATCH, USER_AGENT};
use http::request::Parts;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answer::{self, Answer};
use crate::compress;
use crate::discovery::{self, Part};
use crate::issuer::Issuer;
use crate::negotiate::{self, DISCOVERY, Form, JSON};
use crate::objects;
use crate::openapi;
use crate::proxy;
use crate::query::Query;
use crate::route::Route;
use crate::shared::Shared;
use crate::shell;

/// Marks the version as ours. It stands after `+`: after `-` it would count as a pre-release, and charts
/// that ask for a minimum version would refuse it.
const BUILD_SUFFIX: &str = "+sealane";

/// What answers the requests of all connections.
pub(crate) struct Service {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tasks: TaskTracker,
    pub(crate) closing: CancellationToken,
}

/// A request whose sender is known.
pub(crate) struct Asked {
    pub(crate) identity: User,
    pub(crate) query: Query,
    pub(crate) head: Parts,
    pub(crate) body: Incoming,
}

impl Asked {
    /// The client's name for itself.
    pub(crate) fn user_agent(&self) -> &str {
        self.head.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The form of the answer; 406 when the client takes nothing we have.
    pub(crate) fn form(&self) -> Result<Form, Status> {
        negotiate::accepted(&self.head.headers).ok_or_else(negotiate::not_acceptable)
    }
}

impl Service {
    /// Answers a request; `certificate` is who the connection belongs to, if TLS proved it.
    pub(crate) async fn answer(&self, request: Request<Incoming>, certificate: Option<Arc<User>>) -> Answer {
        let handled = AssertUnwindSafe(self.dispatch(request, certificate)).catch_unwind().await;
        let mut answer = match handled {
            Ok(Ok(answer)) => answer,
            Ok(Err(status)) => answer::failure(&status),
            Err(_) => answer::failure(&Status::internal("the request could not be handled; this is a bug")),
        };
        let audit = format!("{:016x}{:016x}", shell::random(), shell::random());
        let audit = audit.parse().expect("hexadecimal digits are a valid header value");
        answer.headers_mut().insert(answer::header("audit-id"), audit);
        answer
    }

    async fn dispatch(
        &self,
        request: Request<Incoming>,
        certificate: Option<Arc<User>>,
    ) -> Result<Answer, Status> {
        let route = Route::parse(request.uri().path());
        let (head, body) = request.into_parts();
        let identity = self.shared.authenticate(&head.headers, certificate.as_deref())?;
        let identity = self.shared.impersonated(identity, &head.headers)?;
        let agent = head.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        tracing::debug!(user = identity.name, method = %head.method, path = head.uri.path(), agent, "request");
        if !matches!(route, Route::Object(_) | Route::OldWatch(_) | Route::Proxy { .. }) {
            let verb = head.method.as_str().to_lowercase();
            let path = head.uri.path().to_owned();
            self.shared.authorize(&identity, &Attributes::Path { verb, path })?;
        }
        if route.is_public() {
            return Ok(public(&route, &head.method));
        }
        let query = Query::parse(head.uri.query().unwrap_or_default());
        // What is passed on is passed on as it is.
        let takes_gzip = compress::is_taken(&head.headers) && !matches!(route, Route::Proxy { .. });
        let asked = Asked { identity, query, head, body };
        let answer = self.answer_known(route, asked).await?;
        Ok(if takes_gzip { compress::compressed(answer).await } else { answer })
    }

    /// Answers a request whose sender may ask.
    async fn answer_known(&self, route: Route, asked: Asked) -> Result<Answer, Status> {
        match route {
            Route::Object(target) => objects::answer(self, target, asked).await,
            Route::Proxy { target, segments } => proxy::proxy(self, &target, segments, asked).await,
            Route::OldWatch(target) => objects::watch(self, &target, &asked).await,
            Route::Unknown => Err(Status::unknown_resource()),
            Route::OpenApiRoot | Route::OpenApiDocument(_) if asked.head.method == Method::GET => {
                self.openapi(&route, &asked).await
            }
            document if asked.head.method == Method::GET => self.document(document, &asked),
            _ => Ok(answer::method_not_allowed("GET")),
        }
    }

    /// What describes the server itself.
    fn document(&self, route: Route, asked: &Asked) -> Result<Answer, Status> {
        let kinds = self.shared.store().kinds().to_vec();
        let known = asked.head.headers.get(IF_NONE_MATCH);
        let tagged = |content_type, body: &Value| answer::tagged(content_type, answer::to_bytes(body), known);
        let plain = |body: Option<Value>| {
            let body = body.ok_or_else(Status::unknown_resource)?;
            Ok(tagged(JSON, &body))
        };
        match route {
            Route::CoreVersions | Route::Groups if asked.form()? == Form::AggregatedDiscovery => {
                let part = if route == Route::CoreVersions { Part::Core } else { Part::Named };
                Ok(tagged(DISCOVERY, &discovery::aggregated(&kinds, part)))
            }
            Route::CoreVersions => plain(Some(discovery::core_versions())),
            Route::Groups => plain(Some(discovery::groups(&kinds))),
            Route::Group(group) => plain(discovery::group(&kinds, &group)),
            Route::Resources { group, version } => plain(discovery::resources(&kinds, &group, &version)),
            Route::OpenApiV2 if openapi::wants_v2(&asked.head.headers) => {
                Ok(answer::full(StatusCode::OK, openapi::V2_CONTENT, openapi::V2_DOCUMENT))
            }
            Route::IssuerConfiguration => Ok(answer::json(StatusCode::OK, &Issuer::configuration())),
            Route::IssuerKeys => {
                let keys = answer::to_bytes(&self.shared.keys.issuer.keys());
                Ok(answer::full(StatusCode::OK, "application/jwk-set+json", keys))
            }
            Route::OpenApiV2 => Err(Status::new(
                406,
                "NotAcceptable",
                "this server describes itself in OpenAPI v3 only: see /openapi/v3",
            )),
            _ => Err(Status::unknown_resource()),
        }
    }
}

impl Service {
    async fn openapi(&self, route: &Route, asked: &Asked) -> Result<Answer, Status> {
        let shared = Arc::clone(&self.shared);
        // The documents are made on first use, which takes too long for a thread that serves connections.
        let documents = tokio::task::spawn_blocking(move || shared.documents()).await;
        let documents = documents.map_err(|_| Status::internal("the OpenAPI documents could not be made"))?;
        let body = match route {
            Route::OpenApiDocument(path) => documents.get(path).ok_or_else(Status::unknown_resource)?,
            _ => answer::to_bytes(&documents.root),
        };
        Ok(answer::tagged(JSON, body, asked.head.headers.get(IF_NONE_MATCH)))
    }
}

/// What everyone may ask unless the bindings say otherwise.
fn public(route: &Route, method: &Method) -> Answer {
    if method != Method::GET && method != Method::HEAD {
        return answer::method_not_allowed("GET");
    }
    match route {
        Route::Version => answer::json(StatusCode::OK, &version()),
        _ => answer::full(StatusCode::OK, "text/plain; charset=utf-8", "ok"),
    }
}

fn version() -> Value {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut numbers = KUBERNETES_VERSION.trim_start_matches('v').split('.');
    json!({
        "major": numbers.next(),
        "minor": numbers.next(),
        "gitVersion": format!("{KUBERNETES_VERSION}{BUILD_SUFFIX}"),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("linux/{machine}"),
    })
}
