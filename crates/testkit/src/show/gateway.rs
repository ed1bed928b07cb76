//! The HTTP entry as text.

use plan::{Certificate, GatewayPlan, HostMatch, HttpAction, HttpRoute, PathMatch, VirtualHost};

use super::{joined, lines};

pub(super) fn show(gateway: &GatewayPlan) -> String {
    let hosts = gateway.hosts.iter().map(virtual_host).collect::<String>();
    let default = gateway.default_backend.as_ref().map(|route| format!("default → {}\n", action(route)));
    let certificate = |certificate: &Certificate| {
        format!("certificate {} for {}", certificate.secret, joined(certificate.hosts.iter().map(host), " "))
    };
    hosts + &default.unwrap_or_default() + &lines(gateway.certificates.iter().map(certificate))
}

fn virtual_host(virtual_host: &VirtualHost) -> String {
    let redirect = if virtual_host.https_redirect { ", http goes to https" } else { "" };
    let head = format!("{}{redirect}\n", host(&virtual_host.host));
    let route = |route: &HttpRoute| format!("  {} → {}", path(&route.path), action(route));
    head + &lines(virtual_host.routes.iter().map(route))
}

fn host(host: &HostMatch) -> String {
    match host {
        HostMatch::Exact(host) => host.clone(),
        HostMatch::Wildcard(suffix) => format!("*.{suffix}"),
        HostMatch::Any => "every host".to_owned(),
    }
}

fn path(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(path) => format!("exactly {path}"),
        PathMatch::Prefix(path) => format!("under {path}"),
        PathMatch::Regex(path) => format!("regex {path}"),
    }
}

fn action(route: &HttpRoute) -> String {
    let HttpAction::Forward { service, backends, unavailable, rewrite_target } = &route.action;
    let to = match unavailable {
        Some(why) => format!("503: {why}"),
        None => format!("{service} at {}", joined(backends, " or ")),
    };
    let rewrite = rewrite_target.as_ref().map(|target| format!(", as {target}")).unwrap_or_default();
    format!("{to}{rewrite} ({} {})", route.origin, route.field)
}
