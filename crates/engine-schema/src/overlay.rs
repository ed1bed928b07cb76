//! What the generated schemas lack: merge rules, atomic types, Go pointers, and fields wrongly called required.
//!
//! Facts of Kubernetes v1.34 (`api/openapi-spec`, `staging/src/k8s.io/api/*/v1/types.go`).

pub(crate) mod pointers;

use serde_json::{Map, Value, json};

/// Lists merged by one key in patches and by the same key in apply: type, field, key.
const MERGED: &[(&str, &str, &str)] = &[
    ("admissionregistration.v1.MutatingWebhook", "matchConditions", "name"),
    ("admissionregistration.v1.MutatingWebhookConfiguration", "webhooks", "name"),
    ("admissionregistration.v1.ValidatingAdmissionPolicySpec", "matchConditions", "name"),
    ("admissionregistration.v1.ValidatingAdmissionPolicySpec", "variables", "name"),
    ("admissionregistration.v1.ValidatingWebhook", "matchConditions", "name"),
    ("admissionregistration.v1.ValidatingWebhookConfiguration", "webhooks", "name"),
    ("apiextensions.v1.JSONSchemaProps", "x-kubernetes-validations", "rule"),
    ("apps.v1.DaemonSetStatus", "conditions", "type"),
    ("apps.v1.DeploymentStatus", "conditions", "type"),
    ("apps.v1.ReplicaSetStatus", "conditions", "type"),
    ("apps.v1.StatefulSetStatus", "conditions", "type"),
    ("autoscaling.v2.HorizontalPodAutoscalerStatus", "conditions", "type"),
    ("core.v1.Container", "env", "name"),
    ("core.v1.Container", "volumeDevices", "devicePath"),
    ("core.v1.Container", "volumeMounts", "mountPath"),
    ("core.v1.ContainerStatus", "allocatedResourcesStatus", "name"),
    ("core.v1.ContainerStatus", "volumeMounts", "mountPath"),
    ("core.v1.EphemeralContainer", "env", "name"),
    ("core.v1.EphemeralContainer", "volumeDevices", "devicePath"),
    ("core.v1.EphemeralContainer", "volumeMounts", "mountPath"),
    ("core.v1.NamespaceStatus", "conditions", "type"),
    ("core.v1.NodeStatus", "addresses", "type"),
    ("core.v1.NodeStatus", "conditions", "type"),
    ("core.v1.PersistentVolumeClaimStatus", "conditions", "type"),
    ("core.v1.PodSpec", "containers", "name"),
    ("core.v1.PodSpec", "ephemeralContainers", "name"),
    ("core.v1.PodSpec", "hostAliases", "ip"),
    ("core.v1.PodSpec", "imagePullSecrets", "name"),
    ("core.v1.PodSpec", "initContainers", "name"),
    ("core.v1.PodSpec", "resourceClaims", "name"),
    ("core.v1.PodSpec", "schedulingGates", "name"),
    ("core.v1.PodSpec", "volumes", "name"),
    ("core.v1.PodStatus", "conditions", "type"),
    ("core.v1.PodStatus", "podIPs", "ip"),
    ("core.v1.PodStatus", "resourceClaimStatuses", "name"),
    ("core.v1.ReplicationControllerStatus", "conditions", "type"),
    ("core.v1.ServiceAccount", "secrets", "name"),
    ("core.v1.ServiceStatus", "conditions", "type"),
    ("networking.v1.ServiceCIDRStatus", "conditions", "type"),
    ("policy.v1.PodDisruptionBudgetStatus", "conditions", "type"),
    ("storage.v1.CSINodeSpec", "drivers", "name"),
    ("meta.v1.ObjectMeta", "ownerReferences", "uid"),
];

