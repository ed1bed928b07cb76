//! Topology hints: which zone or node an endpoint is meant for (semantics ES10).

use std::collections::BTreeMap;

use engine_schema::quantity;
use k8s_openapi::api::core::v1::{Node, Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, EndpointSlice, ForNode, ForZone};
use types::IpFamily;

use super::ZONE_LABEL;
use crate::node_fit;
use crate::world::{Note, Severity, World, name_of};

/// Asks for hints in proportion to the zones' processors; the older name comes first (k8s.io/api `core/v1`).
const MODE_ANNOTATIONS: [&str; 2] =
    ["service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"];
/// Nodes that take no part (upstream: `hasExcludedLabels` of `k8s.io/endpointslice/topologycache`).
const EXCLUDING_LABELS: [&str; 2] =
    ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

// Texts of upstream's Events (`k8s.io/endpointslice/topologycache/event.go`).
const NO_NODE_FACTS: &str =
    "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes";
const TOO_FEW_ENDPOINTS: &str = "Insufficient number of endpoints";
const WOULD_OVERLOAD: &str =
    "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold";
const NO_ZONE: &str = "One or more endpoints do not have a zone specified";
const ENABLED: &str = "Topology Aware Hints has been enabled";

/// Gives the wanted endpoints of one family the hints that the Service asks for; answers what to tell about it.
pub(super) fn give(
    world: &World,
    service: &Service,
    spec: &ServiceSpec,
    family: IpFamily,
    endpoints: &mut [&mut Endpoint],
    owned: &[&EndpointSlice],
) -> Option<Note> {
    if !asks_for_shares(service) {
        for endpoint in endpoints.iter_mut().filter(|endpoint| is_ready(endpoint)) {
            endpoint.hints = by_distribution(spec, endpoint.zone.as_deref(), endpoint.node_name.as_deref());
        }
        return None;
    }
    let earlier = earlier_zones(owned);
    let (severity, reason, text) = match give_shares(&zones(world), endpoints, &earlier) {
        Ok(()) if earlier.is_empty() => (Severity::Normal, "TopologyAwareHintsEnabled", ENABLED.to_owned()),
        Ok(()) => return None,
        Err(why) => {
            endpoints.iter_mut().for_each(|endpoint| endpoint.hints = None);
            (Severity::Warning, "TopologyAwareHintsDisabled", why)
        }
    };
    Some(Note {
        api_version: "v1".to_owned(),
        kind: "Service".to_owned(),
        name: name_of(&service.metadata),
        uid: service.metadata.uid.clone().unwrap_or_default(),
        severity,
        reason,
        message: format!("{text}, addressType: {family}"),
        component: "endpoint-slice-controller",
    })
}

fn asks_for_shares(service: &Service) -> bool {
    let annotations = service.metadata.annotations.as_ref();
    let mode = annotations.and_then(|held| MODE_ANNOTATIONS.iter().find_map(|name| held.get(*name)));
    mode.is_some_and(|mode| matches!(mode.as_str(), "Auto" | "auto"))
}

fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().is_some_and(|conditions| conditions.ready == Some(true))
}

/// What `trafficDistribution` asks for.
fn by_distribution(spec: &ServiceSpec, zone: Option<&str>, node: Option<&str>) -> Option<EndpointHints> {
    let distribution = spec.traffic_distribution.as_deref()?;
    let for_zones = zone.map(|zone| vec![ForZone { name: zone.to_owned() }]);
    match distribution {
        "PreferClose" | "PreferSameZone" => Some(EndpointHints { for_zones, ..EndpointHints::default() }),
        "PreferSameNode" => Some(EndpointHints {
            for_zones,
            for_nodes: node.map(|node| vec![ForNode { name: node.to_owned() }]),
        }),
        _ => None,
    }
}

fn for_zone(zone: &str) -> Option<EndpointHints> {
    Some(EndpointHints {
        for_zones: Some(vec![ForZone { name: zone.to_owned() }]),
        ..EndpointHints::default()
    })
}

/// The zones that endpoints are meant for by now, by address.
fn earlier_zones(owned: &[&EndpointSlice]) -> BTreeMap<String, String> {
    let endpoints = owned.iter().flat_map(|slice| &slice.endpoints);
    let zone = |endpoint: &Endpoint| match endpoint.hints.as_ref()?.for_zones.as_deref()? {
        [zone] => Some((endpoint.addresses.first()?.clone(), zone.name.clone())),
        _ => None,
    };
    endpoints.filter_map(zone).collect()
}

