//! Field selector keys of each kind (upstream: `pkg/apis/*/v1/conversion.go`, `pkg/registry/*/strategy.go`).

use serde_json::Value;

use crate::object::{scalar_text, text};
use crate::row::Selectable;

/// A key whose value is the text, number or boolean at a pointer.
macro_rules! field {
    ($label:literal, $pointer:literal) => {
        Selectable { label: $label, value: |object| scalar_text(object, $pointer) }
    };
}

pub(super) const POD: &[Selectable] = &[
    field!("spec.nodeName", "/spec/nodeName"),
    field!("spec.restartPolicy", "/spec/restartPolicy"),
    field!("spec.schedulerName", "/spec/schedulerName"),
    field!("spec.serviceAccountName", "/spec/serviceAccountName"),
    Selectable {
        label: "spec.hostNetwork",
        value: |pod| pod.pointer("/spec/hostNetwork").is_some_and(|on| on == true).to_string(),
    },
    field!("status.phase", "/status/phase"),
    field!("status.podIP", "/status/podIP"),
    field!("status.podIPs", "/status/podIPs/0/ip"),
    field!("status.nominatedNodeName", "/status/nominatedNodeName"),
];
pub(super) const NODE: &[Selectable] = &[Selectable {
    label: "spec.unschedulable",
    value: |node| node.pointer("/spec/unschedulable").is_some_and(|on| on == true).to_string(),
}];
pub(super) const NAMESPACE: &[Selectable] = &[field!("status.phase", "/status/phase")];
pub(super) const SECRET: &[Selectable] = &[field!("type", "/type")];
pub(super) const SERVICE: &[Selectable] =
    &[field!("spec.clusterIP", "/spec/clusterIP"), field!("spec.type", "/spec/type")];
pub(super) const REPLICA_SET: &[Selectable] = &[Selectable {
    label: "status.replicas",
    value: |set| set.pointer("/status/replicas").map_or_else(|| "0".to_owned(), Value::to_string),
}];
pub(super) const JOB: &[Selectable] = &[Selectable {
    label: "status.successful",
    value: |job| job.pointer("/status/succeeded").map_or_else(|| "0".to_owned(), Value::to_string),
}];
pub(super) const SIGNING_REQUEST: &[Selectable] = &[field!("spec.signerName", "/spec/signerName")];
pub(super) const EVENT: &[Selectable] = &[
    field!("involvedObject.kind", "/involvedObject/kind"),
    field!("involvedObject.namespace", "/involvedObject/namespace"),
    field!("involvedObject.name", "/involvedObject/name"),
    field!("involvedObject.uid", "/involvedObject/uid"),
    field!("involvedObject.apiVersion", "/involvedObject/apiVersion"),
    field!("involvedObject.resourceVersion", "/involvedObject/resourceVersion"),
    field!("involvedObject.fieldPath", "/involvedObject/fieldPath"),
    field!("reason", "/reason"),
    field!("reportingComponent", "/reportingComponent"),
    Selectable { label: "source", value: event_source },
    field!("type", "/type"),
];
/// Keys of the events.k8s.io form; they are read from the stored (core) form.
pub(super) const EVENT_V1: &[Selectable] = &[
    field!("regarding.kind", "/involvedObject/kind"),
    field!("regarding.namespace", "/involvedObject/namespace"),
    field!("regarding.name", "/involvedObject/name"),
    field!("regarding.uid", "/involvedObject/uid"),
    field!("regarding.apiVersion", "/involvedObject/apiVersion"),
    field!("regarding.resourceVersion", "/involvedObject/resourceVersion"),
    field!("regarding.fieldPath", "/involvedObject/fieldPath"),
    field!("reason", "/reason"),
    field!("reportingController", "/reportingComponent"),
    field!("type", "/type"),
];

/// The reporting component, or the older `source.component`.
fn event_source(event: &Value) -> String {
    let source = text(event, "/source/component");
    if source.is_empty() { text(event, "/reportingComponent").to_owned() } else { source.to_owned() }
}
