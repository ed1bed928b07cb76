//! Pods counted by topology: which other Pods a rule means, and how many there are in each domain.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector as ApiSelector;
use types::{LabelSelector, Operator, Requirement};

use super::cluster::{Cluster, Group};
use crate::node_fit::{is_selected, untolerated};
use crate::selection::{lower_selector, selects};

/// The Pods that a term means when `pod` has it; none when it means nothing.
pub(super) fn group_of_term(cluster: &Cluster<'_>, term: &PodAffinityTerm, pod: &Pod) -> Option<Group> {
    let mut selector = lowered(term.label_selector.as_ref()?, term.match_label_keys.as_deref(), pod)?;
    for key in term.mismatch_label_keys.iter().flatten() {
        selector.requirements.extend(label_of(pod, key, Operator::NotIn));
    }
    let mut namespaces = term.namespaces.clone().unwrap_or_default();
    match &term.namespace_selector {
        None if namespaces.is_empty() => namespaces.extend(pod.metadata.namespace.clone()),
        None => {}
        Some(chosen) => {
            let chosen = lower_selector(chosen)?;
            if chosen.requirements.is_empty() {
                return Some(Group { namespaces: None, selector });
            }
            let matching = cluster.namespaces.values().filter(|space| selects(&chosen, &space.metadata));
            namespaces.extend(matching.filter_map(|space| space.metadata.name.clone()));
        }
    }
    namespaces.sort();
    namespaces.dedup();
    Some(Group { namespaces: Some(namespaces), selector })
}

fn lowered(selector: &ApiSelector, keys: Option<&[String]>, pod: &Pod) -> Option<LabelSelector> {
    let mut selector = lower_selector(selector)?;
    for key in keys.unwrap_or_default() {
        selector.requirements.extend(label_of(pod, key, Operator::In));
    }
    Some(selector)
}

fn label_of(pod: &Pod, key: &str, operator: Operator) -> Option<Requirement> {
    let value = pod.metadata.labels.as_ref()?.get(key)?.clone();
    Some(Requirement { key: key.to_owned(), operator, values: vec![value] })
}

/// Pods of a group by the value of a topology label.
pub(super) fn by_domain<'a>(cluster: &mut Cluster<'a>, group: &Group, key: &str) -> BTreeMap<&'a str, usize> {
    let mut domains = BTreeMap::new();
    for (index, count) in cluster.count(group).into_iter().enumerate() {
        if let Some(domain) = cluster.nodes[index].domain(key) {
            *domains.entry(domain).or_default() += count;
        }
    }
    domains
}

/// A spread constraint, counted.
pub(super) struct Spread<'a> {
    pub(super) key: String,
    pub(super) domains: BTreeMap<&'a str, usize>,
    max_skew: i64,
    min_domains: usize,
    /// 1 when the Pod counts itself.
    own: i64,
}

impl<'a> Spread<'a> {
    /// None when the constraint selects nothing.
    pub(super) fn of(
        cluster: &mut Cluster<'a>,
        constraint: &TopologySpreadConstraint,
        pod: &Pod,
    ) -> Option<Self> {
        let selector =
            lowered(constraint.label_selector.as_ref()?, constraint.match_label_keys.as_deref(), pod)?;
        let own = i64::from(selects(&selector, &pod.metadata));
        let namespaces = Some(pod.metadata.namespace.iter().cloned().collect());
        let counts = cluster.count(&Group { namespaces, selector });
        let mut domains: BTreeMap<&'a str, usize> = BTreeMap::new();
        for (index, count) in counts.into_iter().enumerate() {
            let node = &cluster.nodes[index];
            if let Some(domain) =
                node.domain(&constraint.topology_key).filter(|_| is_eligible(node.node, constraint, pod))
            {
                *domains.entry(domain).or_default() += count;
            }
        }
        Some(Self {
            key: constraint.topology_key.clone(),
            domains,
            max_skew: constraint.max_skew.into(),
            min_domains: constraint.min_domains.and_then(|count| count.try_into().ok()).unwrap_or(1),
            own,
        })
    }

    /// Whether one more Pod in this domain keeps the difference within bounds.
    pub(super) fn allows(&self, domain: &str) -> bool {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let fewest = self.domains.values().min().copied().unwrap_or(0);
        let fewest = if self.domains.len() < self.min_domains { 0 } else { number(fewest) };
        let here = number(self.domains.get(domain).copied().unwrap_or(0));
        here + self.own - fewest <= self.max_skew
    }
}

/// Whether a Node's Pods count (`nodeAffinityPolicy`, `nodeTaintsPolicy`; KEP-3094).
fn is_eligible(
    node: &k8s_openapi::api::core::v1::Node,
    constraint: &TopologySpreadConstraint,
    pod: &Pod,
) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let by_affinity = constraint.node_affinity_policy.as_deref() == Some("Ignore") || is_selected(spec, node);
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let by_taints = constraint.node_taints_policy.as_deref() != Some("Honor")
        || untolerated(node, tolerations, &["NoSchedule", "NoExecute"]).is_none();
    by_affinity && by_taints
}
