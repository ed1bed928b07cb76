//! Rows of the kinds that say what may be done: roles and bindings for users, policies and bindings for objects.

use super::{BASE, READ_WRITE, STATUS, selectable};
use crate::columns;
use crate::object::map_mut;
use crate::row::{Generation, NameRule, Row, Subresource};
use crate::validate;

const RBAC: &str = "rbac.authorization.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

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
    &Row {
        group: CERTIFICATES,
        kind: "CertificateSigningRequest",
        plural: "certificatesigningrequests",
        singular: "certificatesigningrequest",
        short_names: &["csr"],
        namespaced: false,
        names: NameRule::PathSegment,
        subresources: &[STATUS, Subresource { name: "approval", speaks: None, verbs: READ_WRITE }],
        columns: columns::SIGNING_REQUEST,
        selectable: selectable::SIGNING_REQUEST,
        schema: "io.k8s.api.certificates.v1.CertificateSigningRequest",
        defaults: |request| {
            map_mut(request, "status");
        },
        validate: validate::signing_request,
        warning: Some(
            "CertificateSigningRequests are stored and can be approved, but nothing signs them here",
        ),
        ..BASE
    },
    &Row {
        group: ADMISSION,
        kind: "ValidatingAdmissionPolicy",
        plural: "validatingadmissionpolicies",
        singular: "validatingadmissionpolicy",
        namespaced: false,
        subresources: &[STATUS],
        generation: Generation::Content,
        schema: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
        ..BASE
    },
    &Row {
        group: ADMISSION,
        kind: "ValidatingAdmissionPolicyBinding",
        plural: "validatingadmissionpolicybindings",
        singular: "validatingadmissionpolicybinding",
        namespaced: false,
        generation: Generation::Content,
        schema: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
        ..BASE
    },
];
