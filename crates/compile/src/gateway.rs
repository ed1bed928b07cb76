//! The HTTP entry: hosts, paths, TLS and the annotations of ingress-nginx, from Ingress objects.

use std::collections::BTreeSet;

use model::{Ingress, Snapshot};
use plan::GatewayPlan;
use types::ServiceName;

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
    slices: SlicesByService<'_>,
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

/// Services that Ingresses lead to, known or not.
pub(crate) fn backends(snapshot: &Snapshot) -> BTreeSet<ServiceName> {
    let of_ingress = |ingress: &'_ Ingress| {
        let paths = ingress.rules.iter().flat_map(|rule| &rule.paths).map(|path| &path.backend);
        let all = paths.chain(&ingress.default_backend);
        let services = all.map(|backend| backends::service_of(&ingress.name.namespace, backend));
        services.collect::<Vec<_>>()
    };
    snapshot.ingresses.values().flat_map(of_ingress).collect()
}

/// The findings alone, for the cluster loop.
pub(crate) fn check(
    snapshot: &Snapshot,
    slices: SlicesByService<'_>,
    controllers: &BTreeSet<String>,
    findings: &mut Findings,
) {
    let routes = Routes::new(snapshot, slices, controllers, findings);
    tls::certificates(snapshot, &routes.served, findings);
    routes.into_hosts(findings);
}
