//! Roles and bindings that every cluster has from its first moment.
//!
//! Facts from upstream's `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`; roles of components that the lab
//! does not have are left out.

use serde_json::{Value, json};

use crate::covers::covers;
use crate::rule::PolicyRule;
use crate::user::{AUTHENTICATED_GROUP, MASTERS_GROUP, SERVICE_ACCOUNTS_GROUP, UNAUTHENTICATED_GROUP};

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const READ_WRITE: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The label prefix of roles that become part of `admin`, `edit` or `view`.
const AGGREGATE_TO: &str = "rbac.authorization.k8s.io/aggregate-to-";

/// An object to be there from the first moment.
#[derive(Clone, Debug, PartialEq)]
pub struct BootstrapObject {
    /// Plural resource name in the group `rbac.authorization.k8s.io`, version `v1`.
    pub resource: &'static str,
    /// The object.
    pub object: Value,
}

/// A rule: groups, resources (or paths, where there are no groups), verbs.
type Rule = (&'static [&'static str], &'static [&'static str], &'static [&'static str]);

/// Roles with rules of their own, with the role they become part of.
const ROLES: &[(&str, &str, &[Rule])] = &[
    ("cluster-admin", "", &[(&["*"], &["*"], &["*"]), (&[], &["*"], &["*"])]),
    ("system:aggregate-to-admin", "admin", ADMIN),
    ("system:aggregate-to-edit", "edit", EDIT),
    ("system:aggregate-to-view", "view", VIEW),
    (
        "system:auth-delegator",
        "",
        &[
            (&["authentication.k8s.io"], &["tokenreviews"], &["create"]),
            (&["authorization.k8s.io"], &["subjectaccessreviews"], &["create"]),
        ],
    ),
    (
        "system:basic-user",
        "",
        &[
            (
                &["authorization.k8s.io"],
                &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
                &["create"],
            ),
            (&["authentication.k8s.io"], &["selfsubjectreviews"], &["create"]),
        ],
    ),
    (
        "system:discovery",
        "",
        &[(
            &[],
            &[
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/healthz",
                "/livez",
                "/openapi",
                "/openapi/*",
                "/readyz",
                "/version",
                "/version/",
            ],
            &["get"],
        )],
    ),
    (
        "system:public-info-viewer",
        "",
        &[(&[], &["/healthz", "/livez", "/readyz", "/version", "/version/"], &["get"])],
    ),
    (
        "system:service-account-issuer-discovery",
        "",
        &[(
            &[],
            &[
                "/.well-known/openid-configuration",
                "/.well-known/openid-configuration/",
                "/openid/v1/jwks",
                "/openid/v1/jwks/",
            ],
            &["get"],
        )],
    ),
    (
        "system:monitoring",
        "",
        &[(
            &[],
            &[
                "/healthz",
                "/healthz/*",
                "/livez",
                "/livez/*",
                "/metrics",
                "/metrics/slis",
                "/readyz",
                "/readyz/*",
            ],
            &["get"],
        )],
    ),
];

/// Roles that gather others, with the role they become part of themselves.
const GATHERING: &[(&str, &str)] = &[("admin", ""), ("edit", "admin"), ("view", "edit")];

/// Bindings: the role, which is also the binding's name, and the groups.
const BINDINGS: &[(&str, &[&str])] = &[
    ("cluster-admin", &[MASTERS_GROUP]),
    ("system:basic-user", &[AUTHENTICATED_GROUP]),
    ("system:discovery", &[AUTHENTICATED_GROUP]),
    ("system:monitoring", &["system:monitoring"]),
    ("system:public-info-viewer", &[AUTHENTICATED_GROUP, UNAUTHENTICATED_GROUP]),
    ("system:service-account-issuer-discovery", &[SERVICE_ACCOUNTS_GROUP]),
];

const ADMIN: &[Rule] = &[
    (&["authorization.k8s.io"], &["localsubjectaccessreviews"], &["create"]),
    (&["rbac.authorization.k8s.io"], &["rolebindings", "roles"], READ_WRITE),
];

const EDIT: &[Rule] = &[
    (
        &[""],
        &["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"],
        READ,
    ),
    (&[""], &["serviceaccounts"], &["impersonate"]),
    (&[""], &["pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"], WRITE),
    (&[""], &["pods/eviction"], &["create"]),
    (
        &[""],
        &[
            "configmaps",
            "persistentvolumeclaims",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "secrets",
            "serviceaccounts",
            "services",
            "services/proxy",
        ],
        WRITE,
    ),
    (&[""], &["serviceaccounts/token"], &["create"]),
    (&["", "events.k8s.io"], &["events"], WRITE),
    (
        &["apps"],
        &[
            "daemonsets",
            "deployments",
            "deployments/rollback",
            "deployments/scale",
            "replicasets",
            "replicasets/scale",
            "statefulsets",
            "statefulsets/scale",
        ],
        WRITE,
    ),
    (&["autoscaling"], &["horizontalpodautoscalers"], WRITE),
    (&["batch"], &["cronjobs", "jobs"], WRITE),
    (&["policy"], &["poddisruptionbudgets"], WRITE),
    (&["networking.k8s.io"], &["ingresses", "networkpolicies"], WRITE),
    (&["coordination.k8s.io"], &["leases"], READ_WRITE),
];

