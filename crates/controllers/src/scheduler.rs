//! Scheduler: which Node each Pod runs on.
//!
//! Honours `nodeSelector`, required node affinity by `matchExpressions` and `matchFields`, taints and tolerations,
//! and cordons; then takes the Node with the fewest Pods of the same controller, then the fewest Pods.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodCondition, PodSpec, Taint, Toleration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use types::{Labels, NodeName};

use crate::owner::{controller_of, is_deleting};
use crate::pod_state::is_finished;
use crate::world::{World, Write, name_of, to_value};

/// Pods per Node and controller, and per Node.
#[derive(Default)]
struct Load {
    by_owner: BTreeMap<(String, String), usize>,
    total: BTreeMap<String, usize>,
}

pub(crate) fn reconcile(world: &World, now: Timestamp) -> Vec<Write> {
    let mut load = Load::default();
    for pod in world.pods.values().filter(|pod| !is_finished(pod)) {
        if let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) {
            load.add(node, pod);
        }
    }
    let mut writes = Vec::new();
    for pod in world.pods.values().filter(|pod| is_unscheduled(pod)) {
        match choose(world, pod, &load) {
            Ok(node) => {
                load.add(&node, pod);
                writes.push(Write::Bind {
                    pod: name_of(&pod.metadata),
                    uid: pod.metadata.uid.clone().unwrap_or_default(),
                    node: NodeName(node),
                });
            }
            Err(reason) => writes.extend(unschedulable(pod, reason, now)),
        }
    }
    writes
}

impl Load {
    fn add(&mut self, node: &str, pod: &Pod) {
        *self.total.entry(node.to_owned()).or_default() += 1;
        if let Some(owner) = controller_of(&pod.metadata) {
            *self.by_owner.entry((node.to_owned(), owner.uid.clone())).or_default() += 1;
        }
    }

    fn rank(&self, node: &str, pod: &Pod) -> (usize, usize, String) {
        let owner = controller_of(&pod.metadata).map(|owner| owner.uid.clone()).unwrap_or_default();
        let siblings = self.by_owner.get(&(node.to_owned(), owner)).copied().unwrap_or(0);
        (siblings, self.total.get(node).copied().unwrap_or(0), node.to_owned())
    }
}

fn is_unscheduled(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let ours = spec.scheduler_name.as_deref().is_none_or(|name| name == "default-scheduler");
    let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    spec.node_name.is_none() && ours && !gated && !is_deleting(&pod.metadata) && !is_finished(pod)
}

/// The best Node, or why there is none, worded as upstream does.
fn choose(world: &World, pod: &Pod, load: &Load) -> Result<String, String> {
    let mut refusals: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut best: Option<(usize, usize, String)> = None;
    for node in world.nodes.values() {
        if let Some(refusal) = refusal(node, pod) {
            *refusals.entry(refusal).or_default() += 1;
            continue;
        }
        let rank = load.rank(node.metadata.name.as_deref().unwrap_or_default(), pod);
        if best.as_ref().is_none_or(|best| rank < *best) {
            best = Some(rank);
        }
    }
    best.map(|(_, _, node)| node).ok_or_else(|| {
        let reasons: Vec<_> = refusals.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        format!("0/{} nodes are available: {}.", world.nodes.len(), reasons.join(", "))
    })
}

fn refusal(node: &Node, pod: &Pod) -> Option<&'static str> {
    let spec = pod.spec.as_ref()?;
    if !is_node_ready(node) {
        return Some("node(s) were not ready");
    }
    let labels = node.metadata.labels.clone().unwrap_or_default();
    let selector = types::LabelSelector::from_map(&spec.node_selector.clone().unwrap_or_default());
    let name = node.metadata.name.as_deref().unwrap_or_default();
    if !selector.matches(&labels) || !has_affinity(spec, &labels, name) {
        return Some("node(s) didn't match Pod's node affinity/selector");
    }
    let node_spec = node.spec.clone().unwrap_or_default();
    if node_spec.unschedulable == Some(true) {
        return Some("node(s) were unschedulable");
    }
    let tolerations = spec.tolerations.clone().unwrap_or_default();
    let repels = |taint: &Taint| {
        matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
            && !tolerations.iter().any(|toleration| tolerates(toleration, taint))
    };
    node_spec.taints.unwrap_or_default().iter().any(repels).then_some("node(s) had untolerated taint(s)")
}

