//! Deployments as their ReplicaSets see them.

use serde_json::{Value, json};

use super::*;
use crate::test_world::{at, mk_deployment};

/// Applies writes to the world as the API would, with every Pod available at once.
fn settle(world: &mut World, writes: Vec<Write>) {
    for write in writes {
        match write {
            Write::Create(mut object) if object["kind"] == "ReplicaSet" => {
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                object["metadata"]["uid"] = json!(format!("uid-{name}"));
                world.put(available(object));
            }
            Write::Replace(object) if object["kind"] == "ReplicaSet" => world.put(available(object)),
            Write::Replace(object) | Write::ReplaceStatus(object) if object["kind"] == "Deployment" => {
                world.put(serde_json::from_value::<Deployment>(object).unwrap());
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

fn available(mut object: Value) -> ReplicaSet {
    let replicas = object["spec"]["replicas"].clone();
    object["status"] =
        json!({"replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas});
    serde_json::from_value(object).unwrap()
}

fn run(world: &mut World) {
    for round in 0..50 {
        let writes = reconcile(world, at(round));
        if writes.is_empty() {
            return;
        }
        settle(world, writes);
    }
    panic!("the Deployment never came to rest");
}

#[test]
fn a_new_deployment_gets_one_replica_set_and_becomes_available() {
    let mut world = World::default();
    world.put(mk_deployment("shop", "web", 3));
    run(&mut world);
    let set = world.replica_sets.values().next().unwrap();
    let hash = &set.metadata.labels.as_ref().unwrap()[HASH_LABEL];
    assert_eq!(set.metadata.name.as_deref(), Some(format!("web-{hash}").as_str()));
    assert_eq!(counts(set).wanted, 3);
    let status = world.deployments.values().next().unwrap().status.clone().unwrap();
    assert_eq!(status.available_replicas, Some(3));
    let conditions = status.conditions.unwrap();
    let reasons: Vec<_> = conditions.iter().map(|condition| condition.reason.as_deref().unwrap()).collect();
    assert_eq!(reasons, ["MinimumReplicasAvailable", "NewReplicaSetAvailable"]);
}

#[test]
fn a_changed_template_rolls_over_and_going_back_reuses_the_old_set() {
    let mut world = World::default();
    let original = mk_deployment("shop", "web", 3);
    world.put(original.clone());
    run(&mut world);
    let change = |world: &mut World, image: Option<&str>| {
        let mut deployment = world.deployments.values().next().unwrap().clone();
        let template = &mut deployment.spec.as_mut().unwrap().template;
        template.spec.as_mut().unwrap().containers[0].image = image.map(str::to_owned);
        world.put(deployment);
        run(world);
    };
    change(&mut world, Some("web:2"));
    let sizes = |world: &World| {
        let mut sizes: Vec<_> =
            world.replica_sets.values().map(|set| (revision_of(&set.metadata), counts(set).wanted)).collect();
        sizes.sort_unstable();
        sizes
    };
    assert_eq!(sizes(&world), [(1, 0), (2, 3)]);
    change(&mut world, None);
    assert_eq!(sizes(&world), [(2, 0), (3, 3)]);
    let deployment = world.deployments.values().next().unwrap();
    assert_eq!(revision_of(&deployment.metadata), 3);
}

#[test]
fn scaling_changes_the_newest_set_only() {
    let mut world = World::default();
    world.put(mk_deployment("shop", "web", 1));
    run(&mut world);
    let mut deployment = world.deployments.values().next().unwrap().clone();
    deployment.spec.as_mut().unwrap().replicas = Some(4);
    deployment.spec.as_mut().unwrap().paused = Some(true);
    world.put(deployment);
    run(&mut world);
    assert_eq!(world.replica_sets.values().map(|set| counts(set).wanted).collect::<Vec<_>>(), [4]);
}
