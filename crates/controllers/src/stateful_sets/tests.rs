//! StatefulSets as their Pods come, change and go.

use serde_json::{Value, json};

use super::*;
use crate::test_world::Bench;
use crate::{Controller, garbage, scheduler, volume_claims};

const ALL: &[Controller] = &[reconcile, volume_claims::reconcile, scheduler::reconcile, garbage::reconcile];

fn mk_set(replicas: i32, more: &Value) -> Value {
    let mut set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": { "namespace": "shop", "name": "db", "uid": "uid-db", "generation": 1 },
        "spec": {
            "replicas": replicas, "serviceName": "db-headless", "selector": { "matchLabels": { "app": "db" } },
            "template": {
                "metadata": { "labels": { "app": "db" } },
                "spec": { "containers": [{ "name": "c", "image": "db:1" }] },
            },
        },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        set["spec"][key] = value.clone();
    }
    set
}

fn change(bench: &mut Bench, how: impl FnOnce(&mut StatefulSetSpec)) {
    let mut set = bench.world.stateful_sets.values().next().unwrap().clone();
    how(set.spec.as_mut().unwrap());
    bench.world.put(set);
}

fn set_image(spec: &mut StatefulSetSpec, image: &str) {
    spec.template.spec.as_mut().unwrap().containers[0].image = Some(image.to_owned());
}

fn images(bench: &Bench) -> Vec<(String, String)> {
    let pods = bench.world.pods.values();
    pods.map(|pod| {
        let image = pod.spec.as_ref().unwrap().containers[0].image.clone();
        (pod.metadata.name.clone().unwrap(), image.unwrap())
    })
    .collect()
}

fn status(bench: &Bench) -> StatefulSetStatus {
    bench.world.stateful_sets.values().next().unwrap().status.clone().unwrap()
}

#[test]
fn pods_come_one_after_the_other_with_names_of_their_own() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_set(3, &json!({})));
    bench.settle(ALL);
    assert_eq!(bench.pod_names(), ["db-0"], "the second waits for the first to be ready");
    bench.run(ALL);
    assert_eq!(bench.pod_names(), ["db-0", "db-1", "db-2"]);
    let pod = bench.pod("db-1");
    let spec = pod.spec.unwrap();
    assert_eq!((spec.hostname.as_deref(), spec.subdomain.as_deref()), (Some("db-1"), Some("db-headless")));
    let labels = pod.metadata.labels.unwrap();
    assert_eq!(labels["statefulset.kubernetes.io/pod-name"], "db-1");
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "1");
    let status = status(&bench);
    assert_eq!(Some(&labels["controller-revision-hash"]), status.current_revision.as_ref());
    assert_eq!((status.replicas, status.ready_replicas, status.updated_replicas), (3, Some(3), Some(3)));
    assert_eq!(status.current_revision, status.update_revision);
}

#[test]
fn parallel_sets_do_not_wait() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_set(3, &json!({ "podManagementPolicy": "Parallel", "ordinals": { "start": 5 } })));
    bench.settle(ALL);
    assert_eq!(bench.pod_names(), ["db-5", "db-6", "db-7"]);
}

#[test]
fn the_highest_goes_first_and_comes_back_with_its_name() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_set(3, &json!({})));
    bench.run(ALL);
    change(&mut bench, |spec| spec.replicas = Some(1));
    let deleted: Vec<String> = (0..6)
        .flat_map(|_| bench.look(reconcile))
        .filter_map(|write| match write {
            Write::Delete { kind, name, .. } if kind == "Pod" => Some(name.name.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(deleted, ["db-2", "db-1"]);
    let lost = bench.pod("db-0");
    bench.world.remove(lost.clone());
    bench.run(ALL);
    assert_eq!(bench.pod_names(), ["db-0"]);
    assert_ne!(bench.pod("db-0").metadata.uid, lost.metadata.uid);
}

#[test]
fn a_rollout_goes_from_the_highest_to_the_partition_and_back() {
    let mut bench = Bench::new(&["node-a"]);
    let partition = json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } });
    bench.put(mk_set(3, &json!({ "updateStrategy": partition })));
    bench.run(ALL);
    change(&mut bench, |spec| set_image(spec, "db:2"));
    bench.run(ALL);
    let image = |bench: &Bench, index: usize| images(bench)[index].1.clone();
    assert_eq!([image(&bench, 0), image(&bench, 1), image(&bench, 2)], ["db:1", "db:1", "db:2"]);
    let held = status(&bench);
    assert_ne!(held.current_revision, held.update_revision);
    assert_eq!((held.current_replicas, held.updated_replicas), (Some(2), Some(1)));
    // A Pod below the partition comes back as it was.
    let lost = bench.pod("db-0");
    bench.world.remove(lost);
    bench.run(ALL);
    assert_eq!(image(&bench, 0), "db:1");
    change(&mut bench, |spec| {
        spec.update_strategy.as_mut().unwrap().rolling_update.as_mut().unwrap().partition = Some(0);
    });
    bench.run(ALL);
    assert_eq!([image(&bench, 0), image(&bench, 1), image(&bench, 2)], ["db:2", "db:2", "db:2"]);
    let held = status(&bench);
    assert_eq!(held.current_revision, held.update_revision);
    assert_eq!(bench.world.revisions.len(), 2);
    // Going back makes no third revision, but the first one the last.
    change(&mut bench, |spec| set_image(spec, "db:1"));
    bench.run(ALL);
    assert_eq!(image(&bench, 1), "db:1");
    let numbers: Vec<i64> = bench.world.revisions.values().map(|revision| revision.revision).collect();
    assert!(numbers.contains(&3) && numbers.len() == 2, "{numbers:?}");
}

