//! ClusterRoles whose rules are those of other ClusterRoles, chosen by labels (`aggregationRule`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use types::{LabelSelector, Labels, Operator, Requirement};

use crate::rule::PolicyRule;

/// The rules an aggregating ClusterRole must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregated {
    /// The ClusterRole.
    pub name: String,
    /// Its rules.
    pub rules: Vec<PolicyRule>,
}

/// A ClusterRole, read.
struct Role {
    labels: Labels,
    rules: Vec<PolicyRule>,
    /// `None` where its rules are its own.
    selectors: Option<Vec<LabelSelector>>,
}

/// The aggregating ClusterRoles whose rules are not what they should be (upstream: controller
/// `clusterroleaggregation`, which comes to the same in several steps).
#[must_use]
pub fn aggregated<'a>(cluster_roles: impl IntoIterator<Item = &'a Value>) -> Vec<Aggregated> {
    let roles: BTreeMap<&str, Role> = cluster_roles
        .into_iter()
        .filter_map(|object| Some((object["metadata"]["name"].as_str()?, Role::of(object))))
        .collect();
    let aggregating = roles.iter().filter(|(_, role)| role.selectors.is_some());
    let wanted = aggregating.map(|(name, role)| {
        let mut rules = Vec::new();
        collect(&roles, name, &mut BTreeSet::new(), &mut rules);
        (name, role, rules)
    });
    wanted
        .filter(|(_, role, rules)| role.rules != *rules)
        .map(|(name, _, rules)| Aggregated { name: (*name).to_owned(), rules })
        .collect()
}

/// Adds the rules of a role, following aggregation, in the order of names; each rule and each role once.
fn collect<'a>(
    roles: &'a BTreeMap<&str, Role>,
    name: &'a str,
    seen: &mut BTreeSet<&'a str>,
    rules: &mut Vec<PolicyRule>,
) {
    if !seen.insert(name) {
        return;
    }
    let Some(role) = roles.get(name) else { return };
    let Some(selectors) = &role.selectors else {
        for rule in &role.rules {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
        return;
    };
    for (other, candidate) in roles {
        if selectors.iter().any(|selector| selector.matches(&candidate.labels)) {
            collect(roles, other, seen, rules);
        }
    }
}

impl Role {
    fn of(object: &Value) -> Self {
        let selectors = object.pointer("/aggregationRule").filter(|rule| !rule.is_null()).map(|rule| {
            let selectors = rule.get("clusterRoleSelectors").and_then(Value::as_array);
            selectors.into_iter().flatten().map(label_selector).collect()
        });
        Self { labels: strings(&object["metadata"]["labels"]), rules: PolicyRule::all_of(object), selectors }
    }
}

/// `meta/v1 LabelSelector`; what is absent selects everything.
#[must_use]
pub fn label_selector(value: &Value) -> LabelSelector {
    let mut selector = LabelSelector::from_map(&strings(&value["matchLabels"]));
    let expressions = value["matchExpressions"].as_array().into_iter().flatten();
    selector.requirements.extend(expressions.filter_map(|expression| {
        let operator = match expression["operator"].as_str()? {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => return None,
        };
        let values = expression["values"].as_array().into_iter().flatten();
        Some(Requirement {
            key: expression["key"].as_str()?.to_owned(),
            operator,
            values: values.filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    }));
    selector
}

fn strings(value: &Value) -> Labels {
    let entries = value.as_object().into_iter().flatten();
    entries.filter_map(|(key, text)| Some((key.clone(), text.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mk_role(name: &str, labels: &Value, verb: &str) -> Value {
        let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}]);
        json!({"metadata": {"name": name, "labels": labels}, "rules": rules})
    }

    fn mk_aggregating(name: &str, labels: &Value, label: &str) -> Value {
        let rule = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
        json!({"metadata": {"name": name, "labels": labels}, "aggregationRule": rule, "rules": null})
    }

    #[test]
    fn rules_come_through_every_level_and_once() {
        let mut objects = vec![
            mk_aggregating("admin", &json!({}), "to-admin"),
            mk_aggregating("edit", &json!({"to-admin": "true"}), "to-edit"),
            mk_role("editing", &json!({"to-edit": "true"}), "create"),
            mk_role("reading", &json!({"to-edit": "true", "to-admin": "true"}), "get"),
            mk_role("other", &json!({}), "delete"),
        ];
        let found = aggregated(&objects);
        let verbs: Vec<(&str, Vec<&str>)> = found
            .iter()
            .map(|one| {
                (
                    one.name.as_str(),
                    one.rules.iter().flat_map(|rule| &rule.verbs).map(String::as_str).collect(),
                )
            })
            .collect();
        assert_eq!(verbs, [("admin", vec!["create", "get"]), ("edit", vec!["create", "get"])]);
        for one in &found {
            let role = objects.iter_mut().find(|object| object["metadata"]["name"] == one.name.as_str());
            role.unwrap()["rules"] = json!(one.rules);
        }
        assert_eq!(aggregated(&objects), []);
    }

    #[test]
    fn roles_that_choose_each_other_end() {
        let objects = [
            mk_aggregating("a", &json!({"to-b": "true"}), "to-a"),
            mk_aggregating("b", &json!({"to-a": "true"}), "to-b"),
        ];
        assert_eq!(aggregated(&objects), []);
    }

    #[test]
    fn expressions_choose_too() {
        let mut chooser = mk_aggregating("a", &json!({}), "unused");
        chooser["aggregationRule"]["clusterRoleSelectors"] =
            json!([{"matchExpressions": [{"key": "tier", "operator": "In", "values": ["x"]}]}]);
        let objects = [
            chooser,
            mk_role("b", &json!({"tier": "x"}), "get"),
            mk_role("c", &json!({"tier": "y"}), "list"),
        ];
        let found = aggregated(&objects);
        assert_eq!(found[0].rules.len(), 1);
        assert_eq!(found[0].rules[0].verbs, ["get"]);
    }
}
