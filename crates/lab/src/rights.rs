//! Who the lab's agents and controller are, and what they may do: no more than on a real cluster.

use serde_json::Value;

/// The manifest that real clusters get too.
const MANIFEST: &str = include_str!("../../../deploy/rbac.yaml");
/// The agents, as the API knows them.
pub(crate) const AGENT: &str = "system:serviceaccount:kube-system:sealane-agent";
/// The controller, as the API knows it.
pub(crate) const CONTROLLER: &str = "system:serviceaccount:kube-system:sealane-controller";

/// Service accounts, roles and bindings.
pub(crate) fn objects() -> Vec<Value> {
    serde_saphyr::from_multiple(MANIFEST).expect("the manifest is part of the program and tested")
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
        assert_eq!(objects.len(), 6);
    }
}
