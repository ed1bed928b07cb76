//! Whether a Pod may run on a Node: selector, affinity, taints
//! (upstream: `k8s.io/component-helpers/scheduling/corev1`).

use k8s_openapi::api::core::v1::{
    Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration,
};
use types::Labels;

/// Taint of a Node that `kubectl cordon` has marked (`TaintNodeUnschedulable`).
pub(crate) const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Whether `spec.nodeSelector` and required node affinity select the Node.
pub(crate) fn is_selected(spec: &PodSpec, node: &Node) -> bool {
    let empty = Labels::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    let selector = spec.node_selector.iter().flatten();
    let mut pairs = selector.map(|(key, value)| labels.get(key) == Some(value));
    pairs.all(|matches| matches) && has_affinity(spec, node)
}

/// Terms are alternatives; the requirements of one term must all hold.
fn has_affinity(spec: &PodSpec, node: &Node) -> bool {
    let required = spec.affinity.as_ref().and_then(|affinity| {
        affinity.node_affinity.as_ref()?.required_during_scheduling_ignored_during_execution.as_ref()
    });
    required.is_none_or(|required| required.node_selector_terms.iter().any(|term| term_matches(term, node)))
}

/// Whether all requirements of a term hold; a term without any selects nothing.
pub(crate) fn term_matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let empty = Labels::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let name = node.metadata.name.clone().unwrap_or_default();
    let name = Labels::from([("metadata.name".to_owned(), name)]);
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

/// The first taint with one of these effects that no toleration covers.
pub(crate) fn untolerated<'a>(
    node: &'a Node,
    tolerations: &[Toleration],
    effects: &[&str],
) -> Option<&'a Taint> {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let mut taints = taints.filter(|taint| effects.contains(&taint.effect.as_str()));
    taints.find(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

/// Whether a cordon keeps a Pod with these tolerations away.
pub(crate) fn is_cordoned_for(node: &Node, tolerations: &[Toleration]) -> bool {
    let cordon = Taint { key: UNSCHEDULABLE.into(), effect: "NoSchedule".into(), ..Taint::default() };
    let cordoned = node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true));
    cordoned && !tolerations.iter().any(|toleration| tolerates(toleration, &cordon))
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

/// Whether the kubelet of the Node reports itself ready.
pub(crate) fn is_node_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_world::mk_node;

    #[test]
    fn taints_repel_unless_tolerated() {
        let taint = Taint { key: "gpu".into(), effect: "NoSchedule".into(), ..Taint::default() };
        let exists = Toleration { operator: Some("Exists".into()), ..Toleration::default() };
        let other = Toleration { key: Some("cpu".into()), ..exists.clone() };
        assert!(tolerates(&exists, &taint));
        assert!(!tolerates(&other, &taint));
        let mut node = mk_node("node-a");
        node.spec.get_or_insert_default().taints = Some(vec![taint]);
        assert!(untolerated(&node, &[other], &["NoSchedule"]).is_some());
        assert!(untolerated(&node, &[], &["NoExecute"]).is_none());
    }

    #[test]
    fn a_cordon_is_a_taint_that_can_be_tolerated() {
        let mut node = mk_node("node-a");
        node.spec.get_or_insert_default().unschedulable = Some(true);
        assert!(is_cordoned_for(&node, &[]));
        let toleration = Toleration {
            key: Some(UNSCHEDULABLE.into()),
            operator: Some("Exists".into()),
            ..Toleration::default()
        };
        assert!(!is_cordoned_for(&node, &[toleration]));
    }
}
