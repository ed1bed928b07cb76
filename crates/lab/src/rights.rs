//! Who the lab's own processes are, and what they may do: no more than on a real cluster. Only the kubeconfig on the host
//! is the administrator's.

use serde_json::Value;
use types::NodeName;

/// The manifest that real clusters get too.
const MANIFEST: &str = include_str!("../../../deploy/rbac.yaml");
/// What a real cluster has for its own components.
const COMPONENTS: &str = include_str!("rights.yaml");
/// The agents, as the API knows them.
pub(crate) const AGENT: &str = "system:serviceaccount:kube-system:sealane-agent";
/// The controller, as the API knows it.
pub(crate) const CONTROLLER: &str = "system:serviceaccount:kube-system:sealane-controller";
/// Whoever runs the controllers that every cluster has.
pub(crate) const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
/// Whoever puts Pods on Nodes.
pub(crate) const SCHEDULER: &str = "system:kube-scheduler";
/// The group of all kubelets (apiserver `user.NodesGroup`).
pub(crate) const NODES_GROUP: &str = "system:nodes";

/// A Node's kubelet, as the API knows it.
pub(crate) fn kubelet(node: &NodeName) -> String {
    format!("system:node:{node}")
}

/// Service accounts, roles and bindings.
pub(crate) fn objects() -> Vec<Value> {
    let read = |manifest| -> Vec<Value> {
        serde_saphyr::from_multiple(manifest).expect("the manifest is part of the program and tested")
    };
    [read(MANIFEST), read(COMPONENTS)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_the_manifest_are_ours_and_nothing_is_a_wildcard() {
        let objects = objects();
        let accounts: Vec<String> = objects
            .iter()
            .filter(|object| object["kind"] == "ServiceAccount")
            .map(|object| {
                let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
                format!("system:serviceaccount:{}:{}", text("namespace"), text("name"))
            })
            .collect();
        assert_eq!(accounts, [AGENT, CONTROLLER]);
        assert!(!MANIFEST.contains('*'));
    }

    #[test]
    fn every_component_has_one_role_and_nobody_may_do_everything() {
        let objects = objects();
        let subjects: Vec<&str> = objects
            .iter()
            .filter(|object| object["kind"] == "ClusterRoleBinding")
            .flat_map(|binding| binding["subjects"].as_array().into_iter().flatten())
            .filter_map(|subject| subject["name"].as_str())
            .collect();
        for component in [NODES_GROUP, SCHEDULER, CONTROLLER_MANAGER] {
            assert_eq!(subjects.iter().filter(|subject| **subject == component).count(), 1, "{component}");
        }
        let rules = objects.iter().flat_map(|role| role["rules"].as_array().into_iter().flatten());
        for verb in rules.flat_map(|rule| rule["verbs"].as_array().into_iter().flatten()) {
            assert_ne!(verb, "*");
        }
    }
}
