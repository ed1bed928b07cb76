//! Statuses that differ from what the API says.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::Snapshot;
use plan::StatusWrite;
use types::IpFamily;

use crate::ClusterContext;
use crate::findings::Findings;
use crate::gateway::{ClassVerdict, class_of};
use crate::lb;

/// `status.loadBalancer.ingress` of Services.
pub(crate) fn of_services(
    snapshot: &Snapshot,
    context: &ClusterContext,
    findings: &mut Findings,
) -> Vec<StatusWrite> {
    let assignments = lb::assignments(snapshot, context, findings);
    let differs = |(service, addresses): (_, BTreeSet<IpAddr>)| {
        let status = snapshot.services.get(&service).map(|service| &service.status)?;
        let shown: BTreeSet<IpAddr> = status.iter().map(|ingress| ingress.address).collect();
        (shown != addresses).then_some(StatusWrite::Service { service, addresses })
    };
    assignments.into_iter().filter_map(differs).collect()
}

/// `status.loadBalancer.ingress` of Ingresses: the nodes' addresses, one of each family, while we serve them.
///
/// A status is cleared only where nobody serves the Ingress any more: one of another controller's class is left to
/// that controller (semantics IG8).
pub(crate) fn of_ingresses(snapshot: &Snapshot, context: &ClusterContext) -> Vec<StatusWrite> {
    let ready = snapshot.nodes.values().filter(|node| node.ready && !node.deleting);
    let first =
        |node: &model::Node, family| node.addresses.iter().copied().find(|own| IpFamily::of(*own) == family);
    let entry: BTreeSet<IpAddr> = ready
        .flat_map(|node| [IpFamily::V4, IpFamily::V6].into_iter().filter_map(|family| first(node, family)))
        .collect();
    let known: BTreeSet<IpAddr> =
        snapshot.nodes.values().flat_map(|node| node.addresses.iter().copied()).collect();
    let mut writes = Vec::new();
    for ingress in snapshot.ingresses.values() {
        let addresses = match class_of(ingress, snapshot, &context.ingress_controllers) {
            ClassVerdict::Ours => entry.clone(),
            ClassVerdict::Nobodys(_) if !ingress.status.is_empty() && ingress.status.is_subset(&known) => {
                BTreeSet::new()
            }
            ClassVerdict::Nobodys(_) | ClassVerdict::Others => continue,
        };
        if ingress.status != addresses {
            writes.push(StatusWrite::Ingress { ingress: ingress.name.clone(), addresses });
        }
    }
    writes
}
