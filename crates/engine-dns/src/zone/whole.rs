//! The simple version: an index of every name, made at once. What [`super::Zone`] answers is compared with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use plan::{DnsEndpoint, DnsPlan, DnsService, DnsServiceKind, ExposedNamespaces};
use types::{ServiceName, dashed};

use super::builder::{Builder, address_data, below};
use super::{Node, Source};
use crate::reverse::reverse_name;
use crate::{Name, RecordData};

/// Every name that exists.
pub(super) fn names(origin: &Name, plan: &DnsPlan) -> BTreeMap<Name, Node> {
    let mut builder = Builder::new(origin);
    builder.add_apex(plan);
    plan.namespaces.iter().for_each(|namespace| builder.add_namespace(namespace));
    for (name, service) in &plan.services {
        builder.add_service(name, service);
    }
    for (address, namespace) in &plan.pods {
        let source = Source::Pod(namespace.clone());
        builder.add(&[&dashed(*address), namespace, "pod"], source, address_data(*address));
    }
    let mut names = builder.finish();
    add_reverse_names(&mut names, origin, plan);
    names.values_mut().for_each(|node| node.records.sort_unstable());
    names
}

fn add_reverse_names(names: &mut BTreeMap<Name, Node>, origin: &Name, plan: &DnsPlan) {
    for (service, entry) in &plan.services {
        let DnsServiceKind::ClusterIp { addresses, .. } = &entry.kind else { continue };
        let Some(target) = below(origin, &[&service.name, &service.namespace, "svc"]) else { continue };
        for address in addresses {
            let source = Source::ReverseService(service.clone());
            let records = vec![RecordData::Ptr(target.clone())];
            names.entry(reverse_name(*address)).or_insert(Node { source, records });
        }
    }
    for (service, entry) in &plan.services {
        entry.endpoints.iter().for_each(|endpoint| add_reverse_endpoint(names, origin, service, endpoint));
    }
}

fn add_reverse_endpoint(
    names: &mut BTreeMap<Name, Node>,
    origin: &Name,
    service: &ServiceName,
    endpoint: &DnsEndpoint,
) {
    let labels = [&*endpoint.hostname, &service.name, &service.namespace, "svc"];
    let Some(target) = below(origin, &labels) else { return };
    let empty = || Node { source: Source::ReverseEndpoint(Vec::new()), records: Vec::new() };
    let node = names.entry(reverse_name(endpoint.address)).or_insert_with(empty);
    if let Source::ReverseEndpoint(services) = &mut node.source
        && !services.contains(service)
    {
        services.push(service.clone());
        node.records.push(RecordData::Ptr(target));
    }
}

/// What a name has that looks like one of a topology zone, read as CoreDNS does (plugin kubernetes, `parseRequest` and
/// `findServices`); `None` for all other names.
pub(super) fn of_zones(plan: &DnsPlan, name: &Name) -> Option<Option<BTreeSet<RecordData>>> {
    let labels = name.labels().map(|label| std::str::from_utf8(label).unwrap()).collect::<Vec<_>>();
    let [before @ .., "_zone", service, namespace, "svc", "cluster", "local"] = labels.as_slice() else {
        return None;
    };
    let section = plan.settings.kubernetes().unwrap();
    let is_on = section.zonal
        && match &section.namespaces {
            ExposedNamespaces::All => true,
            ExposedNamespaces::Named(names) | ExposedNamespaces::Labelled { matching: names, .. } => {
                names.contains(*namespace)
            }
        };
    let service_name = service;
    let service = plan.services.get(&ServiceName::new(*namespace, *service)).filter(|_| is_on);
    let Some(DnsService { kind: DnsServiceKind::Headless { zones }, endpoints }) = service else {
        return Some(None);
    };
    let (zone, wide) = match before {
        [] | ["pin" | "prefer"] => return Some(Some(BTreeSet::new())),
        [zone @ .., "pin"] => (zone.join("."), false),
        [zone @ .., "prefer"] => (zone.join("."), true),
        _ => return Some(None),
    };
    let is_in = |endpoint: &&DnsEndpoint| zones.get(&zone).is_some_and(|own| own.contains(&endpoint.address));
    let mut meant = endpoints.iter().filter(is_in).collect::<Vec<_>>();
    if meant.is_empty() && wide {
        meant = endpoints.iter().collect();
    }
    let targets = meant.iter().flat_map(|endpoint| {
        let base = Name::parse(&format!("{namespace}.svc.cluster.local")).unwrap();
        let target = base.child(service_name).unwrap().child(&endpoint.hostname).unwrap();
        endpoint.ports.iter().map(move |port| (port.port.number(), target.clone()))
    });
    let targets = targets.collect::<BTreeSet<_>>();
    let weight = (100 / targets.len().max(1)) as u16;
    let addresses = meant.iter().map(|endpoint| match endpoint.address {
        IpAddr::V4(address) => RecordData::A(address),
        IpAddr::V6(address) => RecordData::Aaaa(address),
    });
    let mut records = addresses.collect::<BTreeSet<_>>();
    records.extend(targets.into_iter().map(|(port, target)| RecordData::Srv {
        priority: 0,
        weight,
        port,
        target,
    }));
    Some(Some(records))
}
