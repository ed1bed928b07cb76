//! Properties that hold for any sequence of requests.

use std::collections::BTreeMap;

use engine_store::{ListOptions, PatchKind, WatchOptions};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{CONFIG_MAPS, PODS, World, mk_config_map, mk_pod};

/// A request to a small set of objects.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Label(u8, u8),
    Apply(u8, u8, u8),
    Delete(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..5_u8, 0..3_u8).prop_map(|(name, value)| Step::Put(name, value)),
        (0..5_u8, 0..2_u8).prop_map(|(name, value)| Step::Label(name, value)),
        (0..5_u8, 0..2_u8, 0..3_u8).prop_map(|(name, manager, value)| Step::Apply(name, manager, value)),
        (0..5_u8).prop_map(Step::Delete),
    ];
    prop::collection::vec(step, 0..40)
}

/// Takes a step; refusals are part of the game.
fn take(world: &mut World, step: &Step) {
    let path = |name: &u8| format!("{CONFIG_MAPS}/c{name}");
    let _ = match step {
        Step::Put(name, value) => {
            let object = mk_config_map(&format!("c{name}"), json!({"k": value.to_string()}));
            let made = world.post(CONFIG_MAPS, object.clone());
            made.or_else(|_| world.put(&path(name), object))
        }
        Step::Label(name, value) => {
            let patch = json!({"metadata": {"labels": {"l": value.to_string()}}});
            world.patch(&path(name), PatchKind::Merge, patch)
        }
        Step::Apply(name, manager, value) => {
            let object =
                mk_config_map(&format!("c{name}"), json!({format!("m{manager}"): value.to_string()}));
            world.apply(&path(name), &format!("m{manager}"), object)
        }
        Step::Delete(name) => world.delete(&path(name), json!({})),
    };
}

fn state(world: &World, options: &ListOptions) -> BTreeMap<String, Value> {
    let list = world.list(CONFIG_MAPS, options).unwrap();
    let items = list.shown().map(|item| item.value());
    items.map(|item| (item["metadata"]["name"].to_string(), item)).collect()
}

