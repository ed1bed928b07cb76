//! Conditions of ours in an object's status, as far as they decide what is written there next.
//!
//! Those of others are left out: nothing here depends on them, and a kubelet renews its own all the time.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::NodeCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as MetaCondition, Time};

/// Prefix of the types of our conditions.
const DOMAIN: &str = "sealane.dev/";

/// Our conditions by type.
pub type Conditions = BTreeMap<String, Condition>;

/// One of `status.conditions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `status`: `True`, `False` or `Unknown`.
    pub status: String,
    /// `reason`.
    pub reason: String,
    /// `message`.
    pub message: String,
    /// `lastTransitionTime`, in seconds since the epoch; 0 when there is none.
    pub last_transition: i64,
}

pub(crate) fn lower_conditions(conditions: Option<&Vec<MetaCondition>>) -> Conditions {
    let ours = conditions.into_iter().flatten().filter(|condition| condition.type_.starts_with(DOMAIN));
    ours.map(|condition| {
        let lowered = Condition {
            status: condition.status.clone(),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            last_transition: seconds(Some(&condition.last_transition_time)),
        };
        (condition.type_.clone(), lowered)
    })
    .collect()
}

pub(crate) fn lower_node_conditions(conditions: Option<&Vec<NodeCondition>>) -> Conditions {
    let ours = conditions.into_iter().flatten().filter(|condition| condition.type_.starts_with(DOMAIN));
    ours.map(|condition| {
        let lowered = Condition {
            status: condition.status.clone(),
            reason: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
            last_transition: seconds(condition.last_transition_time.as_ref()),
        };
        (condition.type_.clone(), lowered)
    })
    .collect()
}

fn seconds(time: Option<&Time>) -> i64 {
    time.map_or(0, |time| time.0.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_conditions_of_ours_are_seen() {
        let conditions = json!([
            { "type": "LoadBalancerPortsError", "status": "True", "reason": "a", "message": "b",
              "lastTransitionTime": "2023-11-14T22:13:20Z" },
            { "type": "sealane.dev/Degraded", "status": "True", "reason": "AddressConflict", "message": "taken",
              "lastTransitionTime": "2023-11-14T22:13:20Z" },
        ]);
        let expected = Condition {
            status: "True".to_owned(),
            reason: "AddressConflict".to_owned(),
            message: "taken".to_owned(),
            last_transition: 1_700_000_000,
        };
        let expected = Conditions::from([("sealane.dev/Degraded".to_owned(), expected)]);
        let of_service: Vec<MetaCondition> = serde_json::from_value(conditions.clone()).expect("conditions");
        assert_eq!(lower_conditions(Some(&of_service)), expected);
        let of_node: Vec<NodeCondition> = serde_json::from_value(conditions).expect("conditions");
        assert_eq!(lower_node_conditions(Some(&of_node)), expected);
        assert_eq!(lower_conditions(None), Conditions::new());
    }
}
