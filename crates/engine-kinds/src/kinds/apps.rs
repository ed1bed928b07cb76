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
        kind: "StatefulSet",
        plural: "statefulsets",
        singular: "statefulset",
        short_names: &["sts"],
        categories: &["all"],
        subresources: &[STATUS, SCALE],
        generation: Generation::Spec,
        columns: columns::STATEFUL_SET,
        schema: "io.k8s.api.apps.v1.StatefulSet",
        defaults: defaults::stateful_set,
        validate: validate::stateful_set,
        ..BASE
    },
    &Row {
        group: "apps",
        kind: "DaemonSet",
        plural: "daemonsets",
        singular: "daemonset",
        short_names: &["ds"],
        categories: &["all"],
        subresources: &[STATUS],
        generation: Generation::Spec,
        columns: columns::DAEMON_SET,
        schema: "io.k8s.api.apps.v1.DaemonSet",
        defaults: defaults::daemon_set,
        validate: validate::daemon_set,
        ..BASE
    },
    &Row {
        group: "batch",
        kind: "Job",
        plural: "jobs",
        singular: "job",
        categories: &["all"],
        subresources: &[STATUS],
        generation: Generation::Spec,
        selectable: selectable::JOB,
        columns: columns::JOB,
        schema: "io.k8s.api.batch.v1.Job",
        defaults: defaults::job,
        validate: validate::job,
        ..BASE
    },
    &Row {
        group: "batch",
        kind: "CronJob",
        plural: "cronjobs",
        singular: "cronjob",
        short_names: &["cj"],
        categories: &["all"],
        subresources: &[STATUS],
        generation: Generation::Spec,
        columns: columns::CRON_JOB,
        schema: "io.k8s.api.batch.v1.CronJob",
        defaults: defaults::cron_job,
        validate: validate::cron_job,
        ..BASE
    },
    &Row {
        group: "apps",
        kind: "ControllerRevision",
        plural: "controllerrevisions",
        singular: "controllerrevision",
        columns: columns::CONTROLLER_REVISION,
        schema: "io.k8s.api.apps.v1.ControllerRevision",
        ..BASE
    },
];
