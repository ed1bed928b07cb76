//! Which scalar fields Go writes although they are zero: pointers, and those without `omitempty`.
//!
//! Facts of `k8s.io/api` and `k8s.io/apiextensions-apiserver` at v0.34 (the `types.go` of each group), read from
//! the Go types by reflection.

/// Pointers to scalars, by type: zero and absent differ.
const POINTERS: &[(&str, &str)] = &[
    ("admissionregistration.v1.MatchResources", "matchPolicy"),
    (
        "admissionregistration.v1.MutatingWebhook",
        "failurePolicy matchPolicy reinvocationPolicy sideEffects timeoutSeconds",
    ),
    ("admissionregistration.v1.NamedRuleWithOperations", "scope"),
    ("admissionregistration.v1.ParamRef", "parameterNotFoundAction"),
    ("admissionregistration.v1.Rule", "scope"),
    ("admissionregistration.v1.RuleWithOperations", "scope"),
    ("admissionregistration.v1.ServiceReference", "path port"),
    ("admissionregistration.v1.ValidatingAdmissionPolicySpec", "failurePolicy"),
    ("admissionregistration.v1.ValidatingWebhook", "failurePolicy matchPolicy sideEffects timeoutSeconds"),
    ("admissionregistration.v1.Validation", "reason"),
    ("admissionregistration.v1.WebhookClientConfig", "url"),
    ("apiextensions.v1.CustomResourceDefinitionVersion", "deprecationWarning"),
    ("apiextensions.v1.CustomResourceSubresourceScale", "labelSelectorPath"),
    (
        "apiextensions.v1.JSONSchemaProps",
        "$ref maxItems maxLength maxProperties maximum minItems minLength minProperties minimum multipleOf x-kubernetes-list-type x-kubernetes-map-type x-kubernetes-preserve-unknown-fields",
    ),
    ("apiextensions.v1.ServiceReference", "path port"),
    ("apiextensions.v1.ValidationRule", "optionalOldSelf reason"),
    ("apiextensions.v1.WebhookClientConfig", "url"),
    ("apps.v1.DaemonSetSpec", "revisionHistoryLimit"),
    ("apps.v1.DaemonSetStatus", "collisionCount"),
    ("apps.v1.DeploymentSpec", "progressDeadlineSeconds replicas revisionHistoryLimit"),
    ("apps.v1.DeploymentStatus", "collisionCount terminatingReplicas"),
    ("apps.v1.ReplicaSetSpec", "replicas"),
    ("apps.v1.ReplicaSetStatus", "terminatingReplicas"),
    ("apps.v1.RollingUpdateStatefulSetStrategy", "partition"),
    ("apps.v1.StatefulSetSpec", "replicas revisionHistoryLimit"),
    ("apps.v1.StatefulSetStatus", "collisionCount"),
    ("authentication.v1.TokenRequestSpec", "expirationSeconds"),
    ("autoscaling.v1.HorizontalPodAutoscalerSpec", "minReplicas targetCPUUtilizationPercentage"),
    ("autoscaling.v1.HorizontalPodAutoscalerStatus", "currentCPUUtilizationPercentage observedGeneration"),
    ("autoscaling.v2.HPAScalingRules", "selectPolicy stabilizationWindowSeconds"),
    ("autoscaling.v2.HorizontalPodAutoscalerSpec", "minReplicas"),
    ("autoscaling.v2.HorizontalPodAutoscalerStatus", "observedGeneration"),
    ("autoscaling.v2.MetricTarget", "averageUtilization"),
    ("autoscaling.v2.MetricValueStatus", "averageUtilization"),
    (
        "batch.v1.CronJobSpec",
        "failedJobsHistoryLimit startingDeadlineSeconds successfulJobsHistoryLimit suspend timeZone",
    ),
    (
        "batch.v1.JobSpec",
        "activeDeadlineSeconds backoffLimit backoffLimitPerIndex completionMode completions managedBy manualSelector maxFailedIndexes parallelism podReplacementPolicy suspend ttlSecondsAfterFinished",
    ),
    ("batch.v1.JobStatus", "failedIndexes ready terminating"),
    ("batch.v1.PodFailurePolicyOnExitCodesRequirement", "containerName"),
    ("batch.v1.SuccessPolicyRule", "succeededCount succeededIndexes"),
    (
        "coordination.v1.LeaseSpec",
        "holderIdentity leaseDurationSeconds leaseTransitions preferredHolder strategy",
    ),
    ("core.v1.AppArmorProfile", "localhostProfile"),
    ("core.v1.AzureDiskVolumeSource", "cachingMode fsType kind readOnly"),
    ("core.v1.AzureFilePersistentVolumeSource", "secretNamespace"),
    ("core.v1.CSIVolumeSource", "fsType readOnly"),
    ("core.v1.ClientIPConfig", "timeoutSeconds"),
    ("core.v1.ClusterTrustBundleProjection", "name optional signerName"),
    ("core.v1.ConfigMap", "immutable"),
    ("core.v1.ConfigMapEnvSource", "optional"),
    ("core.v1.ConfigMapKeySelector", "optional"),
    ("core.v1.ConfigMapProjection", "optional"),
    ("core.v1.ConfigMapVolumeSource", "defaultMode optional"),
    ("core.v1.Container", "restartPolicy"),
    ("core.v1.ContainerStatus", "started stopSignal"),
    ("core.v1.DownwardAPIVolumeFile", "mode"),
    ("core.v1.DownwardAPIVolumeSource", "defaultMode"),
    ("core.v1.EndpointAddress", "nodeName"),
    ("core.v1.EndpointPort", "appProtocol"),
    ("core.v1.EphemeralContainer", "restartPolicy"),
    ("core.v1.FCVolumeSource", "lun"),
    ("core.v1.FileKeySelector", "optional"),
    ("core.v1.GRPCAction", "service"),
    ("core.v1.GlusterfsPersistentVolumeSource", "endpointsNamespace"),
    ("core.v1.HostPathVolumeSource", "type"),
    ("core.v1.ISCSIPersistentVolumeSource", "initiatorName"),
    ("core.v1.ISCSIVolumeSource", "initiatorName"),
    ("core.v1.KeyToPath", "mode"),
    ("core.v1.Lifecycle", "stopSignal"),
    ("core.v1.LoadBalancerIngress", "ipMode"),
    ("core.v1.LocalVolumeSource", "fsType"),
    ("core.v1.NodeFeatures", "supplementalGroupsPolicy"),
    ("core.v1.NodeRuntimeHandlerFeatures", "recursiveReadOnlyMounts userNamespaces"),
    ("core.v1.NodeSwapStatus", "capacity"),
    ("core.v1.PersistentVolumeClaimSpec", "storageClassName volumeAttributesClassName volumeMode"),
    ("core.v1.PersistentVolumeClaimStatus", "currentVolumeAttributesClassName"),
    ("core.v1.PersistentVolumeSpec", "volumeAttributesClassName volumeMode"),
    ("core.v1.PodCertificateProjection", "maxExpirationSeconds"),
    ("core.v1.PodDNSConfigOption", "value"),
    ("core.v1.PodResourceClaim", "resourceClaimName resourceClaimTemplateName"),
    ("core.v1.PodResourceClaimStatus", "resourceClaimName"),
    (
        "core.v1.PodSecurityContext",
        "fsGroup fsGroupChangePolicy runAsGroup runAsNonRoot runAsUser seLinuxChangePolicy supplementalGroupsPolicy",
    ),
    (
        "core.v1.PodSpec",
        "activeDeadlineSeconds automountServiceAccountToken enableServiceLinks hostUsers hostnameOverride preemptionPolicy priority runtimeClassName setHostnameAsFQDN shareProcessNamespace terminationGracePeriodSeconds",
    ),
    ("core.v1.PortStatus", "error"),
    ("core.v1.Probe", "terminationGracePeriodSeconds"),
    ("core.v1.ProjectedVolumeSource", "defaultMode"),
    ("core.v1.ReplicationControllerSpec", "replicas"),
    ("core.v1.SeccompProfile", "localhostProfile"),
    ("core.v1.Secret", "immutable"),
    ("core.v1.SecretEnvSource", "optional"),
    ("core.v1.SecretKeySelector", "optional"),
    ("core.v1.SecretProjection", "optional"),
    ("core.v1.SecretVolumeSource", "defaultMode optional"),
    (
        "core.v1.SecurityContext",
        "allowPrivilegeEscalation privileged procMount readOnlyRootFilesystem runAsGroup runAsNonRoot runAsUser",
    ),
    ("core.v1.ServiceAccount", "automountServiceAccountToken"),
    ("core.v1.ServiceAccountTokenProjection", "expirationSeconds"),
    ("core.v1.ServicePort", "appProtocol"),
    (
        "core.v1.ServiceSpec",
        "allocateLoadBalancerNodePorts internalTrafficPolicy ipFamilyPolicy loadBalancerClass trafficDistribution",
    ),
    ("core.v1.Toleration", "tolerationSeconds"),
    ("core.v1.TopologySpreadConstraint", "minDomains nodeAffinityPolicy nodeTaintsPolicy"),
    ("core.v1.TypedLocalObjectReference", "apiGroup"),
    ("core.v1.TypedObjectReference", "apiGroup namespace"),
    ("core.v1.VolumeMount", "mountPropagation recursiveReadOnly"),
    ("core.v1.VolumeMountStatus", "recursiveReadOnly"),
    (
        "core.v1.WindowsSecurityContextOptions",
        "gmsaCredentialSpec gmsaCredentialSpecName hostProcess runAsUserName",
    ),
    ("discovery.v1.Endpoint", "hostname nodeName zone"),
    ("discovery.v1.EndpointConditions", "ready serving terminating"),
    ("discovery.v1.EndpointPort", "appProtocol name port protocol"),
    (
        "meta.v1.DeleteOptions",
        "gracePeriodSeconds ignoreStoreReadErrorWithClusterBreakingPotential orphanDependents propagationPolicy",
    ),
    ("meta.v1.ListMeta", "remainingItemCount"),
    ("meta.v1.ObjectMeta", "deletionGracePeriodSeconds"),
    ("meta.v1.OwnerReference", "blockOwnerDeletion controller"),
    ("meta.v1.Preconditions", "resourceVersion uid"),
    ("networking.v1.HTTPIngressPath", "pathType"),
    ("networking.v1.IngressClassParametersReference", "apiGroup namespace scope"),
    ("networking.v1.IngressPortStatus", "error"),
    ("networking.v1.IngressSpec", "ingressClassName"),
    ("networking.v1.NetworkPolicyPort", "endPort protocol"),
    ("policy.v1.PodDisruptionBudgetSpec", "unhealthyPodEvictionPolicy"),
    ("scheduling.v1.PriorityClass", "preemptionPolicy"),
    (
        "storage.v1.CSIDriverSpec",
        "attachRequired fsGroupPolicy nodeAllocatableUpdatePeriodSeconds podInfoOnMount requiresRepublish seLinuxMount storageCapacity",
    ),
    ("storage.v1.StorageClass", "allowVolumeExpansion reclaimPolicy volumeBindingMode"),
    ("storage.v1.TokenRequest", "expirationSeconds"),
    ("storage.v1.VolumeAttachmentSource", "persistentVolumeName"),
    ("storage.v1.VolumeError", "errorCode"),
    ("storage.v1.VolumeNodeResources", "count"),
];

