//! The simple version: an index of every name, made at once. What [`super::Zone`] answers is compared with it.

use std::collections::BTreeMap;

use plan::{DnsEndpoint, DnsPlan, DnsServiceKind};
use types::ServiceName;

use super::builder::{Builder, address_data, below, dashed};
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
