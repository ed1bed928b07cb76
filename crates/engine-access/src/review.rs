//! Access reviews: their questions read, and their answers in the API's form.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::attributes::{Attributes, ResourceAttributes};
use crate::rbac::Verdict;
use crate::rule::PolicyRule;
use crate::user::User;

/// What an access review asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// About whom; `None` in reviews about oneself.
    pub user: Option<User>,
    /// What.
    pub asked: Attributes,
}

/// A review that cannot be answered: the field and the text of the API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct ReviewError {
    /// Field path.
    pub field: String,
    /// `Invalid value: …`.
    pub message: String,
}

/// Reads a `SubjectAccessReview` (with `about_another`) or a `SelfSubjectAccessReview`
/// (upstream: `pkg/apis/authorization/validation`).
///
/// # Errors
/// When it asks for nothing or for two things, or names nobody.
pub fn parse_question(review: &Value, about_another: bool) -> Result<Question, ReviewError> {
    let spec = &review["spec"];
    let error = |field: &str, shown: &str, text: &str| ReviewError {
        field: format!("spec.{field}"),
        message: format!("Invalid value: {shown}: {text}"),
    };
    let resource = spec.get("resourceAttributes").filter(|value| value.is_object());
    let path = spec.get("nonResourceAttributes").filter(|value| value.is_object());
    let asked = match (resource, path) {
        (Some(_), Some(path)) => {
            let text = "cannot be specified in combination with resourceAttributes";
            return Err(error("nonResourceAttributes", &path.to_string(), text));
        }
        (None, None) => {
            let text = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            return Err(error("resourceAttributes", "null", text));
        }
        (Some(resource), None) => Attributes::Resource(ResourceAttributes {
            verb: text(resource, "verb"),
            group: text(resource, "group"),
            resource: text(resource, "resource"),
            subresource: text(resource, "subresource"),
            namespace: text(resource, "namespace"),
            name: text(resource, "name"),
        }),
        (None, Some(path)) => Attributes::Path { verb: text(path, "verb"), path: text(path, "path") },
    };
    if !about_another {
        return Ok(Question { user: None, asked });
    }
    let user = user_of(spec);
    if user.name.is_empty() && user.groups.is_empty() {
        return Err(error("user", "\"\"", "at least one of user or group must be specified"));
    }
    Ok(Question { user: Some(user), asked })
}

/// The user a `SubjectAccessReview` is about.
fn user_of(spec: &Value) -> User {
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let extra = spec["extra"].as_object().into_iter().flatten();
    let extra: BTreeMap<_, _> = extra.map(|(key, values)| (key.to_lowercase(), list(values))).collect();
    User { name: text(spec, "user"), uid: text(spec, "uid"), groups: list(&spec["groups"]), extra }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

/// `SubjectAccessReviewStatus`.
#[must_use]
pub fn status_of(verdict: &Verdict) -> Value {
    let mut status = Map::new();
    status.insert("allowed".to_owned(), json!(verdict.is_allowed()));
    let reason = verdict.reason();
    if !reason.is_empty() {
        status.insert("reason".to_owned(), json!(reason));
    }
    Value::Object(status)
}

/// `SubjectRulesReviewStatus`.
#[must_use]
pub fn rules_status(rules: &[PolicyRule], missing: &[String]) -> Value {
    let (paths, resources): (Vec<_>, Vec<_>) =
        rules.iter().partition(|rule| !rule.non_resource_urls.is_empty());
    let resources: Vec<Value> = resources
        .into_iter()
        .map(|rule| {
            let mut entry =
                json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
            if !rule.resource_names.is_empty() {
                entry["resourceNames"] = json!(rule.resource_names);
            }
            entry
        })
        .collect();
    let paths: Vec<Value> = paths
        .into_iter()
        .map(|rule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}))
        .collect();
    let mut status = json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false});
    if !missing.is_empty() {
        status["evaluationError"] = json!(missing.join(", "));
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions() {
        let attributes = json!({"verb": "get", "resource": "pods", "namespace": "n", "name": "x"});
        let own = parse_question(&json!({"spec": {"resourceAttributes": attributes}}), false).unwrap();
        let Attributes::Resource(asked) = own.asked else { panic!("a resource was asked for") };
        assert_eq!((asked.name.as_str(), asked.namespace.as_str(), own.user), ("x", "n", None));
        let spec = json!({"user": "jane", "groups": ["dev"], "nonResourceAttributes": {"verb": "get", "path": "/x"}});
        let other = parse_question(&json!({"spec": spec}), true).unwrap();
        assert_eq!(other.user.unwrap().groups, ["dev"]);
        assert_eq!(other.asked, Attributes::Path { verb: "get".into(), path: "/x".into() });
    }

    #[test]
    fn questions_that_cannot_be_answered() {
        let one = json!({"verb": "get"});
        for (spec, wanted) in [
            (json!({}), "spec.resourceAttributes: Invalid value: null: exactly one of"),
            (
                json!({"resourceAttributes": one, "nonResourceAttributes": one}),
                "spec.nonResourceAttributes: Invalid value: {\"verb\":\"get\"}: cannot be specified in combination",
            ),
            (
                json!({"resourceAttributes": one}),
                "spec.user: Invalid value: \"\": at least one of user or group",
            ),
        ] {
            let error = parse_question(&json!({"spec": spec}), true).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
    }

    #[test]
    fn rules_of_both_kinds() {
        let rules = PolicyRule::all_of(&json!({"rules": [
            {"apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"], "verbs": ["get"]},
            {"nonResourceURLs": ["/version"], "verbs": ["get"]},
        ]}));
        let status = rules_status(&rules, &["role.rbac.authorization.k8s.io \"x\" not found".to_owned()]);
        assert_eq!(status["resourceRules"][0]["resourceNames"], json!(["x"]));
        assert_eq!(status["nonResourceRules"], json!([{"verbs": ["get"], "nonResourceURLs": ["/version"]}]));
        assert!(status["evaluationError"].as_str().unwrap().contains("not found"));
    }
}
