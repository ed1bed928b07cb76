//! Rows of the core group, and of Events in their own group, which are the same objects in another form.

use super::{BASE, SCALE, STATUS, selectable, spoken};
use crate::columns;
use crate::defaults;
use crate::row::{DeleteAnswer, Generation, NameRule, Row, Subresource};
use crate::validate;

/// A proxied request may have any method (`k8s.io/kubernetes/pkg/registry/core/pod/rest` `proxyMethods`).
const PROXIED: &[&str] = &["create", "delete", "get", "patch", "update"];

pub(super) const KINDS: &[&Row] = &[
    &Row {
        kind: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        short_names: &["ns"],
        namespaced: false,
        verbs: &["create", "delete", "get", "list", "patch", "update", "watch"],
        subresources: &[STATUS, Subresource { name: "finalize", speaks: None, verbs: &["update"] }],
        names: NameRule::Label,
        selectable: selectable::NAMESPACE,
        columns: columns::NAMESPACE,
        schema: "io.k8s.api.core.v1.Namespace",
        defaults: defaults::namespace,
        ..BASE
    },
    &Row {
        kind: "Node",
        plural: "nodes",
        singular: "node",
        short_names: &["no"],
        namespaced: false,
        status_on_create: true,
        subresources: &[spoken("proxy", "", "NodeProxyOptions", PROXIED), STATUS],
        selectable: selectable::NODE,
        columns: columns::NODE,
        schema: "io.k8s.api.core.v1.Node",
        defaults: defaults::node,
        ..BASE
    },
    &Row {
        kind: "Pod",
        plural: "pods",
        singular: "pod",
        short_names: &["po"],
        categories: &["all"],
        subresources: &[
            STATUS,
            spoken("attach", "", "PodAttachOptions", &["create", "get"]),
            spoken("binding", "", "Binding", &["create"]),
            Subresource { name: "ephemeralcontainers", speaks: None, verbs: &["get", "patch", "update"] },
            spoken("eviction", "policy", "Eviction", &["create"]),
            spoken("exec", "", "PodExecOptions", &["create", "get"]),
            Subresource { name: "log", speaks: None, verbs: &["get"] },
            spoken("portforward", "", "PodPortForwardOptions", &["create", "get"]),
            spoken("proxy", "", "PodProxyOptions", PROXIED),
        ],
        generation: Generation::Spec,
        delete_answer: DeleteAnswer::Object,
        selectable: selectable::POD,
        columns: columns::POD,
        schema: "io.k8s.api.core.v1.Pod",
        defaults: defaults::pod,
        validate: validate::pod,
        ..BASE
    },
    &Row {
        kind: "Service",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        categories: &["all"],
        subresources: &[spoken("proxy", "", "ServiceProxyOptions", PROXIED), STATUS],
        create_on_update: true,
        delete_answer: DeleteAnswer::Object,
        names: NameRule::Label1035,
        selectable: selectable::SERVICE,
        columns: columns::SERVICE,
        schema: "io.k8s.api.core.v1.Service",
        defaults: defaults::service,
        validate: validate::service,
        ..BASE
    },
    &Row {
        kind: "Endpoints",
        plural: "endpoints",
        singular: "endpoints",
        short_names: &["ep"],
        create_on_update: true,
        columns: columns::ENDPOINTS,
        schema: "io.k8s.api.core.v1.Endpoints",
        defaults: defaults::endpoints,
        validate: validate::endpoints,
        ..BASE
    },
    &Row {
        kind: "ConfigMap",
        plural: "configmaps",
        singular: "configmap",
        short_names: &["cm"],
        columns: columns::CONFIG_MAP,
        schema: "io.k8s.api.core.v1.ConfigMap",
        validate: validate::config_map,
        ..BASE
    },
    &Row {
        kind: "Secret",
        plural: "secrets",
        singular: "secret",
        selectable: selectable::SECRET,
        columns: columns::SECRET,
        schema: "io.k8s.api.core.v1.Secret",
        defaults: defaults::secret,
        validate: validate::secret,
        ..BASE
    },
    &Row {
        kind: "ServiceAccount",
        plural: "serviceaccounts",
        singular: "serviceaccount",
        short_names: &["sa"],
        subresources: &[spoken("token", "authentication.k8s.io", "TokenRequest", &["create"])],
        delete_answer: DeleteAnswer::Object,
        columns: columns::SERVICE_ACCOUNT,
        schema: "io.k8s.api.core.v1.ServiceAccount",
        ..BASE
    },
    &Row {
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        create_on_update: true,
        selectable: selectable::EVENT,
        columns: columns::EVENT,
        schema: "io.k8s.api.core.v1.Event",
        ..BASE
    },
    &Row {
        kind: "ReplicationController",
        plural: "replicationcontrollers",
        singular: "replicationcontroller",
        short_names: &["rc"],
        categories: &["all"],
        subresources: &[STATUS, SCALE],
        generation: Generation::Spec,
        selectable: selectable::REPLICA_SET,
        schema: "io.k8s.api.core.v1.ReplicationController",
        warning: Some(
            "ReplicationControllers are stored, but nothing creates their Pods here; use a Deployment",
        ),
        ..BASE
    },
    &Row {
        kind: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
        singular: "persistentvolumeclaim",
        short_names: &["pvc"],
        subresources: &[STATUS],
        delete_answer: DeleteAnswer::Object,
        schema: "io.k8s.api.core.v1.PersistentVolumeClaim",
        columns: columns::VOLUME_CLAIM,
        defaults: defaults::volume_claim,
        warning: Some(
            "PersistentVolumeClaims get a directory of the lab, without regard to size, class and access modes",
        ),
        ..BASE
    },
    &Row {
        kind: "PersistentVolume",
        plural: "persistentvolumes",
        singular: "persistentvolume",
        short_names: &["pv"],
        namespaced: false,
        subresources: &[STATUS],
        delete_answer: DeleteAnswer::Object,
        schema: "io.k8s.api.core.v1.PersistentVolume",
        columns: columns::VOLUME,
        defaults: defaults::volume,
        warning: Some(
            "PersistentVolumes other than hostPath get a directory of the lab instead of the storage they name",
        ),
        ..BASE
    },
    &Row {
        kind: "LimitRange",
        plural: "limitranges",
        singular: "limitrange",
        short_names: &["limits"],
        schema: "io.k8s.api.core.v1.LimitRange",
        warning: Some("LimitRanges are stored, but not enforced here"),
        ..BASE
    },
    &Row {
        kind: "ResourceQuota",
        plural: "resourcequotas",
        singular: "resourcequota",
        short_names: &["quota"],
        subresources: &[STATUS],
        schema: "io.k8s.api.core.v1.ResourceQuota",
        warning: Some("ResourceQuotas are stored, but not enforced here"),
        ..BASE
    },
    &Row {
        kind: "PodTemplate",
        plural: "podtemplates",
        singular: "podtemplate",
        schema: "io.k8s.api.core.v1.PodTemplate",
        ..BASE
    },
    &Row {
        group: "events.k8s.io",
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        create_on_update: true,
        selectable: selectable::EVENT_V1,
        columns: columns::EVENT,
        schema: "io.k8s.api.events.v1.Event",
        view_of: Some(crate::events::VIEW),
        ..BASE
    },
];