/// Lists whose keys differ: type, field, key in patches (empty for none), keys in apply (empty for atomic).
const TWO_KEYED: &[(&str, &str, &str, &[&str])] = &[
    ("core.v1.ServiceSpec", "ports", "port", &["port", "protocol"]),
    ("core.v1.Container", "ports", "containerPort", &["containerPort", "protocol"]),
    ("core.v1.EphemeralContainer", "ports", "containerPort", &["containerPort", "protocol"]),
    ("core.v1.PodSpec", "topologySpreadConstraints", "topologyKey", &["topologyKey", "whenUnsatisfiable"]),
    ("batch.v1.JobStatus", "conditions", "type", &[]),
    ("core.v1.PodStatus", "hostIPs", "ip", &[]),
    ("core.v1.ResourceRequirements", "claims", "", &["name"]),
    ("core.v1.ResourceStatus", "resources", "", &["resourceID"]),
    ("admissionregistration.v1.ValidatingAdmissionPolicyStatus", "conditions", "", &["type"]),
    ("apiextensions.v1.CustomResourceDefinitionStatus", "conditions", "", &["type"]),
    ("certificates.v1.CertificateSigningRequestStatus", "conditions", "", &["type"]),
];

/// Lists that are sets in apply: type, field, whether patches merge them.
const SETS: &[(&str, &str, bool)] = &[
    ("meta.v1.ObjectMeta", "finalizers", true),
    ("core.v1.NodeSpec", "podCIDRs", true),
    ("discovery.v1.Endpoint", "addresses", false),
    ("batch.v1.PodFailurePolicyOnExitCodesRequirement", "values", false),
    ("batch.v1.UncountedTerminatedPods", "failed", false),
    ("batch.v1.UncountedTerminatedPods", "succeeded", false),
    ("core.v1.ContainerRestartRuleOnExitCodes", "values", false),
    ("admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec", "validationActions", false),
    ("storage.v1.CSIDriverSpec", "volumeLifecycleModes", false),
];

/// Patch strategies besides plain merging: type, field, strategy.
const STRATEGIES: &[(&str, &str, &str)] = &[
    ("apps.v1.DeploymentSpec", "strategy", "retainKeys"),
    ("core.v1.PodSpec", "volumes", "merge,retainKeys"),
    ("core.v1.PodSpec", "resourceClaims", "merge,retainKeys"),
    ("core.v1.PodStatus", "resourceClaimStatuses", "merge,retainKeys"),
    ("policy.v1.PodDisruptionBudgetSpec", "selector", "replace"),
];

/// Types owned as a whole.
const ATOMIC_TYPES: &[&str] = &[
    "admissionregistration.v1.MatchResources",
    "admissionregistration.v1.NamedRuleWithOperations",
    "admissionregistration.v1.ParamKind",
    "admissionregistration.v1.ParamRef",
    "admissionregistration.v1.Variable",
    "autoscaling.v1.CrossVersionObjectReference",
    "core.v1.ConfigMapKeySelector",
    "core.v1.EndpointAddress",
    "core.v1.EndpointPort",
    "core.v1.FileKeySelector",
    "core.v1.LocalObjectReference",
    "core.v1.NodeSelector",
    "core.v1.NodeSelectorTerm",
    "core.v1.ObjectFieldSelector",
    "core.v1.ObjectReference",
    "core.v1.ResourceFieldSelector",
    "core.v1.ScopeSelector",
    "core.v1.SecretKeySelector",
    "core.v1.SecretReference",
    "core.v1.TopologySelectorTerm",
    "core.v1.TypedLocalObjectReference",
    "discovery.v1.EndpointPort",
    "networking.v1.ServiceBackendPort",
    "rbac.v1.RoleRef",
    "rbac.v1.Subject",
    "meta.v1.LabelSelector",
    "meta.v1.OwnerReference",
];

