//! Whether a write to roles or bindings would give away more than its author has.
//!
//! Upstream: `pkg/registry/rbac/*/policybased/storage.go`.

use serde_json::Value;

use crate::attributes::{Attributes, ResourceAttributes};
use crate::binding::Binding;
use crate::covers::{covers, escalation};
use crate::rbac::Rbac;
use crate::rule::{ALL, PolicyRule};
use crate::user::{MASTERS_GROUP, User};

/// The API group of roles and bindings.
pub const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// A write to a role or binding.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// `roles`, `clusterroles`, `rolebindings` or `clusterrolebindings`.
    pub resource: &'a str,
    /// The object as it is; `None` for a new one.
    pub old: Option<&'a Value>,
    /// The object as it is to be.
    pub new: &'a Value,
}

impl Rbac {
    /// Refuses a write that grants what its author neither has nor may grant.
    ///
    /// # Errors
    /// The text after `… is forbidden: `.
    pub fn check_grant(&self, user: &User, grant: &Grant<'_>) -> Result<(), String> {
        if user.is_in(MASTERS_GROUP) || grant.changes_ownership_only() {
            return Ok(());
        }
        match grant.resource {
            "roles" | "clusterroles" => self.check_role(user, grant),
            "rolebindings" | "clusterrolebindings" => self.check_binding(user, grant.new),
            _ => Ok(()),
        }
    }

    fn check_role(&self, user: &User, grant: &Grant<'_>) -> Result<(), String> {
        let (namespace, name) = (text(grant.new, "namespace"), text(grant.new, "name"));
        if self.may(user, "escalate", grant.resource, namespace, name) {
            return Ok(());
        }
        let (own, missing) = self.rules_for(user, namespace);
        let aggregates = |role: &Value| role.get("aggregationRule").is_some_and(|rule| !rule.is_null());
        if aggregates(grant.new) || grant.old.is_some_and(aggregates) {
            if !covers(&own, &everything()).is_empty() {
                return Err("must have cluster-admin privileges to use the aggregationRule".to_owned());
            }
            return Ok(());
        }
        escalation(user, &own, &PolicyRule::all_of(grant.new), &missing).map_err(|error| error.to_string())
    }

    fn check_binding(&self, user: &User, object: &Value) -> Result<(), String> {
        let binding = Binding::of(object);
        let namespace = binding.itself.namespace.as_str();
        let resource = if binding.role.kind == "Role" { "roles" } else { "clusterroles" };
        if self.may(user, "bind", resource, namespace, &binding.role.name) {
            return Ok(());
        }
        let granted = self.rules_of(&binding.role, namespace)?;
        let (own, missing) = self.rules_for(user, namespace);
        escalation(user, &own, granted, &missing).map_err(|error| error.to_string())
    }

    fn may(&self, user: &User, verb: &str, resource: &str, namespace: &str, name: &str) -> bool {
        let asked = Attributes::Resource(ResourceAttributes {
            verb: verb.to_owned(),
            group: RBAC_GROUP.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..ResourceAttributes::default()
        });
        self.authorize(user, &asked).is_allowed()
    }
}

impl Grant<'_> {
    /// Whether only what garbage collection needs changes (upstream: `IsOnlyMutatingGCFields`).
    fn changes_ownership_only(&self) -> bool {
        let rest = |object: &Value| {
            let mut object = object.clone();
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                for field in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
                    metadata.remove(field);
                }
            }
            object
        };
        self.old.is_some_and(|old| rest(old) == rest(self.new))
    }
}

/// The rules of someone who may do everything.
fn everything() -> [PolicyRule; 2] {
    let all = || vec![ALL.to_owned()];
    [
        PolicyRule { api_groups: all(), resources: all(), verbs: all(), ..PolicyRule::default() },
        PolicyRule { non_resource_urls: all(), verbs: all(), ..PolicyRule::default() },
    ]
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rbac::RbacObjects;

    /// Jane may read Pods everywhere, escalate the role `open` and bind the role `free`.
    fn mk_rbac() -> Rbac {
        let granting = |verb: &str, name: &str| json!({"apiGroups": [RBAC_GROUP], "resources": ["clusterroles"], "resourceNames": [name], "verbs": [verb]});
        let role = json!({"metadata": {"name": "jane"}, "rules": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
            granting("escalate", "open"), granting("bind", "free"),
        ]});
        let strong = json!({"metadata": {"name": "free"}, "rules": everything()});
        let binding = json!({"metadata": {"name": "jane"}, "roleRef": {"kind": "ClusterRole", "name": "jane"},
            "subjects": [{"kind": "User", "name": "jane"}]});
        Rbac::new(&RbacObjects {
            cluster_roles: vec![&role, &strong],
            cluster_role_bindings: vec![&binding],
            ..RbacObjects::default()
        })
    }

    fn mk_role(name: &str, resource: &str) -> Value {
        json!({"metadata": {"name": name}, "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]})
    }

    fn check(resource: &str, old: Option<&Value>, new: &Value) -> Result<(), String> {
        mk_rbac().check_grant(&User::authenticated("jane", []), &Grant { resource, old, new })
    }

    #[test]
    fn roles() {
        assert_eq!(check("clusterroles", None, &mk_role("x", "pods")), Ok(()));
        let error = check("clusterroles", None, &mk_role("x", "secrets")).unwrap_err();
        assert!(
            error.ends_with("held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}"),
            "{error}"
        );
        assert_eq!(check("clusterroles", None, &mk_role("open", "secrets")), Ok(()));
        let (old, mut new) = (mk_role("x", "secrets"), mk_role("x", "secrets"));
        new["metadata"]["finalizers"] = json!(["a/b"]);
        assert_eq!(check("clusterroles", Some(&old), &new), Ok(()));
        new["metadata"]["labels"] = json!({"a": "b"});
        assert!(check("clusterroles", Some(&old), &new).is_err());
        let gathering = json!({"metadata": {"name": "x"}, "aggregationRule": {"clusterRoleSelectors": []}});
        let error = check("clusterroles", None, &gathering).unwrap_err();
        assert_eq!(error, "must have cluster-admin privileges to use the aggregationRule");
    }

    #[test]
    fn bindings() {
        let mk = |role: &str| json!({"metadata": {"name": "b", "namespace": "n"}, "roleRef": {"kind": "ClusterRole", "name": role}});
        assert_eq!(check("rolebindings", None, &mk("free")), Ok(()));
        assert_eq!(check("rolebindings", None, &mk("jane")), Ok(()));
        let error = check("rolebindings", None, &mk("gone")).unwrap_err();
        assert_eq!(error, "clusterrole.rbac.authorization.k8s.io \"gone\" not found");
        let local =
            json!({"metadata": {"name": "b", "namespace": "n"}, "roleRef": {"kind": "Role", "name": "x"}});
        assert!(check("rolebindings", None, &local).is_err());
    }
}