#[test]
fn an_unready_pod_stops_the_rollout_and_on_delete_waits_for_the_user() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_set(3, &json!({})));
    bench.run(ALL);
    change(&mut bench, |spec| set_image(spec, "db:2"));
    bench.settle(ALL);
    let changed = images(&bench).into_iter().filter(|(_, image)| image == "db:2").count();
    assert_eq!(changed, 1, "only db-2, which is not ready yet");

    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_set(2, &json!({ "updateStrategy": { "type": "OnDelete" } })));
    bench.run(ALL);
    change(&mut bench, |spec| set_image(spec, "db:2"));
    bench.run(ALL);
    assert_eq!(images(&bench)[0].1, "db:1");
    let pod = bench.pod("db-0");
    bench.world.remove(pod);
    bench.run(ALL);
    assert_eq!([images(&bench)[0].1.as_str(), images(&bench)[1].1.as_str()], ["db:2", "db:1"]);
}

#[test]
fn history_is_cut_at_its_limit() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_set(1, &json!({ "revisionHistoryLimit": 1 })));
    bench.run(ALL);
    for version in 2..6 {
        change(&mut bench, |spec| set_image(spec, &format!("db:{version}")));
        bench.run(ALL);
    }
    assert_eq!(bench.world.revisions.len(), 2, "the present one and one before");
}

#[test]
fn storage_outlives_the_pod_unless_the_policy_says_otherwise() {
    let template = json!([{ "metadata": { "name": "data" }, "spec": { "accessModes": ["ReadWriteOnce"] } }]);
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_set(2, &json!({ "volumeClaimTemplates": template })));
    bench.run(ALL);
    let claims = |bench: &Bench| -> Vec<String> {
        bench.world.volume_claims.keys().map(|name| name.name.clone()).collect()
    };
    assert_eq!(claims(&bench), ["data-db-0", "data-db-1"]);
    let volumes = bench.pod("db-1").spec.unwrap().volumes.unwrap();
    assert_eq!(volumes[0].persistent_volume_claim.as_ref().unwrap().claim_name, "data-db-1");
    change(&mut bench, |spec| spec.replicas = Some(1));
    bench.run(ALL);
    assert_eq!(claims(&bench), ["data-db-0", "data-db-1"]);
    change(&mut bench, |spec| {
        spec.replicas = Some(2);
        spec.persistent_volume_claim_retention_policy =
            serde_json::from_value(json!({ "whenScaled": "Delete" })).unwrap();
    });
    bench.run(ALL);
    change(&mut bench, |spec| spec.replicas = Some(1));
    bench.run(ALL);
    assert_eq!(claims(&bench), ["data-db-0"]);
}

#[test]
fn a_pod_that_ended_is_made_again_and_a_foreign_one_is_left_alone() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_set(1, &json!({})));
    bench.run(ALL);
    let first = bench.pod("db-0").metadata.uid;
    bench.end_pod("db-0", "Failed");
    bench.run(ALL);
    assert_ne!(bench.pod("db-0").metadata.uid, first);

    let mut bench = Bench::new(&["node-a"]);
    bench.world.put(crate::test_world::mk_pod("shop", "db-0"));
    bench.put(mk_set(1, &json!({})));
    let first = bench.look(reconcile);
    assert!(matches!(first.as_slice(), [Write::Create(_)]), "the revision: {first:?}");
    let writes = bench.look(reconcile);
    let warned =
        writes.iter().any(|write| matches!(write, Write::Note(note) if note.reason == "FailedCreate"));
    let creates = writes.iter().any(|write| matches!(write, Write::Create(_)));
    assert!(warned && !creates, "{writes:?}");
}