/// Scalars without `omitempty` that the schemas do not call required.
const WRITTEN: &[(&str, &str)] = &[
    ("apps.v1.StatefulSetOrdinals", "start"),
    ("apps.v1.StatefulSetSpec", "serviceName"),
    ("apps.v1.StatefulSetStatus", "availableReplicas"),
    ("core.v1.Event", "reportingComponent reportingInstance"),
    ("core.v1.NodeRuntimeHandler", "name"),
];

/// Scalars with `omitempty` that the schemas call required.
const LEFT_OUT: &[(&str, &str)] = &[
    ("core.v1.ContainerRestartRule", "action"),
    ("core.v1.ContainerRestartRuleOnExitCodes", "operator"),
    ("core.v1.PodCertificateProjection", "keyType signerName"),
    ("networking.v1.ParentReference", "name resource"),
];

/// Whether a scalar field of a schema (by its full name) is a pointer in Go.
pub(crate) fn is_pointer(schema: &str, field: &str) -> bool {
    lists(POINTERS, schema, field)
}

/// Structs that Go holds by value, other than `metadata`, `spec` and `status`: absent and empty are the same.
const VALUES: &[(&str, &str)] = &[
    ("admissionregistration.v1.MutatingWebhook", "clientConfig"),
    ("admissionregistration.v1.ValidatingWebhook", "clientConfig"),
    ("apps.v1.DaemonSetSpec", "template updateStrategy"),
    ("apps.v1.DeploymentSpec", "strategy template"),
    ("apps.v1.ReplicaSetSpec", "template"),
    ("apps.v1.StatefulSetSpec", "template updateStrategy"),
    ("autoscaling.v1.HorizontalPodAutoscalerSpec", "scaleTargetRef"),
    ("autoscaling.v2.HorizontalPodAutoscalerSpec", "scaleTargetRef"),
    ("batch.v1.CronJobSpec", "jobTemplate"),
    ("batch.v1.JobSpec", "template"),
    ("core.v1.Container", "resources"),
    ("core.v1.ContainerStatus", "lastState state"),
    ("core.v1.EphemeralContainer", "resources"),
    ("core.v1.Event", "involvedObject source"),
    ("core.v1.NodeDaemonEndpoints", "kubeletEndpoint"),
    ("core.v1.NodeStatus", "daemonEndpoints nodeInfo"),
    ("core.v1.PersistentVolumeClaimSpec", "resources"),
    ("core.v1.PodTemplate", "template"),
    ("core.v1.PreferredSchedulingTerm", "preference"),
    ("core.v1.ServiceStatus", "loadBalancer"),
    ("core.v1.WeightedPodAffinityTerm", "podAffinityTerm"),
    ("discovery.v1.Endpoint", "conditions"),
    ("events.v1.Event", "deprecatedSource regarding"),
    ("networking.v1.HTTPIngressPath", "backend"),
    ("networking.v1.IngressServiceBackend", "port"),
    ("networking.v1.IngressStatus", "loadBalancer"),
    ("networking.v1.NetworkPolicySpec", "podSelector"),
    ("rbac.v1.ClusterRoleBinding", "roleRef"),
    ("rbac.v1.RoleBinding", "roleRef"),
];

/// Whether Go holds a field as a struct, not as a pointer to one.
pub(crate) fn is_value(schema: &str, field: &str) -> bool {
    // Custom resources have no Go types here, and so no schema of this file.
    matches!(field, "metadata" | "spec" | "status") || lists(VALUES, schema, field)
}

/// Whether Go writes a field of a schema even when it is empty.
pub(crate) fn is_always_written(schema: &str, field: &str, required: bool) -> bool {
    if required { !lists(LEFT_OUT, schema, field) } else { lists(WRITTEN, schema, field) }
}

fn lists(table: &[(&str, &str)], schema: &str, field: &str) -> bool {
    let named = |name: &str| schema.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    table.iter().any(|(name, fields)| named(name) && fields.split(' ').any(|listed| listed == field))
}
