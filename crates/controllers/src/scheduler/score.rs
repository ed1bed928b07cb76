//! Which of the Nodes that fit a Pod likes best.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PreferredSchedulingTerm, Toleration, WeightedPodAffinityTerm};

use super::cluster::Cluster;
use super::topology::{Spread, by_domain, group_of_term};
use crate::node_fit::{term_matches, untolerated};

/// The wishes of one Pod, with everything counted that they need.
pub(super) struct Preferences<'a, 'p> {
    pod: &'p Pod,
    tolerations: &'p [Toleration],
    nodes: &'p [PreferredSchedulingTerm],
    /// Weight, topology key and Pods by domain; negative weights keep away.
    pods: Vec<(i64, String, BTreeMap<&'a str, usize>)>,
    spreads: Vec<Spread<'a>>,
}

impl<'a, 'p> Preferences<'a, 'p> {
    pub(super) fn of(cluster: &mut Cluster<'a>, pod: &'p Pod) -> Self {
        let spec = pod.spec.as_ref();
        let affinity = spec.and_then(|spec| spec.affinity.as_ref());
        let nodes = affinity.and_then(|affinity| {
            affinity.node_affinity.as_ref()?.preferred_during_scheduling_ignored_during_execution.as_deref()
        });
        let toward = affinity.and_then(|affinity| {
            affinity.pod_affinity.as_ref()?.preferred_during_scheduling_ignored_during_execution.as_deref()
        });
        let away = affinity.and_then(|affinity| {
            let away = affinity.pod_anti_affinity.as_ref()?;
            away.preferred_during_scheduling_ignored_during_execution.as_deref()
        });
        let mut pods = Vec::new();
        for (sign, terms) in [(1, toward), (-1, away)] {
            let terms = terms.unwrap_or_default().iter();
            pods.extend(terms.filter_map(|term| counted(cluster, pod, sign, term)));
        }
        let constraints = spec.into_iter().flat_map(|spec| spec.topology_spread_constraints.iter().flatten());
        let soft = constraints.filter(|constraint| constraint.when_unsatisfiable == "ScheduleAnyway");
        Self {
            pod,
            tolerations: spec.and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default(),
            nodes: nodes.unwrap_or_default(),
            pods,
            spreads: soft.filter_map(|constraint| Spread::of(cluster, constraint, pod)).collect(),
        }
    }

    /// Lower is better.
    pub(super) fn rank(&self, cluster: &Cluster<'a>, index: usize) -> impl Ord + use<> {
        let state = &cluster.nodes[index];
        let disliked = untolerated(state.node, self.tolerations, &["PreferNoSchedule"]).is_some();
        let preferred = self.nodes.iter().filter(|term| term_matches(&term.preference, state.node));
        let mut liked: i64 = preferred.map(|term| i64::from(term.weight)).sum();
        for (weight, key, domains) in &self.pods {
            let occupied =
                state.domain(key).and_then(|domain| domains.get(domain)).is_some_and(|count| *count > 0);
            liked += if occupied { *weight } else { 0 };
        }
        let crowd: usize = self
            .spreads
            .iter()
            .map(|spread| {
                let domain = state.domain(&spread.key);
                domain.and_then(|domain| spread.domains.get(domain)).copied().unwrap_or(usize::MAX / 64)
            })
            .sum();
        (disliked, Reverse(liked), crowd, state.siblings(self.pod), state.pods, state.name.to_owned())
    }
}

fn counted<'a>(
    cluster: &mut Cluster<'a>,
    pod: &Pod,
    sign: i64,
    term: &WeightedPodAffinityTerm,
) -> Option<(i64, String, BTreeMap<&'a str, usize>)> {
    let group = group_of_term(cluster, &term.pod_affinity_term, pod)?;
    let key = term.pod_affinity_term.topology_key.clone();
    let domains = by_domain(cluster, &group, &key);
    Some((sign * i64::from(term.weight), key, domains))
}
