//! Lists: selectors, portions, revisions, tables.

use engine_store::{IncludeObject, ListOptions};
use serde_json::{Value, json};

use crate::harness::{
    CONFIG_MAPS, DEPLOYMENTS, EPOCH, PODS, World, mk_config_map, mk_deployment, mk_pod, mk_target,
};

fn names(list: &engine_store::List) -> Vec<String> {
    list.shown().map(|item| item.value()["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn selectors_choose() {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        world.post(PODS, mk_pod(name)).unwrap();
    }
    let select = |labels: &str, fields: &str| {
        let options = ListOptions {
            label_selector: Some(labels.to_owned()),
            field_selector: Some(fields.to_owned()),
            ..ListOptions::default()
        };
        names(&world.list(PODS, &options).unwrap()).join("")
    };
    assert_eq!(select("app in (a,c)", ""), "ac");
    assert_eq!(select("app!=a", "metadata.name!=c"), "b");
    assert_eq!(select("", "status.phase=Pending,spec.nodeName="), "abc");
    assert_eq!(select("", "status.phase=Running"), "");
}

#[test]
fn a_list_has_its_form() {
    let mut world = World::new();
    world.post(CONFIG_MAPS, mk_config_map("a", json!({}))).unwrap();
    let value = world.list(CONFIG_MAPS, &ListOptions::default()).unwrap().to_value();
    assert_eq!((value["kind"].as_str(), value["apiVersion"].as_str()), (Some("ConfigMapList"), Some("v1")));
    assert_eq!(value["metadata"], json!({"resourceVersion": world.store.revision().to_string()}));
    assert!(value["items"][0].get("kind").is_none());
    let empty = world.list("/api/v1/pods", &ListOptions::default()).unwrap().to_value();
    assert_eq!(empty["items"], json!([]));
}

#[test]
fn portions_keep_the_first_revision() {
    let mut world = World::new();
    for name in ["a", "b", "c", "d", "e"] {
        world.post(CONFIG_MAPS, mk_config_map(name, json!({}))).unwrap();
    }
    let mut options = ListOptions { limit: Some(2), ..ListOptions::default() };
    let first = world.list(CONFIG_MAPS, &options).unwrap();
    assert_eq!((names(&first).join(" "), first.remaining_item_count), ("a b".to_owned(), Some(3)));
    world.post(CONFIG_MAPS, mk_config_map("z", json!({}))).unwrap();
    options.continue_token = first.continue_token.clone();
    let second = world.list(CONFIG_MAPS, &options).unwrap();
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(second.resource_version, first.resource_version);
    options.continue_token = Some("rubbish".to_owned());
    assert_eq!(world.list(CONFIG_MAPS, &options).err().unwrap().code, 400);
}

#[test]
fn revisions_follow_the_rules() {
    let world = World::new();
    let ask = |version: &str, rule: &str| {
        let options = ListOptions {
            resource_version: Some(version.to_owned()),
            resource_version_match: Some(rule.to_owned()),
            ..ListOptions::default()
        };
        world.list(PODS, &options).map_err(|status| status.code).err()
    };
    let now = world.store.revision().to_string();
    assert_eq!(ask("0", ""), None);
    assert_eq!(ask(&now, "Exact"), None);
    assert_eq!(ask("1", "NotOlderThan"), None);
    assert_eq!(ask("1", "Exact"), Some(410));
    assert_eq!(ask("99999", ""), Some(504));
    assert_eq!(ask("0", "Exact"), Some(422));
    assert_eq!(ask("", "Exact"), Some(422));
    assert_eq!(ask("1", "Newest"), Some(422));
    assert_eq!(ask("x", ""), Some(422));
    let both = ListOptions {
        resource_version: Some(now),
        continue_token: Some("x".to_owned()),
        ..ListOptions::default()
    };
    let refused = world.list(PODS, &both).map(|_| ()).unwrap_err();
    assert_eq!(refused.message, "specifying resource version is not allowed when using continue");
}

#[test]
fn tables_have_columns_and_partial_objects() {
    let mut world = World::new();
    world.post(DEPLOYMENTS, mk_deployment("web")).unwrap();
    let list = world.list(DEPLOYMENTS, &ListOptions::default()).unwrap();
    let now = EPOCH.parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_secs(200);
    let table = world.store.table(
        &mk_target(DEPLOYMENTS),
        now,
        &list.shown().collect::<Vec<_>>(),
        IncludeObject::Metadata,
    );
    let headers: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        headers,
        ["Name", "Ready", "Up-to-date", "Available", "Age", "Containers", "Images", "Selector"]
    );
    assert_eq!(table["columnDefinitions"][0]["format"], "name");
    let row = &table["rows"][0];
    let age = row["cells"][4].as_str().unwrap();
    assert!(age.starts_with("3m1"), "{age}");
    assert_eq!(row["cells"][7], "app=web");
    assert_eq!(row["object"]["kind"], "PartialObjectMetadata");
    assert!(row["object"].get("spec").is_none());
}

#[test]
fn every_kind_makes_a_table_of_any_object() {
    let world = World::new();
    let object = engine_store::Shown::of_value(&json!({"metadata": {"name": "x"}}));
    for kind in world.store.kinds() {
        let target = engine_store::Target {
            group: kind.group.to_string(),
            version: kind.version.to_string(),
            resource: kind.plural.to_string(),
            ..engine_store::Target::default()
        };
        let now = EPOCH.parse().unwrap();
        let table = world.store.table(&target, now, std::slice::from_ref(&object), IncludeObject::None);
        let cells = table["rows"][0]["cells"].as_array().unwrap();
        assert_eq!(cells.len(), table["columnDefinitions"].as_array().unwrap().len(), "{}", kind.kind);
        assert!(cells.contains(&Value::from("x")) || cells.iter().any(Value::is_string), "{}", kind.kind);
    }
}
