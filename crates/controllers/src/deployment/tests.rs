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
            Write::Note(_) => {}
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

#[test]
fn recreate_waits_until_the_old_pods_are_really_gone() {
    let mut world = World::default();
    let mut deployment = mk_deployment("shop", "web", 1);
    deployment.spec.as_mut().unwrap().strategy =
        serde_json::from_value(json!({ "type": "Recreate" })).unwrap();
    world.put(deployment.clone());
    run(&mut world);
    let old = world.replica_sets.values().next().unwrap().clone();
    let mut leaving = crate::test_world::mk_pod("shop", "web-1");
    leaving.metadata.owner_references = Some(vec![controller_reference(&old)]);
    leaving.metadata.deletion_timestamp = Some(crate::stamp::stamp(at(0)));
    world.put(leaving.clone());
    let mut deployment = world.deployments.values().next().unwrap().clone();
    deployment.spec.as_mut().unwrap().template.spec.as_mut().unwrap().containers[0].image =
        Some("web:2".to_owned());
    world.put(deployment);
    run(&mut world);
    let newest = |world: &World| {
        let sets = world.replica_sets.values();
        sets.max_by_key(|set| revision_of(&set.metadata)).map(|set| counts(set).wanted)
    };
    assert_eq!(newest(&world), Some(0), "the old Pod still runs");
    world.remove(leaving);
    run(&mut world);
    assert_eq!(newest(&world), Some(1));
}

#[test]
fn a_name_that_is_taken_is_gone_around() {
    let mut world = World::default();
    world.put(mk_deployment("shop", "web", 1));
    run(&mut world);
    let taken = world.replica_sets.values().next().unwrap().metadata.name.clone();
    let mut world = World::default();
    world.put(mk_deployment("shop", "web", 1));
    let mut foreign = crate::test_world::mk_replica_set("shop", taken.as_deref().unwrap(), 1);
    foreign.metadata.owner_references =
        Some(vec![serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "name": "other", "uid": "other", "controller": true,
        }))
        .unwrap()]);
    world.put(foreign);
    run(&mut world);
    assert_eq!(world.deployments.values().next().unwrap().status.as_ref().unwrap().collision_count, Some(1));
    assert_eq!(world.replica_sets.len(), 2);
}

#[test]
fn a_paused_deployment_says_so_and_keeps_its_template() {
    let mut world = World::default();
    world.put(mk_deployment("shop", "web", 2));
    run(&mut world);
    let mut deployment = world.deployments.values().next().unwrap().clone();
    let spec = deployment.spec.as_mut().unwrap();
    spec.paused = Some(true);
    spec.template.spec.as_mut().unwrap().containers[0].image = Some("web:2".to_owned());
    world.put(deployment);
    run(&mut world);
    assert_eq!(world.replica_sets.len(), 1);
    let status = world.deployments.values().next().unwrap().status.clone().unwrap();
    let reasons: Vec<_> =
        status.conditions.iter().flatten().filter_map(|held| held.reason.as_deref()).collect();
    assert!(reasons.contains(&"DeploymentPaused"), "{reasons:?}");
}
