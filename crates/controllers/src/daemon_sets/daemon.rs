//! The Pod that a DaemonSet puts on one Node, and whether the Node takes it
//! (upstream: `pkg/controller/daemon/util/daemonset_util.go`).

use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, PodTemplateSpec, Toleration,
};

use super::{HASH_LABEL, State};
use crate::letters::new_name;
use crate::node_fit::{is_selected, untolerated};
use crate::template::pod_of;

/// Taints that never keep a daemon away, with their effects (`AddOrUpdateDaemonPodTolerations`).
const TOLERATED: &[(&str, &str)] = &[
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// The same for Pods in the network of their Node.
const TOLERATED_ON_HOST_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// What a Node does with the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fit {
    /// It gets one.
    pub(super) takes: bool,
    /// One that is there may stay.
    pub(super) keeps: bool,
}

pub(super) fn fit(template: &PodTemplateSpec, node: &Node) -> Fit {
    let spec = template.spec.clone().unwrap_or_default();
    let elsewhere = spec.node_name.as_ref().is_some_and(|name| Some(name) != node.metadata.name.as_ref());
    if elsewhere || !is_selected(&spec, node) {
        return Fit { takes: false, keeps: false };
    }
    let tolerations = tolerations(&spec);
    Fit {
        takes: untolerated(node, &tolerations, &["NoSchedule", "NoExecute"]).is_none(),
        keeps: untolerated(node, &tolerations, &["NoExecute"]).is_none(),
    }
}

fn tolerations(spec: &PodSpec) -> Vec<Toleration> {
    let mut tolerations = spec.tolerations.clone().unwrap_or_default();
    let on_host = (spec.host_network == Some(true)).then_some(TOLERATED_ON_HOST_NETWORK);
    for (key, effect) in TOLERATED.iter().copied().chain(on_host) {
        let toleration = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
    tolerations
}

/// The Node that a Pod is on, or is made for.
pub(super) fn node_of(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    spec.node_name.as_deref().or_else(|| {
        let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
        let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
        let fields = required.node_selector_terms.iter().flat_map(|term| term.match_fields.iter().flatten());
        let mut names = fields.filter(|field| field.key == "metadata.name" && field.operator == "In");
        names.find_map(|field| field.values.as_ref()?.first().map(String::as_str))
    })
}

/// The daemon for one Node.
pub(super) fn new_pod(state: &State<'_>, base: &str, node: &str, number: usize) -> Pod {
    let uid = state.set.metadata.uid.as_deref().unwrap_or_default();
    let mut pod = pod_of(state.set, &state.spec.template, new_name(base, uid, state.now, number));
    pod.metadata.generate_name = Some(base.to_owned());
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(HASH_LABEL.to_owned(), state.hash.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.tolerations = Some(tolerations(spec));
    // The scheduler binds it, to this Node and no other; what the template asks for has been looked at by `fit`.
    let affinity = spec.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    affinity.required_during_scheduling_ignored_during_execution = Some(NodeSelector {
        node_selector_terms: vec![NodeSelectorTerm {
            match_expressions: None,
            match_fields: Some(vec![NodeSelectorRequirement {
                key: "metadata.name".to_owned(),
                operator: "In".to_owned(),
                values: Some(vec![node.to_owned()]),
            }]),
        }],
    });
    pod
}