/// JSON of the words patches are made of.
fn any_patch() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "$deleteFromPrimitiveList/finalizers",
        "delete",
        "replace",
        "merge",
        "op",
        "path",
        "value",
        "from",
        "add",
        "remove",
        "copy",
        "move",
        "test",
        "/spec/containers/0/image",
        "/spec/containers/-",
        "/metadata/labels",
        "",
        "metadata",
        "labels",
        "annotations",
        "finalizers",
        "managedFields",
        "ownerReferences",
        "spec",
        "containers",
        "name",
        "c",
        "image",
        "ports",
        "containerPort",
        "env",
        "status",
        "phase",
        "apiVersion",
        "v1",
        "kind",
        "Pod",
        "p",
        "uid",
        "resourceVersion",
    ]);
    let leaf = prop_oneof![
        word.clone().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(word.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_selector_is_read_or_refused(text in "(k|l|=|==|!=|!| in | notin |\\(|\\)|,|<|>|\\\\|/|metadata.name|\\PC){0,10}") {
        let mut world = World::new();
        world.post(CONFIG_MAPS, mk_config_map("a", json!({}))).unwrap();
        let text = Some(text);
        for options in [
            ListOptions { label_selector: text.clone(), ..ListOptions::default() },
            ListOptions { field_selector: text.clone(), ..ListOptions::default() },
            ListOptions { continue_token: text.clone(), ..ListOptions::default() },
            ListOptions { resource_version: text.clone(), ..ListOptions::default() },
        ] {
            let code = world.list(CONFIG_MAPS, &options).map_err(|status| status.code).err();
            prop_assert!(matches!(code, None | Some(400 | 410 | 422 | 504)), "{options:?}: {code:?}");
        }
    }

    #[test]
    fn any_patch_is_applied_or_refused(patch in any_patch(), choice in 0..4_usize) {
        let kinds = [PatchKind::Json, PatchKind::Merge, PatchKind::StrategicMerge, PatchKind::Apply];
        let mut world = World::new();
        world.options.field_manager = "one".to_owned();
        world.options.force = true;
        world.post(PODS, mk_pod("p")).unwrap();
        let answer = world.patch(&format!("{PODS}/p"), kinds[choice], patch.clone());
        let code = answer.map_err(|status| status.code).err();
        prop_assert!(matches!(code, None | Some(400..=499)), "{patch}: {code:?}");
        let stored = world.get(&format!("{PODS}/p")).unwrap();
        let read: Value = serde_json::from_str(&stored.to_string()).unwrap();
        prop_assert_eq!(read, stored);
    }

    /// Replaying a watch, with or without a selector, leads to what a list shows.
    #[test]
    fn watch_replay_equals_list(steps in steps(), selected in any::<bool>()) {
        let mut world = World::new();
        let selector = selected.then(|| "l=1".to_owned());
        let watch = WatchOptions { label_selector: selector.clone(), ..WatchOptions::default() };
        let mut cursor = world.watch(CONFIG_MAPS, &watch).unwrap();
        let mut replayed: BTreeMap<String, Value> = BTreeMap::new();
        for step in &steps {
            take(&mut world, step);
            for event in world.next(&mut cursor, 2).unwrap() {
                let object = event.object.value();
                let name = object["metadata"]["name"].to_string();
                match event.kind.as_str() {
                    "ADDED" => prop_assert!(replayed.insert(name, object).is_none()),
                    "MODIFIED" => prop_assert!(replayed.insert(name, object).is_some()),
                    "DELETED" => prop_assert!(replayed.remove(&name).is_some()),
                    _ => {}
                }
            }
        }
        let options = ListOptions { label_selector: selector, ..ListOptions::default() };
        prop_assert_eq!(replayed, state(&world, &options));
    }

    /// Writing back what is there changes nothing.
    #[test]
    fn no_op_writes_do_not_count(steps in steps()) {
        let mut world = World::new();
        steps.iter().for_each(|step| take(&mut world, step));
        let revision = world.store.revision();
        for (_, object) in state(&world, &ListOptions::default()) {
            let path = format!("{CONFIG_MAPS}/{}", object["metadata"]["name"].as_str().unwrap());
            prop_assert_eq!(&world.put(&path, object.clone()).unwrap(), &object);
            prop_assert_eq!(&world.patch(&path, PatchKind::Merge, json!({})).unwrap(), &object);
            prop_assert_eq!(&world.patch(&path, PatchKind::StrategicMerge, object.clone()).unwrap(), &object);
        }
        prop_assert_eq!(world.store.revision(), revision);
    }

    /// Portions together are the whole list.
    #[test]
    fn portions_cover_everything(steps in steps(), limit in 1..4_u64) {
        let mut world = World::new();
        steps.iter().for_each(|step| take(&mut world, step));
        let whole: Vec<String> = state(&world, &ListOptions::default()).into_keys().collect();
        let mut options = ListOptions { limit: Some(limit), ..ListOptions::default() };
        let mut seen = Vec::new();
        loop {
            let portion = world.list(CONFIG_MAPS, &options).unwrap();
            seen.extend(portion.shown().map(|item| item.value()["metadata"]["name"].to_string()));
            options.continue_token = portion.continue_token;
            if options.continue_token.is_none() {
                break;
            }
        }
        prop_assert_eq!(seen, whole);
    }

    /// A journal, replayed, makes the same objects.
    #[test]
    fn journals_restore(steps in steps()) {
        let mut world = World::new();
        steps.iter().for_each(|step| take(&mut world, step));
        let records = world.store.take_journal();
        let again = engine_store::Store::restore(crate::harness::mk_config(), records.into_iter()).unwrap();
        prop_assert_eq!(again.revision(), world.store.revision());
        let left: Vec<_> = again.snapshot().collect();
        prop_assert_eq!(left, world.store.snapshot().collect::<Vec<_>>());
    }

    /// Managers of different fields do not see each other: any order of applying gives the same data, applying again
    /// changes nothing, and what one manager stops applying goes, alone.
    #[test]
    fn managers_of_different_fields_are_independent(one in data(), two in data(), swap in any::<bool>()) {
        let mut world = World::new();
        let path = format!("{CONFIG_MAPS}/a");
        let two: BTreeMap<String, String> = two.into_iter().map(|(key, value)| (format!("two-{key}"), value)).collect();
        let mut both = [("m1", &one), ("m2", &two)];
        if swap {
            both.reverse();
        }
        for (manager, data) in both {
            world.apply(&path, manager, mk_config_map("a", json!(data))).unwrap();
        }
        let revision = world.store.revision();
        for (manager, data) in both {
            world.apply(&path, manager, mk_config_map("a", json!(data))).unwrap();
        }
        prop_assert_eq!(world.store.revision(), revision);
        let mut all = one.clone();
        all.extend(two.clone());
        let found = |world: &World| world.get(&path).unwrap().get("data").cloned().unwrap_or_else(|| json!({}));
        prop_assert_eq!(found(&world), json!(all));
        world.apply(&path, "m1", mk_config_map("a", json!({}))).unwrap();
        prop_assert_eq!(found(&world), json!(two));
    }

    /// A merge patch that sets everything leads to the value it sets; applied twice it changes nothing more.
    #[test]
    fn patches_round_trip(before in data(), after in data()) {
        let mut world = World::new();
        world.post(CONFIG_MAPS, mk_config_map("a", json!(before))).unwrap();
        let mut patch: BTreeMap<String, Value> = before.keys().map(|key| (key.clone(), Value::Null)).collect();
        patch.extend(after.iter().map(|(key, value)| (key.clone(), json!(value))));
        let path = format!("{CONFIG_MAPS}/a");
        for kind in [PatchKind::Merge, PatchKind::StrategicMerge] {
            let patched = world.patch(&path, kind, json!({"data": patch})).unwrap();
            let found = patched.get("data").cloned().unwrap_or_else(|| json!({}));
            prop_assert_eq!(found, json!(after));
        }
    }
}

fn data() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map("[a-d]", "[x-z]{0,2}", 0..4)
}
