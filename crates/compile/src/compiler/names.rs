//! Names of Services and Pods, compiled anew for those alone that changed.

use model::{Pod, Snapshot};
use types::Difference;

use super::State;
use super::changes::Changes;
use crate::dns;
use crate::endpoints::SlicesByService;

impl State {
    /// Everything at once, where nothing was there before.
    pub(super) fn begin_names(&mut self, snapshot: &Snapshot) {
        self.plan.dns = dns::compile(snapshot, &self.context);
    }

    pub(super) fn follow_names(&mut self, snapshot: &Snapshot, changes: &Changes<'_>) {
        let slices = SlicesByService::new(snapshot, &self.slices);
        for name in changes.services_concerned() {
            let new =
                snapshot.services.get(&name).and_then(|service| dns::service(service, &slices.of(&name)));
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
            self.follow_pod(pod);
        }
    }

    fn follow_pod(&mut self, pod: &Difference<'_, types::PodName, Pod>) {
        for address in [pod.old, pod.new].into_iter().flatten().flat_map(|pod| &pod.addresses) {
            let pods = &mut self.plan.dns.pods;
            match self.pods.last_at(*address) {
                None => drop(pods.remove(address)),
                Some(owner) if pods.get(address) == Some(&owner.namespace) => {}
                Some(owner) => drop(pods.insert(*address, owner.namespace.clone())),
            }
        }
    }
}