/// Processors of each zone, in billionths; none when a ready Node does not tell its zone or its processors.
fn zones(world: &World) -> Option<BTreeMap<String, i128>> {
    let label = |node: &Node, name: &str| node.metadata.labels.as_ref()?.get(name).cloned();
    let mut zones = BTreeMap::new();
    let takes_part = |node: &&Node| {
        node_fit::is_node_ready(node) && EXCLUDING_LABELS.iter().all(|name| label(node, name).is_none())
    };
    for node in world.nodes.values().filter(takes_part) {
        let zone = label(node, ZONE_LABEL).filter(|zone| !zone.is_empty())?;
        let allocatable = node.status.as_ref()?.allocatable.as_ref()?;
        let cpu = allocatable.get("cpu").and_then(|cpu| quantity::nanos(&cpu.0)).filter(|cpu| *cpu > 0)?;
        *zones.entry(zone).or_insert(0) += cpu;
    }
    Some(zones)
}

/// How many endpoints a zone should have.
struct Share {
    most: i128,
    /// In parts: see [`give_shares`].
    desired: i128,
}

/// Gives every ready endpoint the zone it is meant for, so that each zone has its share within the overload threshold
/// of 20 % (upstream: `AddHints` and `getAllocations`); a hint that fits stays, others begin with the endpoint's own
/// zone and are then moved from zones with too many to zones with too few.
///
/// Numbers of endpoints are compared in parts, of which one endpoint has 12 for each billionth of a processor in the
/// cluster, so that 1 / 1.2 of a share is a whole number.
fn give_shares(
    zones: &Option<BTreeMap<String, i128>>,
    endpoints: &mut [&mut Endpoint],
    earlier: &BTreeMap<String, String>,
) -> Result<(), String> {
    let zones = zones.as_ref().filter(|zones| zones.len() > 1).ok_or_else(|| NO_NODE_FACTS.to_owned())?;
    let whole = 12 * zones.values().sum::<i128>();
    let count = endpoints.iter().filter(|endpoint| is_ready(endpoint)).count();
    let shares = shares(zones, whole, count)?;
    let mut given: BTreeMap<String, i128> = BTreeMap::new();
    let mut movable = Vec::new();
    for endpoint in endpoints.iter_mut() {
        endpoint.hints = None;
        if !is_ready(endpoint) {
            continue;
        }
        let own = endpoint.zone.clone().filter(|zone| !zone.is_empty()).ok_or_else(|| NO_ZONE.to_owned())?;
        let kept = endpoint.addresses.first().and_then(|address| earlier.get(address)).filter(|zone| {
            let most = shares.get(*zone).map_or(0, |share| share.most);
            given.get(*zone).copied().unwrap_or(0) < most
        });
        let zone = kept.cloned().unwrap_or_else(|| own.clone());
        *given.entry(zone.clone()).or_default() += 1;
        endpoint.hints = for_zone(&zone);
        if kept.is_none() {
            movable.push((own, endpoint));
        }
    }
    let (mut giving, mut receiving) = moves(&shares, &given, whole);
    for (own, endpoint) in movable {
        let Some(left) = giving.get_mut(&own).filter(|left| **left > 0) else { continue };
        let Some((zone, room)) = receiving.iter_mut().find(|(_, room)| **room > 0) else { break };
        endpoint.hints = for_zone(zone);
        *left -= 1;
        *room -= 1;
    }
    Ok(())
}

fn shares(
    zones: &BTreeMap<String, i128>,
    whole: i128,
    count: usize,
) -> Result<BTreeMap<String, Share>, String> {
    let refusal = |why: &str| format!("{why} ({count} endpoints, {} zones)", zones.len());
    if zones.len() > count {
        return Err(refusal(TOO_FEW_ENDPOINTS));
    }
    let endpoints = i128::try_from(count).unwrap_or(i128::MAX);
    // A share over 1.2, rounded up: a tenth of what is desired is its share in parts over 120 %.
    let least =
        |cpu: i128| (endpoints * cpu * 10).div_euclid(whole) + i128::from((endpoints * cpu * 10) % whole > 0);
    let total: i128 = zones.values().map(|cpu| least(*cpu)).sum();
    if total > endpoints {
        return Err(refusal(WOULD_OVERLOAD));
    }
    let share = |cpu: i128| Share {
        most: least(cpu) + endpoints - total,
        desired: (endpoints * cpu * 12).max(least(cpu) * whole),
    };
    Ok(zones.iter().map(|(zone, cpu)| (zone.clone(), share(*cpu))).collect())
}

