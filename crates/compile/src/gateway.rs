//! The HTTP entry: hosts, paths, TLS and the annotations of ingress-nginx, from Ingress objects.

use std::collections::BTreeSet;

use model::Snapshot;
use plan::GatewayPlan;

use crate::endpoints::SlicesByService;
use crate::findings::Findings;
use crate::{NodeContext, underlay};

mod annotations;
mod backends;
mod class;
mod routes;
mod tls;

pub(crate) use class::{ClassVerdict, class_of};

use routes::Routes;

pub(crate) fn compile(
    snapshot: &Snapshot,
    slices: &SlicesByService<'_>,
    context: &NodeContext,
    findings: &mut Findings,
) -> GatewayPlan {
    let routes = Routes::new(snapshot, slices, &context.ingress_controllers, findings);
    let certificates = tls::certificates(snapshot, &routes.served, findings);
    let default_backend = routes.default_backend.clone();
    GatewayPlan {
        addresses: context.http_entry.iter().flat_map(|_| underlay::all(snapshot, context)).collect(),
        http_port: context.http_entry.and_then(|entry| entry.http),
        https_port: context.http_entry.and_then(|entry| entry.https),
        hosts: routes.into_hosts(findings),
        certificates,
        default_backend,
        trusted_proxies: BTreeSet::new(),
    }
}

/// The findings alone, for the cluster loop.
pub(crate) fn check(
    snapshot: &Snapshot,
    slices: &SlicesByService<'_>,
    controllers: &BTreeSet<String>,
    findings: &mut Findings,
) {
    let routes = Routes::new(snapshot, slices, controllers, findings);
    tls::certificates(snapshot, &routes.served, findings);
    routes.into_hosts(findings);
}
