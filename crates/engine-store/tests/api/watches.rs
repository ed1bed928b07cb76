//! Watches: order, selectors, bookmarks, initial events, expiry.

use engine_store::{PatchKind, Portion, WatchOptions};
use serde_json::json;

use crate::harness::{CONFIG_MAPS, PODS, World, event_text, mk_config_map, mk_pod};

fn from(revision: u64) -> WatchOptions {
    WatchOptions { resource_version: Some(revision.to_string()), ..WatchOptions::default() }
}

#[test]
fn changes_come_in_order() {
    let mut world = World::new();
    let mut cursor = world.watch(CONFIG_MAPS, &from(world.store.revision())).unwrap();
    world.post(CONFIG_MAPS, mk_config_map("a", json!({"k": "1"}))).unwrap();
    world.patch(&format!("{CONFIG_MAPS}/a"), PatchKind::Merge, json!({"data": {"k": "2"}})).unwrap();
    world.post("/api/v1/namespaces/kube-system/configmaps", mk_config_map("other", json!({}))).unwrap();
    world.delete(&format!("{CONFIG_MAPS}/a"), json!({})).unwrap();
    let events = world.next(&mut cursor, 100).unwrap();
    let texts: Vec<String> = events.iter().map(event_text).collect();
    assert_eq!(texts, ["ADDED a", "MODIFIED a", "DELETED a"]);
    assert_eq!(events[2].object.value()["data"]["k"], "2");
    assert_eq!(events[2].object.value()["metadata"]["resourceVersion"], world.store.revision().to_string());
    assert!(world.watched(&mut cursor).is_empty());
    let bookmark = world.store.bookmark(&cursor);
    assert_eq!(bookmark.object.value()["metadata"]["resourceVersion"], world.store.revision().to_string());
}

#[test]
fn selectors_turn_changes_into_comings_and_goings() {
    let mut world = World::new();
    let options =
        WatchOptions { label_selector: Some("tier=web".to_owned()), ..from(world.store.revision()) };
    let mut cursor = world.watch(CONFIG_MAPS, &options).unwrap();
    let path = format!("{CONFIG_MAPS}/a");
    world.post(CONFIG_MAPS, mk_config_map("a", json!({}))).unwrap();
    let label = |value| json!({"metadata": {"labels": {"tier": value}}});
    world.patch(&path, PatchKind::Merge, label("web")).unwrap();
    world.patch(&path, PatchKind::Merge, json!({"data": {"k": "v"}})).unwrap();
    world.patch(&path, PatchKind::Merge, label("db")).unwrap();
    world.delete(&path, json!({})).unwrap();
    let events = world.next(&mut cursor, 100).unwrap();
    let texts: Vec<String> = events.iter().map(event_text).collect();
    assert_eq!(texts, ["ADDED a", "MODIFIED a", "DELETED a"]);
    assert_eq!(events[2].object.value()["metadata"]["labels"]["tier"], "web");
}

#[test]
fn without_a_revision_the_present_comes_first() {
    let mut world = World::new();
    world.post(CONFIG_MAPS, mk_config_map("a", json!({}))).unwrap();
    for version in [None, Some("0".to_owned())] {
        let options = WatchOptions { resource_version: version, ..WatchOptions::default() };
        let mut cursor = world.watch(CONFIG_MAPS, &options).unwrap();
        assert_eq!(world.watched(&mut cursor), ["ADDED a"]);
    }
    let mut cursor = world.watch(&format!("{CONFIG_MAPS}/b"), &WatchOptions::default()).unwrap();
    world.post(CONFIG_MAPS, mk_config_map("b", json!({}))).unwrap();
    assert_eq!(world.watched(&mut cursor), ["ADDED b"]);
}