/// How many endpoints zones have too many or too few (upstream: `getGivingAndReceivingZones`).
fn moves(
    shares: &BTreeMap<String, Share>,
    given: &BTreeMap<String, i128>,
    whole: i128,
) -> (BTreeMap<String, i128>, BTreeMap<String, i128>) {
    let mut surplus: BTreeMap<&String, i128> = shares
        .iter()
        .map(|(zone, share)| (zone, given.get(zone).copied().unwrap_or(0) * whole - share.desired))
        .collect();
    let (mut giving, mut receiving) = (BTreeMap::new(), BTreeMap::new());
    loop {
        let most = surplus.iter().max_by_key(|(_, surplus)| **surplus).map(|(zone, parts)| (*zone, *parts));
        let least = surplus.iter().min_by_key(|(_, surplus)| **surplus).map(|(zone, parts)| (*zone, -*parts));
        let (Some((from, more)), Some((to, fewer))) = (most, least) else { break };
        if more.max(fewer) < whole || more.min(fewer) * 2 < whole {
            break;
        }
        *giving.entry(from.clone()).or_insert(0) += 1;
        *receiving.entry(to.clone()).or_insert(0) += 1;
        surplus.insert(from, more - whole);
        surplus.insert(to, whole - fewer);
    }
    (giving, receiving)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::discovery::v1::EndpointConditions;

    fn mk_endpoint(index: usize, zone: &str) -> Endpoint {
        Endpoint {
            addresses: vec![format!("10.244.0.{index}")],
            conditions: Some(EndpointConditions { ready: Some(true), ..EndpointConditions::default() }),
            zone: (!zone.is_empty()).then(|| zone.to_owned()),
            ..Endpoint::default()
        }
    }

    /// Endpoints in these zones, among zones with these processors: which zone each is meant for.
    fn shared(cpus: &[(&str, i128)], zones: &[&str], earlier: &[&str]) -> Result<Vec<String>, String> {
        let cpus = cpus.iter().map(|(zone, cpu)| ((*zone).to_owned(), *cpu)).collect();
        let mut endpoints: Vec<_> =
            zones.iter().enumerate().map(|(index, zone)| mk_endpoint(index, zone)).collect();
        let earlier = earlier
            .iter()
            .enumerate()
            .map(|(index, zone)| (format!("10.244.0.{index}"), (*zone).to_owned()))
            .collect();
        give_shares(&Some(cpus), &mut endpoints.iter_mut().collect::<Vec<_>>(), &earlier)?;
        let zone = |endpoint: Endpoint| endpoint.hints.unwrap().for_zones.unwrap()[0].name.clone();
        Ok(endpoints.into_iter().map(zone).collect())
    }

    const EVEN: &[(&str, i128)] = &[("a", 4), ("b", 4)];

    #[test]
    fn endpoints_that_are_spread_as_the_processors_are_stay_in_their_zones() {
        assert_eq!(shared(EVEN, &["a", "b", "a", "b"], &[]).unwrap(), ["a", "b", "a", "b"]);
        let uneven = &[("a", 6), ("b", 2)];
        assert_eq!(shared(uneven, &["a", "a", "a", "b"], &[]).unwrap(), ["a", "a", "a", "b"]);
    }

    #[test]
    fn a_zone_with_too_many_gives_to_one_with_too_few() {
        assert_eq!(shared(EVEN, &["a", "a", "a", "a"], &[]).unwrap(), ["b", "b", "a", "a"]);
        // Two thirds and a third of ten, where all are in the small zone.
        let uneven = &[("a", 4), ("b", 2)];
        let zones = shared(uneven, &["b"; 9], &[]).unwrap();
        assert_eq!(zones.iter().filter(|zone| *zone == "a").count(), 6);
    }

    #[test]
    fn hints_that_fit_stay_and_others_do_not() {
        let kept = ["a", "b", "a", "b"];
        assert_eq!(shared(EVEN, &["a", "a", "a", "a"], &kept).unwrap(), kept);
        // A zone that is gone, and more than the zone may have.
        assert_eq!(shared(EVEN, &["a", "b"], &["c", "c"]).unwrap(), ["a", "b"]);
        assert_eq!(shared(EVEN, &["a", "b", "a", "b"], &["a"; 4]).unwrap(), ["a", "a", "b", "b"]);
    }

    #[test]
    fn without_a_fair_spread_there_are_no_hints() {
        assert_eq!(
            shared(&[("a", 4), ("b", 4), ("c", 4)], &["a", "b"], &[]).unwrap_err(),
            "Insufficient number of endpoints (2 endpoints, 3 zones)"
        );
        // One endpoint for each of two zones of which one has all but a little.
        assert!(shared(&[("a", 99), ("b", 1)], &["a", "b"], &[]).unwrap_err().starts_with(WOULD_OVERLOAD));
        assert_eq!(shared(EVEN, &["a", ""], &[]).unwrap_err(), NO_ZONE);
        assert_eq!(shared(&[("a", 4)], &["a", "a"], &[]).unwrap_err(), NO_NODE_FACTS);
    }
}
