//! Rows of workload kinds: apps and batch.

use super::{BASE, SCALE, STATUS, selectable};
use crate::columns;
use crate::defaults;
use crate::row::{Generation, Row};
use crate::validate;

pub(super) const KINDS: &[&Row] = &[
    &Row {
        group: "apps",
        kind: "Deployment",
        plural: "deployments",
        singular: "deployment",
        short_names: &["deploy"],
        categories: &["all"],
        subresources: &[STATUS, SCALE],
        generation: Generation::Spec,
        columns: columns::DEPLOYMENT,
        schema: "io.k8s.api.apps.v1.Deployment",
        defaults: defaults::deployment,
        validate: validate::deployment,
        ..BASE
    },
    &Row {
        group: "apps",
        kind: "ReplicaSet",
        plural: "replicasets",
        singular: "replicaset",
        short_names: &["rs"],
        categories: &["all"],
        subresources: &[STATUS, SCALE],
        generation: Generation::Spec,
        selectable: selectable::REPLICA_SET,
        columns: columns::REPLICA_SET,
        schema: "io.k8s.api.apps.v1.ReplicaSet",
        defaults: defaults::replica_set,
        validate: validate::replica_set,
        ..BASE
    },
    &Row {
        group: "apps",
        kind: "ControllerRevision",
        plural: "controllerrevisions",
        singular: "controllerrevision",
        schema: "io.k8s.api.apps.v1.ControllerRevision",
        ..BASE
    },
];
