//! What differs between the snapshot that was compiled last and the next.

use std::collections::BTreeSet;

use model::{EndpointSlice, Pod, Service, Snapshot};
use types::{Difference, NamespacedName, PodName, ServiceName, SharedMap};

/// Objects of those kinds for which there is a short way, and of the other kinds whether there is a change at all.
pub(super) struct Changes<'a> {
    pub(super) services: Vec<Difference<'a, ServiceName, Service>>,
    pub(super) slices: Vec<Difference<'a, NamespacedName, EndpointSlice>>,
    pub(super) pods: Vec<Difference<'a, PodName, Pod>>,
    pub(super) nodes: bool,
    pub(super) namespaces: bool,
    pub(super) config_maps: bool,
    pub(super) policies: bool,
    /// Ingresses, and what they need besides Services.
    pub(super) ingresses: bool,
    pub(super) rejected: bool,
}

impl<'a> Changes<'a> {
    pub(super) fn between(old: &'a Snapshot, new: &'a Snapshot) -> Self {
        let rejected = differs(&old.rejected, &new.rejected);
        let classes = differs(&old.ingress_classes, &new.ingress_classes);
        // A Secret that cannot be read is told about by who needs it.
        let secrets = differs(&old.secrets, &new.secrets) || rejected;
        Self {
            services: new.services.changes_since(&old.services).collect(),
            slices: new.endpoint_slices.changes_since(&old.endpoint_slices).collect(),
            pods: new.pods.changes_since(&old.pods).collect(),
            nodes: differs(&old.nodes, &new.nodes),
            namespaces: differs(&old.namespaces, &new.namespaces),
            config_maps: differs(&old.config_maps, &new.config_maps),
            policies: differs(&old.network_policies, &new.network_policies),
            ingresses: differs(&old.ingresses, &new.ingresses) || classes || secrets,
            rejected,
        }
    }

    /// The Services that changed, and those that slices belong, or belonged, to.
    pub(super) fn services_concerned(&self) -> BTreeSet<ServiceName> {
        let sides = self.slices.iter().flat_map(|slice| [slice.old, slice.new]);
        let of_slices = sides.flatten().filter_map(|slice| slice.service.clone());
        of_slices.chain(self.services.iter().map(|service| service.key.clone())).collect()
    }
}

fn differs<K: Ord, V: PartialEq>(old: &SharedMap<K, V>, new: &SharedMap<K, V>) -> bool {
    new.changes_since(old).next().is_some()
}
