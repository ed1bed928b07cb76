//! Endpoints that somebody wrote by hand, as EndpointSlices (semantics ES12;
//! upstream: `k8s.io/kubernetes/pkg/controller/endpointslicemirroring`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use types::{IpFamily, NamespacedName};

use crate::endpoint_slices::{
    Group, MANAGED_BY, SERVICE_NAME, SlicePort, deletion, group_of, is_selecting, label,
};
use crate::owner::{controller_reference, is_controlled_by, is_deleting};
use crate::world::{World, Write, name_of, to_value};

const CONTROLLER: &str = "endpointslicemirroring-controller.k8s.io";
/// Label of Endpoints that are not mirrored.
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Annotation of Endpoints that were used for leader election, long ago.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Most addresses of one subset that are mirrored (`--mirroring-max-endpoints-per-subset`).
const MAX_ADDRESSES: usize = 1000;
/// Annotations that belong to the original only.
const OWN_ANNOTATIONS: &[&str] =
    &["kubectl.kubernetes.io/last-applied-configuration", "endpoints.kubernetes.io/last-change-trigger-time"];

pub(crate) fn reconcile(world: &World, _now: Timestamp) -> Vec<Write> {
    let mut mirrors: BTreeMap<NamespacedName, Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in
        world.endpoint_slices.values().filter(|slice| label(&slice.metadata, MANAGED_BY) == Some(CONTROLLER))
    {
        let Some(service) = label(&slice.metadata, SERVICE_NAME) else { continue };
        let namespace = slice.metadata.namespace.clone().unwrap_or_default();
        mirrors.entry(NamespacedName::new(namespace, service)).or_default().push(slice);
    }
    let mut writes = Vec::new();
    for (name, endpoints) in &world.endpoints {
        let existing = mirrors.remove(name).unwrap_or_default();
        if is_mirrored(world, endpoints) {
            writes.extend(reconcile_one(endpoints, &existing));
        } else {
            writes.extend(existing.into_iter().map(deletion));
        }
    }
    // Mirrors of Endpoints that are gone fall to garbage collection, which knows them by owner.
    writes
}

/// Only Endpoints of a Service without a selector: others have slices of their own.
fn is_mirrored(world: &World, endpoints: &Endpoints) -> bool {
    let meta = &endpoints.metadata;
    let leads = meta.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(LEADER));
    let service = world.services.get(&name_of(meta)).and_then(|service| service.spec.as_ref());
    let by_hand =
        service.is_some_and(|spec| !is_selecting(spec) && spec.type_.as_deref() != Some("ExternalName"));
    by_hand && !leads && label(meta, SKIP) != Some("true") && !is_deleting(meta)
}

fn reconcile_one(endpoints: &Endpoints, existing: &[&EndpointSlice]) -> Vec<Write> {
    let mut wanted: BTreeMap<Group, Vec<Endpoint>> = BTreeMap::new();
    for subset in endpoints.subsets.iter().flatten() {
        for (family, addresses) in by_family(subset) {
            wanted.entry((family, ports(subset))).or_default().extend(addresses);
        }
    }
    let mut writes = Vec::new();
    for slice in existing {
        let is_ours = is_controlled_by(&slice.metadata, endpoints.metadata.uid.as_deref());
        let group = group_of(slice).filter(|_| is_ours);
        match group.and_then(|group| Some((wanted.remove(&group)?, group))) {
            Some((addresses, group)) => writes.extend(changed(slice, &mirror(endpoints, &group, addresses))),
            None => writes.push(deletion(slice)),
        }
    }
    let new = wanted.into_iter().map(|(group, addresses)| mirror(endpoints, &group, addresses));
    writes.extend(new.map(|slice| Write::Create(to_value(&slice))));
    writes
}

fn ports(subset: &EndpointSubset) -> Vec<SlicePort> {
    let mut ports: Vec<_> = subset
        .ports
        .iter()
        .flatten()
        .map(|port| SlicePort {
            name: port.name.clone().unwrap_or_default(),
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            port: port.port,
            app_protocol: port.app_protocol.clone(),
        })
        .collect();
    ports.sort();
    ports
}

