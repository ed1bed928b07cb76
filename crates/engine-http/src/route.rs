//! The decision about one request head.

use std::sync::LazyLock;

use http::{HeaderMap, Method};
use plan::HttpAction;

use crate::Page;
use crate::decision::{Decision, Forward, Reason};
use crate::hosts::host_name;
use crate::path::{normalize, split_query};
use crate::rewrite::rewrite;
use crate::table::{HostRoutes, Match, RouteTable, Target};

/// How the client reached the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// As in URLs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What of a request decides where it goes.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'r> {
    /// How it came.
    pub scheme: Scheme,
    /// `Host` or `:authority`, with its port if it has one; empty when the request has none.
    pub host: &'r str,
    /// Path and query as they came.
    pub path: &'r str,
    /// Method.
    pub method: &'r Method,
    /// Headers.
    pub headers: &'r HeaderMap,
}

impl<'r> RequestHead<'r> {
    /// A plain GET, for questions asked by people.
    #[must_use]
    pub fn get(scheme: Scheme, host: &'r str, path: &'r str) -> Self {
        static NO_HEADERS: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);
        Self { scheme, host, path, method: &Method::GET, headers: &NO_HEADERS }
    }
}

/// Decides about a request. `draw` is a random number; it picks among the backends.
#[must_use]
pub fn route<'t>(table: &'t RouteTable, head: &RequestHead<'_>, draw: u64) -> Decision<'t> {
    if head.method == Method::CONNECT {
        return malformed("CONNECT is not served");
    }
    let Some(name) = request_host(head.host) else {
        return malformed("the Host header is malformed");
    };
    let (path, query) = split_query(head.path);
    // `OPTIONS *` asks about the server, and matches no path.
    let normal = if head.path == "*" { Some(b"*".as_slice().into()) } else { normalize(path) };
    let Some(normal) = normal else {
        return malformed("the path is malformed or leads above the root");
    };
    let host = table.hosts.find(&name);
    if let Some(host) = host
        && host.is_https_only
        && head.scheme == Scheme::Http
    {
        return redirect_to_https(host, &name, head.path);
    }
    match host.and_then(|host| Some((host, host.find(&normal)?))) {
        Some((host, Match { target, groups })) => {
            let reason = Reason::Route { host: &host.host, route: &target.route };
            let HttpAction::Forward { rewrite_target, .. } = &target.route.action;
            let rewritten = rewrite_target.as_ref().map(|target| rewrite(target, &groups, query));
            forward(target, rewritten, reason, draw)
        }
        None => match &table.default_backend {
            Some(target) => forward(target, None, Reason::DefaultBackend { route: &target.route }, draw),
            None => {
                let reason = Reason::NoRoute { host: host.map(|host| &host.host) };
                Decision::Respond { page: Page::NOT_FOUND, reason }
            }
        },
    }
}

/// The name that routes are found by; a request without one has the empty name, which only "any" matches.
fn request_host(host: &str) -> Option<String> {
    if host.is_empty() { Some(String::new()) } else { host_name(host) }
}

fn malformed<'t>(why: &'static str) -> Decision<'t> {
    Decision::Respond { page: Page::BAD_REQUEST, reason: Reason::Malformed(why) }
}

/// As ingress-nginx (`lua_ingress.lua`): 308, which keeps the method; the host without its port, and the target without a slash at its end.
fn redirect_to_https<'t>(host: &'t HostRoutes, name: &str, target: &str) -> Decision<'t> {
    let target = target.strip_suffix('/').unwrap_or(target);
    let name = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    let route = host.targets.first().map(|target| &target.route);
    Decision::Redirect {
        page: Page::PERMANENT_REDIRECT,
        location: format!("https://{name}{target}"),
        reason: Reason::HttpsOnly { host: &host.host, route },
    }
}

fn forward<'t>(target: &'t Target, rewritten: Option<String>, reason: Reason<'t>, draw: u64) -> Decision<'t> {
    let HttpAction::Forward { service, unavailable, .. } = &target.route.action;
    let number = target.backends.len() as u64;
    if number == 0 {
        let why = unavailable.as_deref().unwrap_or("the Service has no ready endpoint");
        let reason = Reason::NoBackend { route: &target.route, why };
        return Decision::Respond { page: Page::UNAVAILABLE, reason };
    }
    let first = usize::try_from(draw % number).unwrap_or(0);
    Decision::Forward(Forward { service, backends: &target.backends, first, rewritten, reason })
}
