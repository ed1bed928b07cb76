//! LoadBalancer addresses: which Service has which, and which node answers for it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use engine_ipam::{IpRange, IpamError};
use model::{IpMode, Node, Service, ServiceType, Snapshot, TrafficPolicy};
use plan::LbPlan;
use types::{IpFamily, NodeName, ObjectRef, ServiceName, mixed_hash};

use crate::endpoints::{self, PortKey, SlicesByService};
use crate::findings::{Findings, error};
use crate::{ClusterContext, NodeContext};

/// The addresses this node answers for.
pub(crate) fn announcements(
    snapshot: &Snapshot,
    slices: SlicesByService<'_>,
    context: &NodeContext,
) -> LbPlan {
    let services = snapshot.services.values();
    let own = services.map(|service| (&service.name, announced(snapshot, slices, service, context)));
    announcing(own, snapshot, context)
}

/// The plan of what each Service has announced here; of two with one address, the first by name.
pub(crate) fn announcing<'a>(
    services: impl Iterator<Item = (&'a ServiceName, Vec<IpAddr>)>,
    snapshot: &Snapshot,
    context: &NodeContext,
) -> LbPlan {
    let mut announce = BTreeMap::new();
    for (service, addresses) in services {
        for address in addresses {
            announce.entry(address).or_insert_with(|| service.clone());
        }
    }
    let leaving = snapshot.nodes.get(&context.node).is_some_and(is_leaving);
    LbPlan { link: Some(context.underlay.link.clone()), announce, leaving }
}

/// The addresses of one Service that this node answers for.
pub(crate) fn announced(
    snapshot: &Snapshot,
    slices: SlicesByService<'_>,
    service: &Service,
    context: &NodeContext,
) -> Vec<IpAddr> {
    if !is_ours(service, context.lb_class.as_deref()) {
        return Vec::new();
    }
    let vips = service.status.iter().filter(|ingress| ingress.mode == IpMode::Vip);
    let ours = vips.map(|ingress| ingress.address).filter(|address| in_pools(&context.lb_pools, *address));
    ours.filter(|address| announcer(snapshot, slices, service, *address) == Some(&context.node)).collect()
}

/// Type LoadBalancer, with our class or none (semantics LB1).
fn is_ours(service: &Service, class: Option<&str>) -> bool {
    let asked = service.load_balancer.as_ref().map(|balancer| balancer.class.as_deref());
    matches!(asked, Some(asked) if asked.is_none() || asked == class)
}

fn in_pools(pools: &[IpRange], address: IpAddr) -> bool {
    pools.iter().any(|pool| pool.contains(address))
}

/// The one node that answers for an address: among those that may, the one with the highest hash of both names.
///
/// So every node agrees without talking, and only addresses of a node that comes or goes move.
fn announcer<'a>(
    snapshot: &'a Snapshot,
    slices: SlicesByService<'_>,
    service: &Service,
    address: IpAddr,
) -> Option<&'a NodeName> {
    let able: Vec<&Node> = snapshot.nodes.values().filter(|node| is_able(node)).collect();
    let preferred = match service.external_policy {
        TrafficPolicy::Cluster => Vec::new(),
        TrafficPolicy::Local => with_local_endpoints(&able, slices, service),
    };
    // With no endpoint anywhere, any node may answer: it refuses connections at once (semantics LB5).
    let candidates = if preferred.is_empty() { able } else { preferred };
    candidates
        .into_iter()
        .map(|node| &node.name)
        .max_by_key(|name| (mixed_hash(&format!("{name} {address}")), *name))
}

/// Neither excluded, nor not ready, nor about to go (semantics LB6).
fn is_able(node: &Node) -> bool {
    node.ready && !is_leaving(node) && !node.excluded_from_load_balancers
}

/// Load balancers, ours and others, are to send it nothing new (semantics SD15).
fn is_leaving(node: &Node) -> bool {
    node.deleting || node.to_be_deleted
}

/// Nodes with a ready endpoint of the Service; failing that, those that still serve what terminates.
fn with_local_endpoints<'a>(
    nodes: &[&'a Node],
    slices: SlicesByService<'_>,
    service: &Service,
) -> Vec<&'a Node> {
    let slices = slices.of(&service.name);
    let mut ready = BTreeSet::new();
    let mut serving = BTreeSet::new();
    for port in &service.ports {
        let key = PortKey { name: &port.name, protocol: port.protocol };
        for family in [IpFamily::V4, IpFamily::V6] {
            for endpoint in endpoints::of_port(&slices, family, key) {
                let Some(node) = endpoint.node else { continue };
                if endpoint.state.ready {
                    ready.insert(node);
                } else if endpoint.is_usable() {
                    serving.insert(node);
                }
            }
        }
    }
    let among = |names: &BTreeSet<&NodeName>| -> Vec<&'a Node> {
        nodes.iter().copied().filter(|node| names.contains(&node.name)).collect()
    };
    let with_ready = among(&ready);
    if with_ready.is_empty() { among(&serving) } else { with_ready }
}