fn by_family(subset: &EndpointSubset) -> BTreeMap<IpFamily, Vec<Endpoint>> {
    let mut families: BTreeMap<IpFamily, Vec<Endpoint>> = BTreeMap::new();
    let ready = subset.addresses.iter().flatten().map(|address| (address, true));
    let unready = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
    for (address, is_ready) in ready.chain(unready).take(MAX_ADDRESSES) {
        let family = match address.ip.parse() {
            Ok(IpAddr::V4(_)) => IpFamily::V4,
            Ok(IpAddr::V6(_)) => IpFamily::V6,
            Err(_) => continue,
        };
        families.entry(family).or_default().push(endpoint(address, is_ready));
    }
    families
}

fn endpoint(address: &EndpointAddress, is_ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions { ready: Some(is_ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone(),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

fn mirror(endpoints: &Endpoints, (family, ports): &Group, addresses: Vec<Endpoint>) -> EndpointSlice {
    let meta = &endpoints.metadata;
    let name = meta.name.clone().unwrap_or_default();
    let mut labels = meta.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), name.clone());
    labels.insert(MANAGED_BY.to_owned(), CONTROLLER.to_owned());
    let annotations = meta.annotations.clone().unwrap_or_default();
    let annotations: BTreeMap<_, _> =
        annotations.into_iter().filter(|(key, _)| !OWN_ANNOTATIONS.contains(&key.as_str())).collect();
    let ports = ports.iter().map(|port| EndpointPort {
        name: Some(port.name.clone()),
        protocol: Some(port.protocol.clone()),
        port: Some(port.port),
        app_protocol: port.app_protocol.clone(),
    });
    EndpointSlice {
        address_type: family.to_string(),
        endpoints: addresses,
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}-")),
            namespace: meta.namespace.clone(),
            labels: Some(labels),
            annotations: (!annotations.is_empty()).then_some(annotations),
            owner_references: Some(vec![controller_reference(endpoints)]),
            ..ObjectMeta::default()
        },
        ports: Some(ports.collect()),
    }
}

fn changed(held: &EndpointSlice, wanted: &EndpointSlice) -> Option<Write> {
    let mut next = held.clone();
    next.endpoints.clone_from(&wanted.endpoints);
    next.metadata.labels.clone_from(&wanted.metadata.labels);
    next.metadata.annotations.clone_from(&wanted.metadata.annotations);
    (next != *held).then(|| Write::Replace(to_value(&next)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_world::{Bench, mk_service};

    fn bench() -> Bench {
        let mut bench = Bench::new(&[]);
        let mut service = mk_service("shop", "db");
        service.spec.as_mut().unwrap().selector = None;
        bench.world.put(service);
        bench.put(json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": { "namespace": "shop", "name": "db", "uid": "uid-ep" },
            "subsets": [{
                "addresses": [{ "ip": "192.0.2.7" }], "notReadyAddresses": [{ "ip": "2001:db8::7" }],
                "ports": [{ "name": "sql", "port": 5432, "protocol": "TCP" }],
            }],
        }));
        bench
    }

    #[test]
    fn each_family_gets_a_slice_that_follows() {
        let mut bench = bench();
        bench.settle(&[reconcile]);
        let slices: Vec<_> = bench.world.endpoint_slices.values().collect();
        assert_eq!(
            slices.iter().map(|slice| slice.address_type.as_str()).collect::<Vec<_>>(),
            ["IPv4", "IPv6"]
        );
        assert_eq!(slices[1].endpoints[0].conditions.as_ref().unwrap().ready, Some(false));
        assert_eq!(label(&slices[0].metadata, SERVICE_NAME), Some("db"));
        let endpoints = bench.world.endpoints.values_mut().next().unwrap();
        endpoints.subsets.as_mut().unwrap()[0].not_ready_addresses = None;
        endpoints.subsets.as_mut().unwrap()[0].addresses.as_mut().unwrap()[0].ip = "192.0.2.8".to_owned();
        bench.settle(&[reconcile]);
        let slices: Vec<_> = bench.world.endpoint_slices.values().collect();
        assert_eq!((slices.len(), slices[0].endpoints[0].addresses[0].as_str()), (1, "192.0.2.8"));
    }

    #[test]
    fn what_has_slices_already_is_not_mirrored() {
        let mut bench = bench();
        let endpoints = bench.world.endpoints.values_mut().next().unwrap();
        endpoints.metadata.labels = Some([(SKIP.to_owned(), "true".to_owned())].into());
        bench.settle(&[reconcile]);
        assert_eq!(bench.world.endpoint_slices.len(), 0);
    }
}
