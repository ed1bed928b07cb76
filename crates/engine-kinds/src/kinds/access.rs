//! Rows of the kinds that say who may do what: roles and bindings.

use super::BASE;
use crate::columns;
use crate::row::{NameRule, Row};

const RBAC: &str = "rbac.authorization.k8s.io";

pub(super) const KINDS: &[&Row] = &[
    &Row {
        group: RBAC,
        kind: "ClusterRole",
        plural: "clusterroles",
        singular: "clusterrole",
        namespaced: false,
        names: NameRule::PathSegment,
        columns: columns::ROLE,
        schema: "io.k8s.api.rbac.v1.ClusterRole",
        ..BASE
    },
    &Row {
        group: RBAC,
        kind: "ClusterRoleBinding",
        plural: "clusterrolebindings",
        singular: "clusterrolebinding",
        namespaced: false,
        names: NameRule::PathSegment,
        columns: columns::ROLE_BINDING,
        schema: "io.k8s.api.rbac.v1.ClusterRoleBinding",
        ..BASE
    },
    &Row {
        group: RBAC,
        kind: "Role",
        plural: "roles",
        singular: "role",
        names: NameRule::PathSegment,
        columns: columns::ROLE,
        schema: "io.k8s.api.rbac.v1.Role",
        ..BASE
    },
    &Row {
        group: RBAC,
        kind: "RoleBinding",
        plural: "rolebindings",
        singular: "rolebinding",
        names: NameRule::PathSegment,
        columns: columns::ROLE_BINDING,
        schema: "io.k8s.api.rbac.v1.RoleBinding",
        ..BASE
    },
];