#[test]
fn initial_events_end_with_a_bookmark() {
    let mut world = World::new();
    world.post(CONFIG_MAPS, mk_config_map("a", json!({}))).unwrap();
    let options = WatchOptions {
        send_initial_events: Some(true),
        resource_version_match: Some("NotOlderThan".to_owned()),
        allow_bookmarks: true,
        ..WatchOptions::default()
    };
    let mut cursor = world.watch(CONFIG_MAPS, &options).unwrap();
    let revision = world.store.revision();
    world.post(CONFIG_MAPS, mk_config_map("b", json!({}))).unwrap();
    let first = world.next(&mut cursor, 1).unwrap();
    assert_eq!(first.iter().map(event_text).collect::<Vec<_>>(), ["ADDED a"]);
    let rest = world.next(&mut cursor, 100).unwrap();
    assert_eq!(rest.iter().map(event_text).collect::<Vec<_>>(), ["BOOKMARK -", "ADDED b"]);
    assert_eq!(rest[0].object.value()["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(rest[0].object.value()["metadata"]["resourceVersion"], revision.to_string());

    let unmatched = WatchOptions { resource_version_match: None, ..options };
    let refused = world.watch(CONFIG_MAPS, &unmatched).err().unwrap();
    assert_eq!(refused.code, 422);
    assert!(refused.message.contains("resourceVersionMatch"), "{refused}");
}

#[test]
fn who_falls_behind_must_list_again() {
    let mut world = World::new();
    let mut cursor = world.watch(CONFIG_MAPS, &from(world.store.revision())).unwrap();
    world.post(CONFIG_MAPS, mk_config_map("a", json!({}))).unwrap();
    let mut quiet = world.watch(PODS, &from(world.store.revision())).unwrap();
    let mut slow = world.watch(CONFIG_MAPS, &WatchOptions::default()).unwrap();
    assert_eq!(world.next(&mut slow, 1).unwrap().len(), 1);
    // Few changes, but more than the memory that the log may take.
    let large = "x".repeat(500_000);
    for round in 0..80 {
        let patch = json!({"data": {"k": format!("{round}{large}")}});
        world.patch(&format!("{CONFIG_MAPS}/a"), PatchKind::Merge, patch).unwrap();
    }
    assert_eq!(world.watched(&mut quiet), Vec::<String>::new(), "a busy kind costs a quiet one nothing");
    assert_eq!(world.next(&mut slow, 1).unwrap_err().code, 410);
    let late = world.next(&mut cursor, 10).unwrap_err();
    assert_eq!((late.code, late.reason), (410, "Expired"));
    assert!(late.message.starts_with("too old resource version: "), "{late}");
    assert_eq!(world.watch(CONFIG_MAPS, &from(1)).err().unwrap().code, 410);
    assert_eq!(world.watch(CONFIG_MAPS, &from(1_000_000)).err().unwrap().code, 504);
}

#[test]
fn a_portion_ends_with_the_event_that_fills_it() {
    let mut world = World::new();
    for name in ["a", "b", "c", "d", "e"] {
        world.post(CONFIG_MAPS, mk_config_map(name, json!({"k": "x".repeat(1000)}))).unwrap();
    }
    let mut begins = world.watch(CONFIG_MAPS, &WatchOptions::default()).unwrap();
    let mut follows = world.watch(CONFIG_MAPS, &from(world.store.revision() - 5)).unwrap();
    for cursor in [&mut begins, &mut follows] {
        let mut portions = Vec::new();
        loop {
            let portion = Portion { events: usize::MAX, bytes: 2000 };
            let events = world.store.next(cursor, portion).unwrap();
            if events.is_empty() {
                break;
            }
            portions.push(events.iter().map(event_text).collect::<Vec<_>>().join(" "));
        }
        assert_eq!(portions, ["ADDED a ADDED b", "ADDED c ADDED d", "ADDED e"]);
    }
}

#[test]
fn what_has_changed_is_told_by_where_watches_read_from() {
    let mut world = World::new();
    let maps = world.watch(CONFIG_MAPS, &from(world.store.revision())).unwrap().source();
    let pods = world.watch(PODS, &from(world.store.revision())).unwrap().source();
    world.store.take_changed();
    world.post(CONFIG_MAPS, mk_config_map("a", json!({}))).unwrap();
    assert_eq!(world.store.take_changed().into_iter().collect::<Vec<_>>(), [maps]);
    world.post(PODS, mk_pod("a")).unwrap();
    assert!(world.post(PODS, mk_pod("a")).is_err());
    world.patch(&format!("{CONFIG_MAPS}/a"), PatchKind::Merge, json!({"data": {"k": "v"}})).unwrap();
    assert!(world.store.take_changed().iter().all(|kind| [maps, pods].contains(kind)));
    assert!(world.store.take_changed().is_empty());
}

#[test]
fn a_restored_store_has_no_history() {
    let mut world = World::new();
    world.post(CONFIG_MAPS, mk_config_map("a", json!({}))).unwrap();
    let before = world.store.revision() - 1;
    let records = world.store.take_journal();
    world.store = engine_store::Store::restore(crate::harness::mk_config(), records.into_iter()).unwrap();
    assert_eq!(world.watch(CONFIG_MAPS, &from(before)).err().unwrap().code, 410);
    let mut cursor = world.watch(CONFIG_MAPS, &from(world.store.revision())).unwrap();
    world.post(CONFIG_MAPS, mk_config_map("b", json!({}))).unwrap();
    assert_eq!(world.watched(&mut cursor), ["ADDED b"]);
}