const VIEW: &[Rule] = &[
    (
        &[""],
        &[
            "configmaps",
            "endpoints",
            "persistentvolumeclaims",
            "persistentvolumeclaims/status",
            "pods",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "serviceaccounts",
            "services",
            "services/status",
        ],
        READ,
    ),
    (
        &[""],
        &[
            "bindings",
            "limitranges",
            "namespaces/status",
            "pods/log",
            "pods/status",
            "replicationcontrollers/status",
            "resourcequotas",
            "resourcequotas/status",
        ],
        READ,
    ),
    (&[""], &["namespaces"], READ),
    (&["", "events.k8s.io"], &["events"], READ),
    (&["discovery.k8s.io"], &["endpointslices"], READ),
    (
        &["apps"],
        &[
            "controllerrevisions",
            "daemonsets",
            "daemonsets/status",
            "deployments",
            "deployments/scale",
            "deployments/status",
            "replicasets",
            "replicasets/scale",
            "replicasets/status",
            "statefulsets",
            "statefulsets/scale",
            "statefulsets/status",
        ],
        READ,
    ),
    (&["autoscaling"], &["horizontalpodautoscalers", "horizontalpodautoscalers/status"], READ),
    (&["batch"], &["cronjobs", "cronjobs/status", "jobs", "jobs/status"], READ),
    (&["policy"], &["poddisruptionbudgets", "poddisruptionbudgets/status"], READ),
    (&["networking.k8s.io"], &["ingresses", "ingresses/status", "networkpolicies"], READ),
];

/// Every role and binding, roles first.
#[must_use]
pub fn bootstrap_objects() -> Vec<BootstrapObject> {
    let own = ROLES.iter().map(|(name, part_of, rules)| {
        let rules: Vec<Value> = rules.iter().map(rule).collect();
        json!({"metadata": metadata(name, part_of), "rules": rules})
    });
    let gathering = GATHERING.iter().map(|(name, part_of)| {
        let selectors = json!([{"matchLabels": {format!("{AGGREGATE_TO}{name}"): "true"}}]);
        json!({
            "metadata": metadata(name, part_of),
            "aggregationRule": {"clusterRoleSelectors": selectors},
            "rules": [],
        })
    });
    let bindings = BINDINGS.iter().map(|(name, groups)| {
        let subject =
            |group: &&str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group});
        json!({
            "metadata": metadata(name, ""),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": groups.iter().map(subject).collect::<Vec<_>>(),
        })
    });
    let roles = own.chain(gathering).map(|object| BootstrapObject { resource: "clusterroles", object });
    let bindings = bindings.map(|object| BootstrapObject { resource: "clusterrolebindings", object });
    roles.chain(bindings).collect()
}

/// A role or binding of an earlier start, with what it lacks of today's; `None` where it lacks nothing or its owner
/// wants it left alone (upstream: `pkg/registry/rbac/reconciliation`).
#[must_use]
pub fn reconciled(existing: &Value, wanted: &Value) -> Option<Value> {
    let autoupdate = &existing["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"];
    if autoupdate == "false" {
        return None;
    }
    let mut object = existing.clone();
    let gathers = |role: &Value| role.get("aggregationRule").is_some_and(|rule| !rule.is_null());
    if wanted.get("rules").is_some() && !gathers(existing) {
        let own = PolicyRule::all_of(existing);
        let missing = PolicyRule::all_of(wanted)
            .into_iter()
            .filter(|rule| !covers(&own, std::slice::from_ref(rule)).is_empty());
        let rules: Vec<PolicyRule> = own.iter().cloned().chain(missing).collect();
        if rules.len() > own.len() {
            object["rules"] = json!(rules);
        }
    }
    let subjects = existing["subjects"].as_array().cloned().unwrap_or_default();
    let missing: Vec<&Value> = wanted["subjects"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|subject| !subjects.contains(subject))
        .collect();
    if !missing.is_empty() {
        object["subjects"] = subjects.iter().chain(missing).cloned().collect();
    }
    (object != *existing).then_some(object)
}

fn metadata(name: &str, part_of: &str) -> Value {
    let mut labels = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
    if !part_of.is_empty() {
        labels[format!("{AGGREGATE_TO}{part_of}")] = "true".into();
    }
    json!({
        "name": name,
        "labels": labels,
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    })
}