fn is_node_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|conditions| {
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
}

/// Terms are alternatives; the requirements of one term must all hold.
fn has_affinity(spec: &PodSpec, labels: &Labels, node_name: &str) -> bool {
    let required = spec.affinity.as_ref().and_then(|affinity| {
        affinity.node_affinity.as_ref()?.required_during_scheduling_ignored_during_execution.as_ref()
    });
    required.is_none_or(|required| {
        required.node_selector_terms.iter().any(|term| term_matches(term, labels, node_name))
    })
}

fn term_matches(term: &NodeSelectorTerm, labels: &Labels, node_name: &str) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let name = Labels::from([("metadata.name".to_owned(), node_name.to_owned())]);
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|requirement| requirement_matches(requirement, labels))
        && fields.iter().all(|requirement| requirement_matches(requirement, &name))
}

fn requirement_matches(requirement: &NodeSelectorRequirement, labels: &Labels) -> bool {
    let value = labels.get(&requirement.key);
    let values = requirement.values.as_deref().unwrap_or_default();
    let number = |text: &str| text.parse::<i64>().ok();
    let compared = || Some((number(value?)?, number(values.first()?)?));
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => !value.is_some_and(|value| values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared().is_some_and(|(value, bound)| value > bound),
        "Lt" => compared().is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let value_matches = toleration.operator.as_deref() == Some("Exists")
        || toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default();
    let key_matches =
        key == taint.key || (key.is_empty() && toleration.operator.as_deref() == Some("Exists"));
    (effect.is_empty() || effect == taint.effect) && key_matches && value_matches
}

fn unschedulable(pod: &Pod, message: String, now: Timestamp) -> Option<Write> {
    let mut pod = pod.clone();
    let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
    let earlier = conditions.iter().position(|condition| condition.type_ == "PodScheduled");
    if earlier.is_some_and(|index| conditions[index].message.as_deref() == Some(&message)) {
        return None;
    }
    let condition = PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some("Unschedulable".to_owned()),
        message: Some(message),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    };
    match earlier {
        Some(index) => conditions[index] = condition,
        None => conditions.push(condition),
    }
    Some(Write::ReplaceStatus(to_value(&pod)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_world::{at, mk_node, mk_pod, owned_by};

    #[test]
    fn replicas_spread_over_nodes() {
        let mut world = World::default();
        for name in ["node-a", "node-b", "node-c"] {
            world.put(mk_node(name));
        }
        for name in ["web-1", "web-2", "web-3"] {
            let mut pod = owned_by(mk_pod("shop", name), "ReplicaSet", "web", "uid-web");
            pod.spec.as_mut().unwrap().node_name = None;
            world.put(pod);
        }
        let nodes: Vec<_> = reconcile(&world, at(0))
            .into_iter()
            .map(|write| match write {
                Write::Bind { node, .. } => node.0,
                other => panic!("not a binding: {other:?}"),
            })
            .collect();
        assert_eq!(nodes, ["node-a", "node-b", "node-c"]);
    }

    #[test]
    fn a_pod_that_fits_nowhere_says_why_once() {
        let mut world = World::default();
        world.put(mk_node("node-a"));
        let mut pod = mk_pod("shop", "web");
        let spec = pod.spec.as_mut().unwrap();
        spec.node_name = None;
        spec.node_selector = Some(Labels::from([("disk".to_owned(), "fast".to_owned())]));
        world.put(pod);
        let writes = reconcile(&world, at(0));
        let [Write::ReplaceStatus(pod)] = writes.as_slice() else { panic!("one status: {writes:?}") };
        let message = &pod["status"]["conditions"][1]["message"];
        assert_eq!(message, "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.");
        world.put(serde_json::from_value::<Pod>(pod.clone()).unwrap());
        assert_eq!(reconcile(&world, at(9)), []);
    }

    #[test]
    fn taints_repel_unless_tolerated() {
        let taint = Taint { key: "gpu".into(), effect: "NoSchedule".into(), ..Taint::default() };
        let exists = Toleration { operator: Some("Exists".into()), ..Toleration::default() };
        let other = Toleration { key: Some("cpu".into()), ..exists.clone() };
        assert!(tolerates(&exists, &taint));
        assert!(!tolerates(&other, &taint));
    }
}
