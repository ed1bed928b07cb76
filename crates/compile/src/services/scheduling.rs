//! Which part of a Service's connections each endpoint gets, as the Service's annotations ask.

use std::collections::BTreeSet;

use model::{Pod, Service, WeightGroup};
use plan::{Backend, Choice, Scheduling, Share};
use types::{LabelSelector, Labels, PodName, SharedMap};

use crate::endpoints::PortEndpoint;

/// How one of these endpoints is chosen.
pub(crate) fn of(
    service: &Service,
    endpoints: &[PortEndpoint<'_>],
    pods: &SharedMap<PodName, Pod>,
) -> Scheduling {
    let asked = &service.scheduling;
    let by = if asked.by_source { Choice::SourceHash } else { Choice::Random };
    let mut members: Vec<BTreeSet<Backend>> = vec![BTreeSet::new(); asked.groups.len()];
    for endpoint in endpoints.iter().filter(|_| !asked.groups.is_empty()) {
        let labels = endpoint.pod.and_then(|pod| pods.get(pod)).map(|pod| &*pod.labels);
        if let Some(index) = group_of(&asked.groups, labels) {
            members[index].insert(endpoint.backend.clone());
        }
    }
    let share = |(group, backends): (&WeightGroup, BTreeSet<Backend>)| Share {
        group: group
            .labels
            .as_ref()
            .map_or("*".to_owned(), |labels| LabelSelector::from_map(labels).to_string()),
        weight: group.weight,
        backends,
    };
    Scheduling { by, shares: asked.groups.iter().zip(members).map(share).collect() }
}

/// The first group that means a Pod with these labels; else the one for all others.
fn group_of(groups: &[WeightGroup], labels: Option<&Labels>) -> Option<usize> {
    let has = |wanted: &Labels| {
        labels.is_some_and(|labels| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
    };
    let named = groups.iter().position(|group| group.labels.as_ref().is_some_and(has));
    named.or_else(|| groups.iter().position(|group| group.labels.is_none()))
}

/// Whether another label of a Pod may change what its Services do with it.
pub(crate) fn minds_labels(service: &Service) -> bool {
    !service.scheduling.groups.is_empty()
}
