//! Requests of Pods and room on Nodes (upstream: `k8s.io/component-helpers/resource`).

use std::collections::BTreeMap;

use engine_schema::quantity;
use k8s_openapi::api::core::v1::{Container, Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Amounts by resource, in billionths.
pub(super) type Resources = BTreeMap<String, i128>;

/// What a Node has for Pods.
pub(super) fn allocatable(node: &Node) -> Resources {
    let status = node.status.as_ref();
    let room = status.and_then(|status| status.allocatable.as_ref().or(status.capacity.as_ref()));
    amounts(room)
}

fn amounts(quantities: Option<&BTreeMap<String, Quantity>>) -> Resources {
    let known = quantities.into_iter().flatten();
    // The API refuses what is no quantity.
    known.map(|(name, amount)| (name.clone(), quantity::nanos(&amount.0).unwrap_or(0))).collect()
}

/// What a Pod asks for: its containers together, or its most demanding init container with the sidecars started before
/// it, whichever is more; requests of the Pod as a whole come instead.
pub(super) fn requests(pod: &Pod) -> Resources {
    let Some(spec) = &pod.spec else { return Resources::new() };
    let of = |container: &Container| {
        amounts(container.resources.as_ref().and_then(|resources| resources.requests.as_ref()))
    };
    let (mut sidecars, mut peak) = (Resources::new(), Resources::new());
    for container in spec.init_containers.iter().flatten() {
        let own = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            add(&mut sidecars, own);
            raise(&mut peak, &sidecars);
        } else {
            let mut together = sidecars.clone();
            add(&mut together, own);
            raise(&mut peak, &together);
        }
    }
    let mut total = sidecars;
    spec.containers.iter().for_each(|container| add(&mut total, of(container)));
    raise(&mut total, &peak);
    total.extend(amounts(spec.resources.as_ref().and_then(|resources| resources.requests.as_ref())));
    add(&mut total, amounts(spec.overhead.as_ref()));
    total
}

fn add(total: &mut Resources, more: Resources) {
    for (name, amount) in more {
        *total.entry(name).or_default() += amount;
    }
}

fn raise(total: &mut Resources, to: &Resources) {
    for (name, amount) in to {
        let held = total.entry(name.clone()).or_default();
        *held = (*held).max(*amount);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn init_containers_count_only_where_they_ask_for_more() {
        let cpu = |amount: &str| json!({ "requests": { "cpu": amount } });
        let pod: Pod = serde_json::from_value(json!({ "metadata": {}, "spec": {
            "initContainers": [
                { "name": "proxy", "restartPolicy": "Always", "resources": cpu("100m") },
                { "name": "prepare", "resources": cpu("1") },
            ],
            "containers": [{ "name": "a", "resources": cpu("250m") }, { "name": "b", "resources": cpu("0.25") }],
        }}))
        .unwrap();
        assert_eq!(requests(&pod)["cpu"], 1_100_000_000, "proxy and prepare together, not proxy, a and b");
    }
}
