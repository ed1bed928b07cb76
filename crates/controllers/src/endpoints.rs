//! Endpoints, the older form of EndpointSlices, which older clients still read (semantics ES13).

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service, ServiceSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::by_label::ByLabel;
use crate::endpoint_slices::{SlicePort, addresses, is_selecting, members, pod_reference, ports_of};
use crate::owner::{controller_reference, is_deleting};
use crate::pod_state::is_ready;
use crate::world::{World, Write, name_of, to_value};

const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Most addresses in one Endpoints object (`pkg/controller/endpoint/endpoints_controller.go`).
const MAX_ADDRESSES: usize = 1000;

pub(crate) fn reconcile(world: &World, _now: Timestamp) -> Vec<Write> {
    let pods = ByLabel::of(&world.pods);
    world.services.values().filter_map(|service| reconcile_one(world, &pods, service)).collect()
}

fn reconcile_one(world: &World, pods: &ByLabel<'_, Pod>, service: &Service) -> Option<Write> {
    let spec = service.spec.as_ref()?;
    if is_deleting(&service.metadata) || !is_selecting(spec) {
        return None;
    }
    let (subsets, truncated) = subsets(world, pods, service, spec);
    let existing = world.endpoints.get(&name_of(&service.metadata));
    let mut endpoints = existing.cloned().unwrap_or_else(|| new_endpoints(service));
    endpoints.subsets = (!subsets.is_empty()).then_some(subsets);
    let annotations = endpoints.metadata.annotations.get_or_insert_default();
    if truncated {
        annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    } else {
        annotations.remove(OVER_CAPACITY);
    }
    if annotations.is_empty() {
        endpoints.metadata.annotations = None;
    }
    endpoints.metadata.labels.clone_from(&service.metadata.labels);
    match existing {
        None => Some(Write::Create(to_value(&endpoints))),
        Some(existing) if *existing == endpoints => None,
        Some(_) => Some(Write::Replace(to_value(&endpoints))),
    }
}

fn new_endpoints(service: &Service) -> Endpoints {
    Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            owner_references: Some(vec![controller_reference(service)]),
            ..ObjectMeta::default()
        },
        subsets: None,
    }
}

/// Pods grouped by the ports they serve; ready ones apart from the others.
fn subsets(
    world: &World,
    pods: &ByLabel<'_, Pod>,
    service: &Service,
    spec: &ServiceSpec,
) -> (Vec<EndpointSubset>, bool) {
    let mut groups: BTreeMap<Vec<SlicePort>, EndpointSubset> = BTreeMap::new();
    for pod in members(world, pods, service, spec) {
        let terminating = is_deleting(&pod.metadata);
        let ready = spec.publish_not_ready_addresses == Some(true) || (is_ready(pod) && !terminating);
        if terminating && !ready {
            continue;
        }
        let ports = ports_of(spec, pod);
        // A Pod with none of the ports serves nothing, except where the Service has no ports at all.
        if ports.is_empty() && spec.ports.as_ref().is_some_and(|ports| !ports.is_empty()) {
            continue;
        }
        let Some(address) = address(service, pod) else { continue };
        let subset = groups.entry(ports).or_default();
        let list = if ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        list.get_or_insert_default().push(address);
    }
    let is_truncated = truncate(groups.values_mut().collect());
    let with_ports = groups.into_iter().map(|(ports, mut subset)| {
        let ports = ports.into_iter().map(|port| EndpointPort {
            name: (!port.name.is_empty()).then_some(port.name),
            port: port.port,
            protocol: Some(port.protocol),
            app_protocol: port.app_protocol,
        });
        let ports: Vec<_> = ports.collect();
        subset.ports = (!ports.is_empty()).then_some(ports);
        subset
    });
    (with_ports.collect(), is_truncated)
}

