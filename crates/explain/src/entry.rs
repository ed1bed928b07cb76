//! The HTTP entry: from a URL to a route, and on to a backend.

use engine_http::{Decision, RequestHead, RouteTable, Scheme, route};
use plan::{GatewayPlan, NodePlan};
use types::Protocol;

use crate::cluster::{Cluster, Source};
use crate::connect::{Attempt, reach_all};
use crate::explanation::{Conclusion, Explanation, Hop, Stage};
use crate::question::Url;

/// Whether a connection goes to the HTTP entry of a node.
pub(crate) fn is_entry(gateway: &GatewayPlan, attempt: Attempt) -> bool {
    let ports = [gateway.http_port, gateway.https_port];
    attempt.protocol == Protocol::Tcp
        && gateway.addresses.contains(&attempt.address)
        && ports.contains(&Some(attempt.port))
}

/// Follows a request from the entry of a node to its end.
pub(crate) fn follow(cluster: &Cluster, plan: &NodePlan, url: &Url, explanation: &mut Explanation) {
    let (table, _) = RouteTable::build(&plan.gateway);
    let scheme = if url.is_https { Scheme::Https } else { Scheme::Http };
    let request = RequestHead::get(scheme, &url.host, &url.path);
    let decision = route(&table, &request, 0);
    let reason = decision.reason();
    let hop = |hop: Hop| hop.because(reason.object().cloned(), reason.field());
    match &decision {
        Decision::Forward(forward) => {
            let rewritten = forward.rewritten.as_ref().map(|path| format!(", rewritten to {path}"));
            let text = format!(
                "{reason}: Service {}, one of {} backends{}",
                forward.service,
                forward.attempts().count(),
                rewritten.unwrap_or_default()
            );
            explanation.hops.push(hop(Hop::pass(Stage::Entry, text)));
            let own = plan.services.node_addresses.iter().copied().collect();
            let entry = Source::of(own, Some(plan.node.clone()), None);
            let first = forward.attempts().next();
            let entry = first.and_then(|backend| entry.clone().towards(backend.address)).unwrap_or(entry);
            reach_all(cluster, &entry, plan, forward.attempts(), explanation);
        }
        Decision::Redirect { page, location, .. } => {
            let status = page.status;
            let text = format!("{reason}: redirected with {status} to {location}");
            explanation.hops.push(hop(Hop::pass(Stage::Entry, text.clone())));
            explanation.conclude(Conclusion::Answered { status }, text);
        }
        Decision::Respond { page, .. } => {
            let status = page.status;
            let text = format!("{reason}: answered with {status}");
            explanation.hops.push(hop(Hop::stop(Stage::Entry, text.clone())));
            explanation.conclude(Conclusion::Answered { status }, text);
        }
    }
}
