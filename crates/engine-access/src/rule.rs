//! One rule of a role, and what it matches (apiserver `pkg/apis/rbac/v1/evaluation_helpers.go`).

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::attributes::Attributes;

/// What stands for everything in each list of a rule (`rbac.VerbAll`, `APIGroupAll`, `ResourceAll`).
pub(crate) const ALL: &str = "*";

/// `rbac.authorization.k8s.io/v1 PolicyRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    /// API groups; the core group is the empty text.
    #[serde(deserialize_with = "or_empty", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// Resources, such as `pods`, `pods/log`, `*/scale`.
    #[serde(deserialize_with = "or_empty", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Names of objects; empty for all.
    #[serde(deserialize_with = "or_empty", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// Paths that are no resources; a `*` at the end stands for any rest.
    #[serde(
        rename = "nonResourceURLs",
        deserialize_with = "or_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub non_resource_urls: Vec<String>,
    /// Verbs.
    #[serde(deserialize_with = "or_empty")]
    pub verbs: Vec<String>,
}

/// The API takes null for an empty list.
fn or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl PolicyRule {
    /// The rules of a role; what is no list of rules is none.
    pub(crate) fn all_of(role: &Value) -> Vec<Self> {
        let rules = role.get("rules").filter(|rules| !rules.is_null());
        rules.and_then(|rules| Vec::<Self>::deserialize(rules).ok()).unwrap_or_default()
    }

    /// Whether the rule allows it.
    #[must_use]
    pub fn allows(&self, asked: &Attributes) -> bool {
        match asked {
            Attributes::Path { verb, path } => self.has_verb(verb) && self.has_url(path),
            Attributes::Resource(asked) => {
                self.has_verb(&asked.verb)
                    && has(&self.api_groups, &asked.group)
                    && self.has_resource(&asked.combined(), &asked.subresource)
                    && (self.resource_names.is_empty() || self.resource_names.contains(&asked.name))
            }
        }
    }

    fn has_verb(&self, verb: &str) -> bool {
        has(&self.verbs, verb)
    }

    fn has_resource(&self, combined: &str, subresource: &str) -> bool {
        has(&self.resources, combined)
            || !subresource.is_empty()
                && self.resources.iter().any(|own| own.strip_prefix("*/") == Some(subresource))
    }

    fn has_url(&self, path: &str) -> bool {
        self.non_resource_urls.iter().any(|own| url_covers(own, path))
    }
}

/// Whether a path of a rule stands for a path.
pub(crate) fn url_covers(own: &str, path: &str) -> bool {
    own == ALL || own == path || own.ends_with('*') && path.starts_with(own.trim_end_matches('*'))
}

fn has(own: &[String], one: &str) -> bool {
    own.iter().any(|own| own == ALL || own == one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::attributes::ResourceAttributes;

    fn mk_rule(rule: Value) -> PolicyRule {
        PolicyRule::all_of(&json!({"rules": [rule]})).remove(0)
    }

    /// `verb group/resource/subresource:name`.
    fn mk_asked(text: &str) -> Attributes {
        let (verb, rest) = text.split_once(' ').unwrap();
        let (path, name) = rest.split_once(':').unwrap_or((rest, ""));
        let mut parts = path.split('/').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        Attributes::Resource(ResourceAttributes {
            verb: verb.into(),
            group: part(),
            resource: part(),
            subresource: part(),
            name: name.into(),
            namespace: "n".into(),
        })
    }

    #[test]
    fn resources() {
        let truth = [
            (
                json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}),
                "get apps/deployments/scale:x",
                true,
            ),
            (json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}), "get /pods", true),
            (json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}), "get /pods:x", true),
            (json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}), "list /pods", false),
            (json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}), "get apps/pods", false),
            (json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}), "get /pods/log", false),
            (json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]}), "get /pods/log", true),
            (json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]}), "get /pods", false),
            (
                json!({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*/scale"]}),
                "get apps/deployments/scale",
                true,
            ),
            (
                json!({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*/scale"]}),
                "get apps/deployments/status",
                false,
            ),
            (
                json!({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*/scale"]}),
                "get apps/deployments",
                false,
            ),
            (
                json!({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["deployments/*"]}),
                "get apps/deployments/scale",
                false,
            ),
            (
                json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"]}),
                "get /pods:x",
                true,
            ),
            (
                json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"]}),
                "get /pods:y",
                false,
            ),
            (
                json!({"verbs": ["list"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"]}),
                "list /pods",
                false,
            ),
            (json!({"verbs": null, "apiGroups": [""], "resources": ["pods"]}), "get /pods", false),
            (json!({"verbs": ["get"], "nonResourceURLs": ["*"]}), "get /pods", false),
        ];
        for (rule, asked, wanted) in truth {
            assert_eq!(mk_rule(rule.clone()).allows(&mk_asked(asked)), wanted, "{rule} {asked}");
        }
    }

    #[test]
    fn paths() {
        let truth = [
            ("*", "/anything", true),
            ("/healthz", "/healthz", true),
            ("/healthz", "/healthz/ping", false),
            ("/api/*", "/api/v1", true),
            ("/api/*", "/api", false),
            ("/apis*", "/apis/apps", true),
            ("/a*b", "/axb", false),
        ];
        for (own, path, wanted) in truth {
            let rule = mk_rule(json!({"verbs": ["get"], "nonResourceURLs": [own]}));
            let asked = |verb: &str| Attributes::Path { verb: verb.into(), path: path.into() };
            assert_eq!(rule.allows(&asked("get")), wanted, "{own} {path}");
            assert!(!rule.allows(&asked("post")));
        }
    }

    #[test]
    fn a_role_without_rules_allows_nothing() {
        assert_eq!(PolicyRule::all_of(&json!({"rules": null})), []);
        assert_eq!(PolicyRule::all_of(&json!({})), []);
    }
}