/// Leaves no more addresses than fit, the ready ones first, of each subset in proportion (upstream:
/// `truncateEndpoints`); whether any had to go.
fn truncate(mut subsets: Vec<&mut EndpointSubset>) -> bool {
    let len = |list: &Option<Vec<EndpointAddress>>| list.as_ref().map_or(0, Vec::len);
    let ready: usize = subsets.iter().map(|subset| len(&subset.addresses)).sum();
    let unready: usize = subsets.iter().map(|subset| len(&subset.not_ready_addresses)).sum();
    if ready + unready <= MAX_ADDRESSES {
        return false;
    }
    let (room, total) =
        if ready > MAX_ADDRESSES { (MAX_ADDRESSES, ready) } else { (MAX_ADDRESSES - ready, unready) };
    let mut left = room;
    for subset in &mut subsets {
        let list = if ready > MAX_ADDRESSES {
            subset.not_ready_addresses = None;
            &mut subset.addresses
        } else {
            &mut subset.not_ready_addresses
        };
        let kept = (len(list) * room).div_ceil(total).min(left);
        if let Some(list) = list {
            list.truncate(kept);
        }
        left -= len(list);
        if len(list) == 0 {
            *list = None;
        }
    }
    true
}

fn address(service: &Service, pod: &Pod) -> Option<EndpointAddress> {
    let spec = pod.spec.as_ref()?;
    let hostname = spec.hostname.clone().filter(|_| spec.subdomain == service.metadata.name);
    Some(EndpointAddress {
        ip: addresses(pod).into_iter().next()?,
        hostname: hostname.filter(|name| !name.is_empty()),
        node_name: spec.node_name.clone(),
        target_ref: Some(pod_reference(pod)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_world::{at, mk_node, mk_pod, mk_service};

    #[test]
    fn ready_and_unready_pods_stand_apart() {
        let mut world = World::default();
        world.put(mk_node("node-a"));
        world.put(mk_service("shop", "web"));
        world.put(mk_pod("shop", "web-1"));
        let mut unready = mk_pod("shop", "web-2");
        unready.status.as_mut().unwrap().conditions = None;
        world.put(unready);
        let writes = reconcile(&world, at(0));
        let [Write::Create(endpoints)] = writes.as_slice() else { panic!("{writes:?}") };
        assert_eq!(endpoints["subsets"][0]["addresses"][0]["targetRef"]["name"], "web-1");
        assert_eq!(endpoints["subsets"][0]["notReadyAddresses"][0]["targetRef"]["name"], "web-2");
        world.put(serde_json::from_value::<Endpoints>(endpoints.clone()).unwrap());
        assert_eq!(reconcile(&world, at(1)), []);
    }

    #[test]
    fn ready_addresses_are_the_last_to_go() {
        let mk_list = |count: usize| Some(vec![EndpointAddress::default(); count]);
        let mk_subset = |ready, unready| EndpointSubset {
            addresses: mk_list(ready),
            not_ready_addresses: mk_list(unready),
            ..EndpointSubset::default()
        };
        let truncated = |mut subsets: Vec<EndpointSubset>| {
            let is_truncated = truncate(subsets.iter_mut().collect());
            let len = |list: &Option<Vec<_>>| list.as_ref().map_or(0, Vec::len);
            let sizes =
                subsets.iter().map(|subset| (len(&subset.addresses), len(&subset.not_ready_addresses)));
            (is_truncated, sizes.collect::<Vec<_>>())
        };
        assert_eq!(truncated(vec![mk_subset(900, 100)]), (false, vec![(900, 100)]));
        assert_eq!(
            truncated(vec![mk_subset(600, 300), mk_subset(300, 100)]),
            (true, vec![(600, 75), (300, 25)])
        );
        assert_eq!(truncated(vec![mk_subset(1500, 9), mk_subset(500, 9)]), (true, vec![(750, 0), (250, 0)]));
    }

    #[test]
    fn a_pod_without_the_named_port_serves_nothing() {
        let mut world = World::default();
        world.put(mk_node("node-a"));
        let mut service = mk_service("shop", "web");
        let port = &mut service.spec.as_mut().unwrap().ports.as_mut().unwrap()[0];
        port.target_port =
            Some(k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::String("none-such".to_owned()));
        world.put(service);
        world.put(mk_pod("shop", "web-1"));
        let service = world.services.values().next().unwrap();
        let pods = ByLabel::of(&world.pods);
        assert_eq!(subsets(&world, &pods, service, service.spec.as_ref().unwrap()), (Vec::new(), false));
    }
}
