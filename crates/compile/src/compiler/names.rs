//! Names of Services and Pods, compiled anew for those alone that changed.

use model::{Pod, Snapshot};
use types::Difference;

use super::State;
use super::changes::Changes;
use crate::corefile;
use crate::dns::{self, Naming};
use crate::endpoints::SlicesByService;

impl State {
    /// Everything at once, where nothing was there before.
    pub(super) fn begin_names(&mut self, snapshot: &Snapshot) {
        self.plan.dns = dns::compile(snapshot, &self.context.names());
    }

    pub(super) fn follow_names(&mut self, snapshot: &Snapshot, changes: &Changes<'_>) {
        let mut names = changes.services_concerned();
        let are_labels_new =
            changes.namespaces && corefile::asks_for_labels_of_namespaces(&self.plan.dns.settings);
        let is_naming_new = (changes.config_maps || are_labels_new) && self.follow_corefile(snapshot);
        if is_naming_new {
            names.extend(snapshot.services.keys().cloned());
        }
        let slices = SlicesByService::new(snapshot, &self.slices);
        let naming = Naming::of(&self.plan.dns.settings);
        for name in names {
            let service = snapshot.services.get(&name);
            let new = service.and_then(|service| dns::service(service, &slices.of(&name), &naming));
            let services = &mut self.plan.dns.services;
            match new {
                None => drop(services.remove(&name)),
                Some(new) if services.get(&name) == Some(&new) => {}
                Some(new) => drop(services.insert(name, new)),
            }
        }
        if changes.namespaces {
            self.plan.dns.namespaces = dns::namespaces(snapshot);
        }
        for pod in &changes.pods {
            self.follow_pod(snapshot, pod, &naming);
        }
        if is_naming_new {
            self.plan.dns.pods = dns::pods(snapshot, &naming);
        }
    }

    /// The Corefile; whether Services have other names than before.
    fn follow_corefile(&mut self, snapshot: &Snapshot) -> bool {
        let before = Naming::of(&self.plan.dns.settings);
        let settings = corefile::settings(snapshot);
        let naming = Naming::of(&settings);
        self.plan.dns =
            dns::with_settings(std::mem::take(&mut self.plan.dns), settings, &self.context.names());
        naming != before
    }

    fn follow_pod(
        &mut self,
        snapshot: &Snapshot,
        pod: &Difference<'_, types::PodName, Pod>,
        naming: &Naming,
    ) {
        for address in [pod.old, pod.new].into_iter().flatten().flat_map(|pod| &pod.addresses) {
            let owner = self.pods.last_at(*address).and_then(|owner| snapshot.pods.get(owner));
            let pods = &mut self.plan.dns.pods;
            match owner.filter(|owner| naming.means(&owner.labels)).map(|owner| &owner.name.namespace) {
                None => drop(pods.remove(address)),
                Some(namespace) if pods.get(address) == Some(namespace) => {}
                Some(namespace) => drop(pods.insert(*address, namespace.clone())),
            }
            let own_search = &mut self.plan.dns.own_search;
            match owner.is_some_and(|pod| !pod.cluster_search) {
                true => drop(own_search.insert(*address, ())),
                false => drop(own_search.remove(address)),
            }
        }
    }
}