fn rule((groups, resources, verbs): &Rule) -> Value {
    if groups.is_empty() {
        json!({"nonResourceURLs": resources, "verbs": verbs})
    } else {
        json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::aggregated;
    use crate::attributes::{Attributes, ResourceAttributes};
    use crate::rbac::{Rbac, RbacObjects};
    use crate::user::User;

    /// The bootstrap objects as they are once roles were gathered, with one more binding.
    fn mk_rbac(role: &str, user: &str) -> Rbac {
        let mut objects = bootstrap_objects();
        let roles: Vec<&Value> =
            objects.iter().filter(|one| one.resource == "clusterroles").map(|one| &one.object).collect();
        let gathered = aggregated(roles);
        for one in gathered {
            let role = objects.iter_mut().find(|object| {
                object.resource == "clusterroles" && object.object["metadata"]["name"] == one.name.as_str()
            });
            role.unwrap().object["rules"] = json!(one.rules);
        }
        let of = |resource: &str| {
            let found = objects.iter().filter(|one| one.resource == resource);
            found.map(|one| one.object.clone()).collect::<Vec<_>>()
        };
        let (roles, bindings) = (of("clusterroles"), of("clusterrolebindings"));
        let local = json!({
            "metadata": {"name": "x", "namespace": "n"},
            "roleRef": {"kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": user}],
        });
        Rbac::new(&RbacObjects {
            cluster_roles: roles.iter().collect(),
            roles: Vec::new(),
            cluster_role_bindings: bindings.iter().collect(),
            role_bindings: vec![&local],
        })
    }

    fn may(role: &str, verb: &str, resource: &str) -> bool {
        let (group, resource) =
            resource.rsplit_once('.').map_or(("", resource), |(resource, group)| (group, resource));
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let asked = Attributes::Resource(ResourceAttributes {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            namespace: "n".into(),
            ..ResourceAttributes::default()
        });
        mk_rbac(role, "jane").authorize(&User::authenticated("jane", []), &asked).is_allowed()
    }

    #[test]
    fn user_facing_roles() {
        for (role, verb, resource, wanted) in [
            ("view", "list", "pods", true),
            ("view", "get", "pods/log", true),
            ("view", "get", "secrets", false),
            ("view", "create", "pods", false),
            ("view", "list", "deployments.apps", true),
            ("edit", "get", "secrets", true),
            ("edit", "create", "pods/exec", true),
            ("edit", "update", "deployments/scale.apps", true),
            ("edit", "list", "pods", true),
            ("edit", "update", "pods/status", false),
            ("edit", "create", "serviceaccounts/token", true),
            ("admin", "delete", "pods", true),
            ("admin", "list", "services", true),
            ("admin", "update", "resourcequotas", false),
            ("cluster-admin", "delete", "namespaces", true),
            ("none", "list", "pods", false),
        ] {
            assert_eq!(may(role, verb, resource), wanted, "{role} {verb} {resource}");
        }
    }

    #[test]
    fn what_an_earlier_start_left_is_completed() {
        let objects = bootstrap_objects();
        let named = |name: &str, resource: &str| {
            let mut found = objects.iter().filter(|one| one.resource == resource);
            found.find(|one| one.object["metadata"]["name"] == name).unwrap().object.clone()
        };
        let wanted = named("cluster-admin", "clusterroles");
        assert_eq!(reconciled(&wanted, &wanted), None);
        let mut old = wanted.clone();
        old["rules"].as_array_mut().unwrap().truncate(1);
        assert_eq!(reconciled(&old, &wanted), Some(wanted.clone()));
        old["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = "false".into();
        assert_eq!(reconciled(&old, &wanted), None);
        let binding = named("cluster-admin", "clusterrolebindings");
        let mut old = binding.clone();
        old["subjects"] = json!([]);
        assert_eq!(reconciled(&old, &binding), Some(binding));
        let mut gathered = named("view", "clusterroles");
        gathered["rules"] = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
        assert_eq!(reconciled(&gathered, &named("view", "clusterroles")), None);
    }

    #[test]
    fn everybody_may_ask_for_the_version_and_only_the_known_for_discovery() {
        let rbac = mk_rbac("view", "jane");
        let get = |path: &str| Attributes::Path { verb: "get".into(), path: path.into() };
        for (path, anonymous, jane, account) in [
            ("/version", true, true, true),
            ("/readyz", true, true, true),
            ("/apis/apps", false, true, true),
            ("/openid/v1/jwks", false, false, true),
            ("/metrics", false, false, false),
        ] {
            let may = |user: &User| rbac.authorize(user, &get(path)).is_allowed();
            assert_eq!(may(&User::anonymous()), anonymous, "{path}");
            assert_eq!(may(&User::authenticated("jane", [])), jane, "{path}");
            assert_eq!(may(&User::service_account("a", "b", "")), account, "{path}");
        }
    }
}
