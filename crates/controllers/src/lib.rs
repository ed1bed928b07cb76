//! Objects to wanted objects: what a lab runs and a real cluster already has.
//!
//! Each controller is a function from the [`World`] to the [`Write`]s that bring it closer to what its objects ask
//! for. It never remembers anything: whoever drives it must not call it again before the world shows the results of
//! the last writes (by resourceVersion, per kind), or Pods would be created twice.

mod by_controller;
mod by_label;
mod claim;
mod cron_jobs;
mod daemon_sets;
mod deployment;
mod disruption;
mod endpoint_slices;
mod endpoints;
mod expiry;
mod garbage;
mod jobs;
mod letters;
mod mirroring;
mod namespaces;
mod node_fit;
mod owner;
mod pod_state;
mod replica_sets;
mod revisions;
mod rollout;
mod scheduler;
mod selection;
mod stamp;
mod stateful_sets;
mod template;
#[cfg(test)]
mod test_world;
mod volume_claims;
mod world;

pub use volume_claims::LAB_STORAGE;
pub use world::{AnyObject, Held, Note, OtherKind, Propagation, Severity, World, Write};

use jiff::Timestamp;

/// A controller: reads the world, says what to write.
type Controller = fn(&World, Timestamp) -> Vec<Write>;

/// The controllers, in the order in which their writes are made.
const CONTROLLERS: &[Controller] = &[
    namespaces::reconcile,
    deployment::reconcile,
    replica_sets::reconcile,
    stateful_sets::reconcile,
    daemon_sets::reconcile,
    cron_jobs::reconcile,
    jobs::reconcile,
    endpoint_slices::reconcile,
    endpoints::reconcile,
    mirroring::reconcile,
    disruption::reconcile,
    volume_claims::reconcile,
    garbage::reconcile,
    expiry::reconcile,
];

/// Everything the scheduler wants written now; its rights are others than the controllers'.
#[must_use]
pub fn schedule(world: &World, now: Timestamp) -> Vec<Write> {
    scheduler::reconcile(world, now)
}

/// Everything all controllers but the scheduler want written now; empty when the world is as its objects ask.
#[must_use]
pub fn reconcile(world: &World, now: Timestamp) -> Vec<Write> {
    CONTROLLERS.iter().flat_map(|controller| controller(world, now)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::test_world::{Bench, at, mk_deployment, mk_namespace, mk_replica_set, mk_service};

    /// An object with a template whose Pods have the label `app=NAME`.
    fn mk_workload(kind: &str, version: &str, name: &str, spec: &Value) -> Value {
        let mut object = json!({
            "apiVersion": version, "kind": kind, "metadata": { "namespace": "shop", "name": name, "uid": name },
            "spec": {
                "selector": { "matchLabels": { "app": name } },
                "template": {
                    "metadata": { "labels": { "app": name } }, "spec": { "containers": [{ "name": "c" }] },
                },
            },
        });
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        object
    }

    fn everybody() -> Vec<Controller> {
        [CONTROLLERS, &[scheduler::reconcile]].concat()
    }

    #[test]
    fn all_controllers_come_to_rest_together_and_stay_there() {
        let mut bench = Bench::new(&["node-a", "node-b"]);
        bench.world.put(mk_namespace("shop"));
        bench.world.put(mk_deployment("shop", "web", 3));
        bench.world.put(mk_service("shop", "web"));
        bench.put(mk_workload(
            "StatefulSet",
            "apps/v1",
            "db",
            &json!({ "replicas": 2, "serviceName": "db" }),
        ));
        bench.put(mk_workload("DaemonSet", "apps/v1", "log", &json!({})));
        bench.put(mk_workload("Job", "batch/v1", "pi", &json!({ "completions": 2, "parallelism": 2 })));
        bench.put(json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": { "namespace": "shop", "name": "web", "uid": "pdb" },
            "spec": { "minAvailable": 2, "selector": { "matchLabels": { "app": "web" } } },
        }));
        bench.run(&everybody());
        assert_eq!(bench.pod_names().len(), 3 + 2 + 2 + 2);
        assert_eq!(reconcile(&bench.world, at(bench.seconds + 1)), []);
        assert_eq!(schedule(&bench.world, at(bench.seconds + 1)), []);
        let budget = bench.world.disruption_budgets.values().next().unwrap().status.clone().unwrap();
        assert_eq!(budget.disruptions_allowed, 1);
    }

    #[test]
    fn ten_thousand_pods_are_looked_after() {
        let mut bench = Bench::new(&["node-a", "node-b", "node-c"]);
        for number in 0..20 {
            let name = format!("set-{number}");
            let mut set = mk_replica_set("shop", &name, 500);
            let spec = set.spec.as_mut().unwrap();
            let labels = [("app".to_owned(), name.clone())].into();
            spec.selector.match_labels = Some(labels);
            let template = spec.template.as_mut().unwrap();
            template.metadata.as_mut().unwrap().labels = spec.selector.match_labels.clone();
            bench.world.put(set);
            let mut service = mk_service("shop", &name);
            service.spec.as_mut().unwrap().selector = Some([("app".to_owned(), name)].into());
            bench.world.put(service);
        }
        bench.run(&everybody());
        assert_eq!(bench.world.pods.len(), 10_000);
        assert_eq!(reconcile(&bench.world, at(bench.seconds + 1)), []);
        assert_eq!(schedule(&bench.world, at(bench.seconds + 1)), []);
    }
}