/// Map fields with a rule of their own.
const MAPS: &[(&str, &str, &str)] = &[
    ("core.v1.PodSpec", "nodeSelector", "atomic"),
    ("core.v1.ReplicationControllerSpec", "selector", "atomic"),
    ("core.v1.ServiceSpec", "selector", "atomic"),
    ("node.v1.Scheduling", "nodeSelector", "atomic"),
    ("core.v1.PersistentVolumeSpec", "claimRef", "granular"),
];

/// References whose `name` may be absent upstream, unlike in the generated schemas.
const NAME_OPTIONAL: &[&str] = &[
    "core.v1.ConfigMapEnvSource",
    "core.v1.ConfigMapKeySelector",
    "core.v1.ConfigMapProjection",
    "core.v1.ConfigMapVolumeSource",
    "core.v1.LocalObjectReference",
    "core.v1.SecretEnvSource",
    "core.v1.SecretKeySelector",
    "core.v1.SecretProjection",
];

/// Puts all of the above into the schemas.
pub(crate) fn apply(documents: &mut Map<String, Value>) {
    for (name, field, key) in MERGED {
        let property = property_mut(documents, name, field);
        property["x-kubernetes-patch-merge-key"] = json!(key);
        property["x-kubernetes-patch-strategy"] = json!("merge");
        property["x-kubernetes-list-type"] = json!("map");
        property["x-kubernetes-list-map-keys"] = json!([key]);
    }
    for (name, field, merge_key, keys) in TWO_KEYED {
        let property = property_mut(documents, name, field);
        if !merge_key.is_empty() {
            property["x-kubernetes-patch-merge-key"] = json!(merge_key);
            property["x-kubernetes-patch-strategy"] = json!("merge");
        }
        property["x-kubernetes-list-type"] = json!(if keys.is_empty() { "atomic" } else { "map" });
        if !keys.is_empty() {
            property["x-kubernetes-list-map-keys"] = json!(keys);
        }
    }
    for (name, field, merged) in SETS {
        let property = property_mut(documents, name, field);
        property["x-kubernetes-list-type"] = json!("set");
        if *merged {
            property["x-kubernetes-patch-strategy"] = json!("merge");
        }
    }
    for (name, field, strategy) in STRATEGIES {
        property_mut(documents, name, field)["x-kubernetes-patch-strategy"] = json!(strategy);
    }
    for (name, field, rule) in MAPS {
        property_mut(documents, name, field)["x-kubernetes-map-type"] = json!(rule);
    }
    for name in ATOMIC_TYPES {
        schema_mut(documents, name)["x-kubernetes-map-type"] = json!("atomic");
    }
    for name in NAME_OPTIONAL {
        drop_required(schema_mut(documents, name), "name");
    }
    for schema in documents.values_mut() {
        drop_required(schema, "metadata");
    }
}

fn drop_required(schema: &mut Value, field: &str) {
    let Some(map) = schema.as_object_mut() else { return };
    if let Some(Value::Array(required)) = map.get_mut("required") {
        required.retain(|name| name != field);
        if required.is_empty() {
            map.remove("required");
        }
    }
}

/// `core.v1.PodSpec` → the schema's full name.
pub(crate) fn full_name(short: &str) -> String {
    let package = match short.split('.').next() {
        Some("meta") => "io.k8s.apimachinery.pkg.apis",
        Some("apiextensions") => "io.k8s.apiextensions-apiserver.pkg.apis",
        _ => "io.k8s.api",
    };
    format!("{package}.{short}")
}

fn schema_mut<'a>(documents: &'a mut Map<String, Value>, short: &str) -> &'a mut Value {
    documents
        .get_mut(&full_name(short))
        .unwrap_or_else(|| panic!("overlay names {short}, which has no schema"))
}

fn property_mut<'a>(documents: &'a mut Map<String, Value>, short: &str, field: &str) -> &'a mut Value {
    schema_mut(documents, short)
        .pointer_mut(&format!("/properties/{field}"))
        .unwrap_or_else(|| panic!("overlay names {short}.{field}, which has no schema"))
}
