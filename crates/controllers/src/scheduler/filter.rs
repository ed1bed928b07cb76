//! Which Nodes are out of the question for a Pod, and why, in upstream's words
//! (`pkg/scheduler/framework/plugins`).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm, PodSpec};

use super::cluster::{Cluster, NodeState};
use super::host_ports::{HostPort, host_ports};
use super::resources::{Resources, requests};
use super::topology::{Spread, by_domain, group_of_term};
use crate::node_fit::{is_cordoned_for, is_node_ready, is_selected, untolerated};

/// The rules of one Pod, with everything counted that they need.
pub(super) struct Filters<'a, 'p> {
    spec: Option<&'p PodSpec>,
    requests: Resources,
    host_ports: Vec<HostPort<'p>>,
    spreads: Vec<Spread<'a>>,
    /// Topology key and domains where this Pod may not be.
    avoided: Vec<(String, BTreeSet<&'a str>)>,
    /// Topology key and domains where this Pod must be; none when it may begin anywhere that has the key.
    sought: Vec<(String, Option<BTreeSet<&'a str>>)>,
    /// Topology key and domain that Pods which are there keep to themselves.
    guarded: BTreeSet<(String, &'a str)>,
}

impl<'a, 'p> Filters<'a, 'p> {
    pub(super) fn of(cluster: &mut Cluster<'a>, pod: &'p Pod) -> Self {
        let spec = pod.spec.as_ref();
        let constraints = spec.into_iter().flat_map(|spec| spec.topology_spread_constraints.iter().flatten());
        let hard = constraints.filter(|constraint| constraint.when_unsatisfiable == "DoNotSchedule");
        let spreads = hard.filter_map(|constraint| Spread::of(cluster, constraint, pod)).collect();
        let affinity = spec.and_then(|spec| spec.affinity.as_ref());
        let toward = affinity
            .and_then(|affinity| affinity.pod_affinity.as_ref())
            .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_deref());
        let away = affinity
            .and_then(|affinity| affinity.pod_anti_affinity.as_ref())
            .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_deref());
        Self {
            spec,
            requests: requests(pod),
            host_ports: host_ports(pod).collect(),
            spreads,
            avoided: away.unwrap_or_default().iter().map(|term| avoided(cluster, term, pod)).collect(),
            sought: toward.unwrap_or_default().iter().map(|term| sought(cluster, term, pod)).collect(),
            guarded: guarded(cluster, pod),
        }
    }

    /// Every reason of the first rule that this Node breaks; empty when it fits.
    pub(super) fn refusals(&self, cluster: &Cluster<'a>, index: usize) -> Vec<String> {
        let state = &cluster.nodes[index];
        let Some(spec) = self.spec else { return vec!["node(s) cannot run a Pod without a spec".to_owned()] };
        if let Some(reason) = refused_by_node(spec, state) {
            return vec![reason.to_owned()];
        }
        if self.host_ports.iter().any(|port| state.host_ports.iter().any(|taken| taken.meets(port))) {
            return vec!["node(s) didn't have free ports for the requested pod ports".to_owned()];
        }
        let short = self.insufficient(state);
        if !short.is_empty() {
            return short;
        }
        self.refused_by_pods(state).map(str::to_owned).into_iter().collect()
    }

    fn insufficient(&self, state: &NodeState<'_>) -> Vec<String> {
        let mut reasons = Vec::new();
        let room = |name: &str| state.allocatable.get(name).copied().unwrap_or(0);
        let pods = i128::try_from(state.pods).unwrap_or(i128::MAX).saturating_add(1);
        if state.allocatable.contains_key("pods") && pods.saturating_mul(1_000_000_000) > room("pods") {
            reasons.push("Too many pods".to_owned());
        }
        for (name, amount) in self.requests.iter().filter(|(_, amount)| **amount > 0) {
            if state.used.get(name).copied().unwrap_or(0) + amount > room(name) {
                reasons.push(format!("Insufficient {name}"));
            }
        }
        reasons
    }

    fn refused_by_pods(&self, state: &NodeState<'a>) -> Option<&'static str> {
        for spread in &self.spreads {
            match state.domain(&spread.key) {
                None => {
                    return Some(
                        "node(s) didn't match pod topology spread constraints (missing required label)",
                    );
                }
                Some(domain) if !spread.allows(domain) => {
                    return Some("node(s) didn't match pod topology spread constraints");
                }
                Some(_) => {}
            }
        }
        let is_sought = |(key, domains): &(String, Option<BTreeSet<&str>>)| {
            let domain = state.domain(key);
            domain.is_some_and(|domain| domains.as_ref().is_none_or(|domains| domains.contains(domain)))
        };
        if !self.sought.iter().all(is_sought) {
            return Some("node(s) didn't match pod affinity rules");
        }
        let is_avoided = |(key, domains): &(String, BTreeSet<&str>)| {
            state.domain(key).is_some_and(|domain| domains.contains(domain))
        };
        if self.avoided.iter().any(is_avoided) {
            return Some("node(s) didn't match pod anti-affinity rules");
        }
        let is_guarded = self.guarded.iter().any(|(key, domain)| state.domain(key) == Some(*domain));
        is_guarded.then_some("node(s) didn't satisfy existing pods anti-affinity rules")
    }
}

fn refused_by_node(spec: &PodSpec, state: &NodeState<'_>) -> Option<&'static str> {
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    if !is_node_ready(state.node) {
        return Some("node(s) were not ready");
    }
    if is_cordoned_for(state.node, tolerations) {
        return Some("node(s) were unschedulable");
    }
    if untolerated(state.node, tolerations, &["NoSchedule", "NoExecute"]).is_some() {
        return Some("node(s) had untolerated taint(s)");
    }
    (!is_selected(spec, state.node)).then_some("node(s) didn't match Pod's node affinity/selector")
}

fn occupied(domains: BTreeMap<&str, usize>) -> BTreeSet<&str> {
    domains.into_iter().filter(|(_, count)| *count > 0).map(|(domain, _)| domain).collect()
}

fn avoided<'a>(cluster: &mut Cluster<'a>, term: &PodAffinityTerm, pod: &Pod) -> (String, BTreeSet<&'a str>) {
    let key = term.topology_key.clone();
    let group = group_of_term(cluster, term, pod);
    let domains = group.map(|group| occupied(by_domain(cluster, &group, &key))).unwrap_or_default();
    (key, domains)
}

fn sought<'a>(
    cluster: &mut Cluster<'a>,
    term: &PodAffinityTerm,
    pod: &Pod,
) -> (String, Option<BTreeSet<&'a str>>) {
    let key = term.topology_key.clone();
    let Some(group) = group_of_term(cluster, term, pod) else { return (key, Some(BTreeSet::new())) };
    let domains = occupied(by_domain(cluster, &group, &key));
    // The first of a group that wants to be together has nobody to join.
    let begins = domains.is_empty() && group.has(pod);
    (key, (!begins).then_some(domains))
}

fn guarded<'a>(cluster: &Cluster<'a>, pod: &Pod) -> BTreeSet<(String, &'a str)> {
    let mut guarded = BTreeSet::new();
    for (index, holder) in &cluster.jealous {
        let affinity =
            holder.spec.as_ref().and_then(|spec| spec.affinity.as_ref()?.pod_anti_affinity.as_ref());
        let terms = affinity
            .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
        for term in terms.into_iter().flatten() {
            let means = group_of_term(cluster, term, holder).is_some_and(|group| group.has(pod));
            if let Some(domain) = cluster.nodes[*index].domain(&term.topology_key).filter(|_| means) {
                guarded.insert((term.topology_key.clone(), domain));
            }
        }
    }
    guarded
}
