//! Truth tables of verdicts, and what they name.

use serde_json::json;

use super::*;
use crate::attributes::ResourceAttributes;

fn mk_world() -> Vec<Value> {
    let rule = |verbs: &[&str], resources: &[&str]| json!([{"apiGroups": [""], "resources": resources, "verbs": verbs}]);
    vec![
        json!({"kind": "ClusterRole", "metadata": {"name": "reader"}, "rules": rule(&["get", "list"], &["pods"])}),
        json!({"kind": "ClusterRole", "metadata": {"name": "nodes"}, "rules": rule(&["list"], &["nodes"])}),
        json!({"kind": "Role", "metadata": {"name": "writer", "namespace": "a"}, "rules": rule(&["create"], &["pods"])}),
        json!({"kind": "ClusterRoleBinding", "metadata": {"name": "all-nodes"},
            "roleRef": {"kind": "ClusterRole", "name": "nodes"},
            "subjects": [{"kind": "Group", "name": "ops"}, {"kind": "ServiceAccount", "name": "bot", "namespace": "a"}]}),
        json!({"kind": "ClusterRoleBinding", "metadata": {"name": "dangling"},
            "roleRef": {"kind": "ClusterRole", "name": "gone"}, "subjects": [{"kind": "User", "name": "eve"}]}),
        json!({"kind": "RoleBinding", "metadata": {"name": "read", "namespace": "a"},
            "roleRef": {"kind": "ClusterRole", "name": "reader"},
            "subjects": [{"kind": "User", "name": "jane"}, {"kind": "ServiceAccount", "name": "bot"}]}),
        json!({"kind": "RoleBinding", "metadata": {"name": "write", "namespace": "a"},
            "roleRef": {"kind": "Role", "name": "writer"}, "subjects": [{"kind": "User", "name": "jane"}]}),
        json!({"kind": "RoleBinding", "metadata": {"name": "write", "namespace": "b"},
            "roleRef": {"kind": "Role", "name": "writer"}, "subjects": [{"kind": "User", "name": "jane"}]}),
    ]
}

fn mk_rbac(objects: &[Value]) -> Rbac {
    let of = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).collect();
    Rbac::new(&RbacObjects {
        cluster_roles: of("ClusterRole"),
        roles: of("Role"),
        cluster_role_bindings: of("ClusterRoleBinding"),
        role_bindings: of("RoleBinding"),
    })
}

fn mk_user(name: &str) -> User {
    match User::split_service_account(name) {
        Some((namespace, account)) => User::service_account(namespace, account, ""),
        None => User::authenticated(name, name.strip_prefix("in:").map(str::to_owned)),
    }
}

fn mk_asked(verb: &str, resource: &str, namespace: &str) -> Attributes {
    Attributes::Resource(ResourceAttributes {
        verb: verb.into(),
        resource: resource.into(),
        namespace: namespace.into(),
        ..ResourceAttributes::default()
    })
}

#[test]
fn the_verdict_names_what_decides() {
    let rbac = mk_rbac(&mk_world());
    let by_read = r#"RBAC: allowed by RoleBinding "read/a" of ClusterRole "reader" to User "jane""#;
    let truth = [
        ("jane", "list", "pods", "a", Some(by_read)),
        (
            "jane",
            "create",
            "pods",
            "a",
            Some(r#"RBAC: allowed by RoleBinding "write/a" of Role "writer" to User "jane""#),
        ),
        ("jane", "list", "pods", "", None),
        ("jane", "list", "pods", "b", None),
        ("jane", "delete", "pods", "a", None),
        (
            "in:ops",
            "list",
            "nodes",
            "",
            Some(r#"RBAC: allowed by ClusterRoleBinding "all-nodes" of ClusterRole "nodes" to Group "ops""#),
        ),
        ("in:dev", "list", "nodes", "", None),
        (
            "system:serviceaccount:a:bot",
            "list",
            "nodes",
            "",
            Some(
                r#"RBAC: allowed by ClusterRoleBinding "all-nodes" of ClusterRole "nodes" to ServiceAccount "bot/a""#,
            ),
        ),
        (
            "system:serviceaccount:a:bot",
            "get",
            "pods",
            "a",
            Some(
                r#"RBAC: allowed by RoleBinding "read/a" of ClusterRole "reader" to ServiceAccount "bot/a""#,
            ),
        ),
        ("system:serviceaccount:b:bot", "get", "pods", "a", None),
        (
            "in:system:masters",
            "delete",
            "anything",
            "z",
            Some(r#"members of the group "system:masters" may do everything"#),
        ),
    ];
    for (user, verb, resource, namespace, wanted) in truth {
        let verdict = rbac.authorize(&mk_user(user), &mk_asked(verb, resource, namespace));
        let found = verdict.is_allowed().then(|| verdict.reason());
        assert_eq!(found.as_deref(), wanted, "{user} {verb} {resource} in {namespace:?}");
    }
}

#[test]
fn a_binding_without_its_role_is_told() {
    let rbac = mk_rbac(&mk_world());
    let one = rbac.authorize(&mk_user("eve"), &mk_asked("list", "pods", "a"));
    assert_eq!(one.reason(), r#"RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found"#);
    let other = rbac.authorize(&mk_user("jane"), &mk_asked("create", "pods", "b"));
    assert_eq!(other.reason(), r#"RBAC: role.rbac.authorization.k8s.io "writer" not found"#);
}

#[test]
fn rules_of_a_user_are_those_of_its_bindings() {
    let rbac = mk_rbac(&mk_world());
    let verbs = |namespace: &str| -> Vec<String> {
        let (rules, _) = rbac.rules_for(&mk_user("jane"), namespace);
        rules.into_iter().flat_map(|rule| rule.verbs).collect()
    };
    assert_eq!(verbs("a"), ["get", "list", "create"]);
    assert_eq!(verbs("b"), Vec::<String>::new());
}
