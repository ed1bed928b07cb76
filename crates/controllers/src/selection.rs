//! Label selectors of typed objects.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector as ApiSelector, ObjectMeta};
use types::{LabelSelector, Operator, Requirement};

/// Our form of an API selector; `None` when it holds an operator that does not exist (the API refuses those).
pub(crate) fn lower_selector(selector: &ApiSelector) -> Option<LabelSelector> {
    let mut lowered = LabelSelector::from_map(&selector.match_labels.clone().unwrap_or_default());
    for requirement in selector.match_expressions.iter().flatten() {
        let operator = match requirement.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => return None,
        };
        let values = requirement.values.clone().unwrap_or_default();
        lowered.requirements.push(Requirement { key: requirement.key.clone(), operator, values });
    }
    Some(lowered)
}

/// Whether the selector selects an object with this metadata.
pub(crate) fn selects(selector: &LabelSelector, meta: &ObjectMeta) -> bool {
    meta.labels
        .as_ref()
        .map_or_else(|| selector.matches(&types::Labels::new()), |labels| selector.matches(labels))
}
