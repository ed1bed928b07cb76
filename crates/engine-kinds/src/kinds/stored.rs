//! Rows of kinds that are stored, checked against their schema and served, and have no effect here.
//!
//! Where a user relies on the effect, the row carries a warning.

use super::{BASE, STATUS};
use crate::columns;
use crate::defaults;
use crate::row::{Generation, Row};
use crate::validate;

const NOT_SCALED: &str = "HorizontalPodAutoscalers are stored, but nothing scales by them here";
const WEBHOOK: &str = "webhook configurations are stored, but no webhook is called here";

pub(super) const KINDS: &[&Row] = &[
    &Row {
        group: "policy",
        kind: "PodDisruptionBudget",
        plural: "poddisruptionbudgets",
        singular: "poddisruptionbudget",
        short_names: &["pdb"],
        subresources: &[STATUS],
        generation: Generation::Spec,
        schema: "io.k8s.api.policy.v1.PodDisruptionBudget",
        columns: columns::DISRUPTION_BUDGET,
        defaults: defaults::disruption_budget,
        validate: validate::disruption_budget,
        ..BASE
    },
    &Row {
        group: "autoscaling",
        version: "v2",
        kind: "HorizontalPodAutoscaler",
        plural: "horizontalpodautoscalers",
        singular: "horizontalpodautoscaler",
        short_names: &["hpa"],
        categories: &["all"],
        subresources: &[STATUS],
        columns: columns::POD_AUTOSCALER,
        schema: "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
        defaults: defaults::autoscaler,
        validate: validate::autoscaler,
        warning: Some(NOT_SCALED),
        ..BASE
    },
    // After v2, which stores the objects and comes first where a client has the choice.
    &Row {
        group: "autoscaling",
        kind: "HorizontalPodAutoscaler",
        plural: "horizontalpodautoscalers",
        singular: "horizontalpodautoscaler",
        short_names: &["hpa"],
        categories: &["all"],
        subresources: &[STATUS],
        columns: columns::POD_AUTOSCALER_V1,
        schema: "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
        warning: Some(NOT_SCALED),
        view_of: Some(crate::autoscaler::VIEW),
        ..BASE
    },
    &Row {
        group: "scheduling.k8s.io",
        kind: "PriorityClass",
        plural: "priorityclasses",
        singular: "priorityclass",
        short_names: &["pc"],
        namespaced: false,
        schema: "io.k8s.api.scheduling.v1.PriorityClass",
        ..BASE
    },
    &Row {
        group: "storage.k8s.io",
        kind: "StorageClass",
        plural: "storageclasses",
        singular: "storageclass",
        short_names: &["sc"],
        namespaced: false,
        schema: "io.k8s.api.storage.v1.StorageClass",
        warning: Some("StorageClasses are stored, but every claim gets the lab's own storage here"),
        ..BASE
    },
    &Row {
        group: "node.k8s.io",
        kind: "RuntimeClass",
        plural: "runtimeclasses",
        singular: "runtimeclass",
        namespaced: false,
        schema: "io.k8s.api.node.v1.RuntimeClass",
        ..BASE
    },
    &webhooks(
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        "mutatingwebhookconfiguration",
        "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
    ),
    &webhooks(
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        "validatingwebhookconfiguration",
        "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
    ),
];

const fn webhooks(
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    schema: &'static str,
) -> Row {
    Row {
        group: "admissionregistration.k8s.io",
        kind,
        plural,
        singular,
        schema,
        namespaced: false,
        generation: Generation::Content,
        warning: Some(WEBHOOK),
        ..BASE
    }
}