/// Addresses of every Service that is ours: what it has, what it wishes for, or the next free one.
///
/// A Service of ours that gets none is in the result with no address. Services that changed type give back what
/// they had from our pools.
pub(crate) fn assignments(
    snapshot: &Snapshot,
    context: &ClusterContext,
    findings: &mut Findings,
) -> BTreeMap<ServiceName, BTreeSet<IpAddr>> {
    let ours: Vec<&Service> =
        snapshot.services.values().filter(|service| is_ours(service, context.lb_class.as_deref())).collect();
    let mut taken: BTreeMap<IpAddr, &ServiceName> = BTreeMap::new();
    let mut assigned: BTreeMap<ServiceName, BTreeSet<IpAddr>> =
        ours.iter().map(|service| (service.name.clone(), BTreeSet::new())).collect();
    let mut give = |service: &Service, address: IpAddr| {
        assigned.entry(service.name.clone()).or_default().insert(address);
    };
    for service in &ours {
        for address in kept(service, &context.lb_pools) {
            if let Entry::Vacant(entry) = taken.entry(address) {
                entry.insert(&service.name);
                give(service, address);
            }
        }
    }
    for service in &ours {
        for family in endpoints::families(&service.cluster_ips) {
            let has = taken
                .iter()
                .any(|(address, owner)| **owner == service.name && IpFamily::of(*address) == family);
            if has {
                continue;
            }
            match pick(service, family, &context.lb_pools, &taken) {
                Ok(Some(address)) => {
                    taken.insert(address, &service.name);
                    give(service, address);
                }
                Ok(None) => {}
                Err((field, reason, message)) => {
                    let object = ObjectRef::namespaced("Service", &service.name);
                    findings.insert(error(object, field, reason, message));
                }
            }
        }
    }
    release_former(snapshot, context, &mut assigned);
    assigned
}

/// What a Service already has from our pools, unless it wishes for another address of that family.
fn kept<'a>(service: &'a Service, pools: &'a [IpRange]) -> impl Iterator<Item = IpAddr> + 'a {
    let wish = service.load_balancer.as_ref().and_then(|balancer| balancer.wish);
    let families = endpoints::families(&service.cluster_ips);
    let agrees = move |address: IpAddr| {
        wish.is_none_or(|wish| wish == address || IpFamily::of(wish) != IpFamily::of(address))
            && families.contains(&IpFamily::of(address))
    };
    let addresses = service.status.iter().map(|ingress| ingress.address);
    addresses.filter(move |address| in_pools(pools, *address) && agrees(*address))
}

/// The field and the reason of a finding, and its text.
type Complaint = (&'static str, &'static str, String);

fn pick(
    service: &Service,
    family: IpFamily,
    pools: &[IpRange],
    taken: &BTreeMap<IpAddr, &ServiceName>,
) -> Result<Option<IpAddr>, Complaint> {
    let wish = service.load_balancer.as_ref().and_then(|balancer| balancer.wish);
    let wish = wish.filter(|wish| IpFamily::of(*wish) == family);
    let of_family: Vec<IpRange> = pools.iter().filter(|pool| pool.family() == family).copied().collect();
    // A dual-stack Service is content with the family there is a pool for.
    if wish.is_none() && of_family.is_empty() && !pools.is_empty() && service.cluster_ips.len() > 1 {
        return Ok(None);
    }
    let in_use: BTreeSet<IpAddr> = taken.keys().copied().collect();
    engine_ipam::allocate(&of_family, &in_use, wish, None).map(Some).map_err(|error| match error {
        IpamError::Exhausted { .. } if of_family.is_empty() => {
            ("spec.type", "NoPool", format!("there is no pool of {family} LoadBalancer addresses"))
        }
        IpamError::Exhausted { .. } => ("spec.type", "PoolExhausted", error.to_string()),
        IpamError::Taken { .. } => ("spec.loadBalancerIP", "AddressInUse", error.to_string()),
        IpamError::Outside { .. } => ("spec.loadBalancerIP", "AddressNotInPool", error.to_string()),
    })
}

/// Services of other types that still show an address of ours.
fn release_former(
    snapshot: &Snapshot,
    context: &ClusterContext,
    assigned: &mut BTreeMap<ServiceName, BTreeSet<IpAddr>>,
) {
    for service in snapshot.services.values().filter(|service| service.kind != ServiceType::LoadBalancer) {
        if service.status.iter().any(|ingress| in_pools(&context.lb_pools, ingress.address)) {
            assigned.insert(service.name.clone(), BTreeSet::new());
        }
    }
}
