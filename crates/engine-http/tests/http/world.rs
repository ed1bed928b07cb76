//! Builders of plans, and one way to ask.

use std::collections::BTreeSet;

use engine_http::{Decision, RequestHead, RouteTable, Scheme, route};
use plan::{Backend, GatewayPlan, HostMatch, HttpAction, HttpRoute, PathMatch, VirtualHost};
use types::{NamespacedName, ObjectRef, Port, ServiceName};

/// A route to the Service called `service`, which has this many backends.
pub(crate) fn mk_route(path: PathMatch, service: &str, backends: u8) -> HttpRoute {
    let backends = (1..=backends)
        .map(|last| Backend { address: [10, 244, 1, last].into(), port: Port::new(8080).unwrap() })
        .collect::<BTreeSet<_>>();
    let unavailable = backends.is_empty().then(|| format!("Service shop/{service} has no ready endpoint"));
    HttpRoute {
        origin: ObjectRef::namespaced("Ingress", &NamespacedName::new("shop", "entry")),
        field: format!("spec.rules[0] to {service}"),
        path,
        action: HttpAction::Forward {
            service: ServiceName::new("shop", service),
            backends,
            unavailable,
            rewrite_target: None,
        },
    }
}

pub(crate) fn exact(path: &str) -> HttpRoute {
    mk_route(PathMatch::Exact(path.into()), &format!("exact {path}"), 1)
}

pub(crate) fn prefix(path: &str) -> HttpRoute {
    mk_route(PathMatch::Prefix(path.into()), path, 1)
}

pub(crate) fn regex(pattern: &str, target: Option<&str>) -> HttpRoute {
    let mut route = mk_route(PathMatch::Regex(pattern.into()), pattern, 1);
    let HttpAction::Forward { rewrite_target, .. } = &mut route.action;
    *rewrite_target = target.map(str::to_owned);
    route
}

pub(crate) fn mk_host(host: HostMatch, routes: Vec<HttpRoute>) -> VirtualHost {
    VirtualHost { host, https_redirect: false, routes }
}

/// A plan whose only host is "every host".
pub(crate) fn mk_plan(routes: Vec<HttpRoute>) -> GatewayPlan {
    GatewayPlan { hosts: vec![mk_host(HostMatch::Any, routes)], ..GatewayPlan::default() }
}

pub(crate) fn build(plan: &GatewayPlan) -> RouteTable {
    let (table, findings) = RouteTable::build(plan);
    assert_eq!(findings, []);
    table
}

/// The Service and the rewritten path, or the status and the location.
pub(crate) fn ask(table: &RouteTable, host: &str, path: &str) -> String {
    match route(table, &RequestHead::get(Scheme::Http, host, path), 0) {
        Decision::Forward(forward) => match forward.rewritten {
            Some(path) => format!("{} {path}", forward.service.name),
            None => forward.service.name.clone(),
        },
        Decision::Redirect { page, location, .. } => format!("{} {location}", page.status),
        Decision::Respond { page, .. } => page.status.to_string(),
    }
}
