//! Nobody gives what they do not have: whether rules are covered by other rules.
//!
//! Upstream: `component-helpers/auth/rbac/validation` and `pkg/registry/rbac/validation`.

use std::collections::{BTreeMap, BTreeSet};

use crate::rule::{ALL, PolicyRule, url_covers};
use crate::user::User;

/// An attempt to grant more than one has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "user {user:?} (groups={groups}) is attempting to grant RBAC permissions not currently held:\n{missing}{unresolved}"
)]
pub struct Escalation {
    user: String,
    groups: String,
    missing: String,
    unresolved: String,
}

/// Refuses unless the user's own rules cover what is granted; `unresolved` are roles of the user that are not there.
///
/// # Errors
/// With what is missing.
pub fn escalation(
    user: &User,
    own: &[PolicyRule],
    granted: &[PolicyRule],
    unresolved: &[String],
) -> Result<(), Escalation> {
    let missing = covers(own, granted);
    if missing.is_empty() {
        return Ok(());
    }
    let unresolved = match unresolved {
        [] => String::new(),
        [one] => format!("; resolution errors: [{one}]"),
        many => format!("; resolution errors: [[{}]]", many.join(", ")),
    };
    Err(Escalation {
        user: user.name.clone(),
        groups: quoted(&user.groups),
        missing: missing
            .iter()
            .map(compact_text)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
            .join("\n"),
        unresolved,
    })
}

/// What of `granted` is not in `own`; rules for the same objects are one, with all missing verbs.
#[must_use]
pub fn covers(own: &[PolicyRule], granted: &[PolicyRule]) -> Vec<PolicyRule> {
    let missing =
        granted.iter().flat_map(broken_down).filter(|one| !own.iter().any(|rule| covers_one(rule, one)));
    let mut together: BTreeMap<PolicyRule, Vec<String>> = BTreeMap::new();
    for mut one in missing {
        let verbs = std::mem::take(&mut one.verbs);
        together.entry(one).or_default().extend(verbs);
    }
    together.into_iter().map(|(rule, verbs)| PolicyRule { verbs, ..rule }).collect()
}

/// Rules of one verb on one thing that together say the same.
fn broken_down(rule: &PolicyRule) -> Vec<PolicyRule> {
    let one = |text: &String| vec![text.clone()];
    let mut simple = Vec::new();
    for verb in &rule.verbs {
        for url in &rule.non_resource_urls {
            simple.push(PolicyRule {
                non_resource_urls: one(url),
                verbs: one(verb),
                ..PolicyRule::default()
            });
        }
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let base = PolicyRule {
                    api_groups: one(group),
                    resources: one(resource),
                    verbs: one(verb),
                    ..PolicyRule::default()
                };
                if rule.resource_names.is_empty() {
                    simple.push(base);
                } else {
                    let named = rule.resource_names.iter();
                    simple.extend(named.map(|name| PolicyRule { resource_names: one(name), ..base.clone() }));
                }
            }
        }
    }
    simple
}

/// Whether a rule covers a simple one.
fn covers_one(own: &PolicyRule, simple: &PolicyRule) -> bool {
    let within = |own: &[String], wanted: &[String]| {
        own.iter().any(|one| one == ALL) || wanted.iter().all(|one| own.contains(one))
    };
    let names = own.resource_names.is_empty()
        || !simple.resource_names.is_empty()
            && simple.resource_names.iter().all(|name| own.resource_names.contains(name));
    let resource = |wanted: &String| {
        let any_kind = wanted.split_once('/').map(|(_, part)| format!("*/{part}"));
        own.resources.iter().any(|own| own == ALL || own == wanted || Some(own) == any_kind.as_ref())
    };
    let url = |wanted: &String| own.non_resource_urls.iter().any(|own| url_covers(own, wanted));
    within(&own.verbs, &simple.verbs)
        && within(&own.api_groups, &simple.api_groups)
        && simple.resources.iter().all(resource)
        && simple.non_resource_urls.iter().all(url)
        && names
}

/// `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`, as upstream writes rules into messages.
fn compact_text(rule: &PolicyRule) -> String {
    let parts = [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.non_resource_urls),
        ("ResourceNames", &rule.resource_names),
        ("Verbs", &rule.verbs),
    ];
    let parts = parts.iter().filter(|(_, list)| !list.is_empty());
    let parts: Vec<String> = parts.map(|(name, list)| format!("{name}:{}", quoted(list))).collect();
    format!("{{{}}}", parts.join(", "))
}

/// A list as Go's `%q` prints it.
fn quoted(list: &[String]) -> String {
    let texts: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", texts.join(" "))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn mk(rules: &Value) -> Vec<PolicyRule> {
        PolicyRule::all_of(&json!({"rules": rules}))
    }

    #[test]
    fn what_is_covered() {
        let pods = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]);
        let all = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
        let named =
            json!([{"apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"], "verbs": ["get"]}]);
        let scales = json!([{"apiGroups": ["apps"], "resources": ["*/scale"], "verbs": ["get"]}]);
        let scale = json!([{"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get"]}]);
        let api = json!([{"nonResourceURLs": ["/api/*"], "verbs": ["get"]}]);
        let path = json!([{"nonResourceURLs": ["/api/v1"], "verbs": ["get"]}]);
        for (own, granted, wanted) in [
            (&pods, &pods, true),
            (&all, &pods, true),
            (&pods, &all, false),
            (&pods, &named, true),
            (&named, &pods, false),
            (&scales, &scale, true),
            (&scale, &scales, false),
            (&api, &path, true),
            (&path, &api, false),
            (&all, &path, false),
        ] {
            assert_eq!(covers(&mk(own), &mk(granted)).is_empty(), wanted, "{own} covers {granted}");
        }
    }

    #[test]
    fn two_rules_together_cover_one() {
        let own = json!([
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        ]);
        assert_eq!(
            covers(
                &mk(&own),
                &mk(&json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]))
            ),
            []
        );
    }

    #[test]
    fn the_refusal_reads_as_upstream() {
        let user = User::authenticated("jane", []);
        let granted = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}]);
        let error = escalation(&user, &[], &mk(&granted), &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "user \"jane\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently \
             held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}"
        );
    }
}
