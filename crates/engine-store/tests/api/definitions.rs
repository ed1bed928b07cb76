//! CustomResourceDefinitions: kinds that come, change and go while the API runs.

use engine_store::{IncludeObject, ListOptions, PatchKind, Portion, Store, WatchOptions, Write};
use serde_json::{Value, json};

use crate::harness::{World, mk_config, mk_target};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const FLEETS: &str = "/apis/ships.example/v1/namespaces/default/fleets";

fn mk_version(name: &str, is_storage: bool) -> Value {
    json!({
        "name": name, "served": true, "storage": is_storage,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "required": ["size"], "properties": {
                "size": {"type": "integer", "maximum": 9},
                "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
                "replicas": {"type": "integer"},
                "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "required": ["name"], "properties": {
                        "name": {"type": "string"}, "port": {"type": "integer"}}}},
            }, "x-kubernetes-validations": [{"rule": "!has(self.replicas) || self.replicas <= self.size", "message": "too many"}]},
            "status": {"type": "object", "properties": {
                "replicas": {"type": "integer"}, "selector": {"type": "string"}, "phase": {"type": "string"}}},
        }}},
        "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}},
        "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Phase", "type": "string", "jsonPath": ".status.phase", "priority": 1},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "selectableFields": [{"jsonPath": ".spec.color"}],
    })
}

fn mk_definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "fleets.ships.example"},
        "spec": {"group": "ships.example", "scope": "Namespaced",
            "names": {"plural": "fleets", "kind": "Fleet", "shortNames": ["fl"]},
            "versions": [mk_version("v1", true)]},
    })
}

fn mk_fleet(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "ships.example/v1", "kind": "Fleet", "metadata": {"name": name}, "spec": spec})
}

fn mk_world() -> World {
    let mut world = World::new();
    world.post(DEFINITIONS, mk_definition()).unwrap();
    world
}

fn condition<'a>(definition: &'a Value, kind: &str) -> &'a Value {
    let conditions = definition["status"]["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == kind).unwrap()
}

#[test]
fn a_definition_is_established_at_once() {
    let world = mk_world();
    let definition = world.get(&format!("{DEFINITIONS}/fleets.ships.example")).unwrap();
    assert_eq!(condition(&definition, "NamesAccepted")["status"], "True");
    assert_eq!(condition(&definition, "Established")["reason"], "InitialNamesAccepted");
    assert_eq!(
        definition["status"]["acceptedNames"],
        json!({"plural": "fleets", "singular": "fleet", "kind": "Fleet", "listKind": "FleetList", "shortNames": ["fl"]})
    );
    assert_eq!(definition["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(definition["spec"]["conversion"], json!({"strategy": "None"}));
    let kind = world.store.kind(&mk_target(FLEETS)).unwrap();
    assert_eq!((&*kind.kind, &*kind.short_names[0]), ("Fleet", "fl"));
    assert!(world.store.kind(&mk_target("/apis/ships.example/v2/namespaces/default/fleets")).is_err());
}

#[test]
fn objects_are_pruned_defaulted_and_checked() {
    let mut world = mk_world().strict();
    let unknown = world.post(FLEETS, mk_fleet("a", json!({"size": 1, "foo": 2}))).unwrap_err();
    assert_eq!(
        unknown.message,
        "Fleet in version \"v1\" cannot be handled as a Fleet: strict decoding error: unknown field \"spec.foo\""
    );
    for (spec, wanted) in [
        (
            json!({"size": 12}),
            "spec.size: Invalid value: 12: spec.size in body should be less than or equal to 9",
        ),
        (
            json!({"size": 1, "color": "pink"}),
            "spec.color: Unsupported value: \"pink\": supported values: \"red\", \"blue\"",
        ),
        (json!({"size": 1, "replicas": 2}), "spec: Invalid value: too many"),
    ] {
        let status = world.post(FLEETS, mk_fleet("a", spec)).unwrap_err();
        assert_eq!(status.code, 422);
        assert_eq!(status.message, format!("Fleet.ships.example \"a\" is invalid: {wanted}"));
    }
    let missing = world.post(FLEETS, mk_fleet("a", json!({}))).unwrap_err();
    assert!(missing.message.contains("spec.size: Required value"), "{}", missing.message);
    let fleet = world.post(FLEETS, mk_fleet("a", json!({"size": 1}))).unwrap();
    assert_eq!(fleet["spec"], json!({"size": 1, "color": "red"}));
    assert_eq!(fleet["metadata"]["generation"], 1);
    let mut wrong = mk_fleet("b", json!({"size": 1}));
    wrong["metadata"]["labels"] = json!({"a": 1});
    assert_eq!(world.post(FLEETS, wrong).unwrap_err().code, 400);
}

#[test]
fn updates_need_a_version_and_patches_a_known_form() {
    let mut world = mk_world();
    let fleet = world.post(FLEETS, mk_fleet("a", json!({"size": 1}))).unwrap();
    let path = format!("{FLEETS}/a");
    let without = world.put(&path, mk_fleet("a", json!({"size": 2}))).unwrap_err();
    assert!(
        without
            .message
            .ends_with("metadata.resourceVersion: Invalid value: 0: must be specified for an update")
    );
    let strategic = world.patch(&path, PatchKind::StrategicMerge, json!({"spec": {"size": 2}})).unwrap_err();
    assert_eq!(strategic.code, 415);
    let merged = world.patch(&path, PatchKind::Merge, json!({"spec": {"size": 2}})).unwrap();
    assert_eq!(
        (merged["spec"]["size"].as_i64(), merged["metadata"]["generation"].as_i64()),
        (Some(2), Some(2))
    );
    let same = world.patch(&path, PatchKind::Merge, json!({"spec": {"size": 2}})).unwrap();
    assert_eq!(same["metadata"]["resourceVersion"], merged["metadata"]["resourceVersion"]);
    let stale = world.put(&path, fleet).unwrap_err();
    assert_eq!(stale.code, 409);
}

#[test]
fn status_and_scale() {
    let mut world = mk_world();
    let mut fleet = mk_fleet("a", json!({"size": 5, "replicas": 2}));
    fleet["status"] = json!({"phase": "Sunk"});
    assert!(world.post(FLEETS, fleet).unwrap().get("status").is_none());
    let path = format!("{FLEETS}/a");
    let status =
        json!({"spec": {"size": 9}, "status": {"replicas": 1, "selector": "a=b", "phase": "Afloat"}});
    let written = world.patch(&format!("{path}/status"), PatchKind::Merge, status).unwrap();
    assert_eq!((written["spec"]["size"].as_i64(), &written["status"]["phase"]), (Some(5), &json!("Afloat")));
    assert_eq!(written["metadata"]["generation"], 1);
    let bad = world.patch(&format!("{path}/status"), PatchKind::Merge, json!({"status": {"replicas": "x"}}));
    assert!(bad.unwrap_err().message.contains("status.replicas in body must be of type integer"));
    let scale = world.get(&format!("{path}/scale")).unwrap();
    assert_eq!(scale["spec"], json!({"replicas": 2}));
    assert_eq!(scale["status"], json!({"replicas": 1, "selector": "a=b"}));
    world.patch(&format!("{path}/scale"), PatchKind::Merge, json!({"spec": {"replicas": 4}})).unwrap();
    assert_eq!(world.get(&path).unwrap()["spec"]["replicas"], 4);
    let above = world.patch(&format!("{path}/scale"), PatchKind::Merge, json!({"spec": {"replicas": 6}}));
    assert!(above.unwrap_err().message.contains("too many"));
}

#[test]
fn apply_merges_by_the_schema() {
    let mut world = mk_world();
    let path = format!("{FLEETS}/a");
    world.apply(&path, "m1", mk_fleet("a", json!({"size": 1, "ports": [{"name": "x", "port": 1}]}))).unwrap();
    let both = world
        .apply(&path, "m2", mk_fleet("a", json!({"size": 1, "ports": [{"name": "y", "port": 2}]})))
        .unwrap();
    assert_eq!(both["spec"]["ports"].as_array().unwrap().len(), 2);
    let conflict =
        world.apply(&path, "m2", mk_fleet("a", json!({"size": 1, "ports": [{"name": "x", "port": 9}]})));
    assert_eq!(
        conflict.unwrap_err().message,
        "Apply failed with 1 conflict: conflict with \"m1\": .spec.ports[name=\"x\"].port"
    );
}

#[test]
fn lists_tables_and_selectors() {
    let mut world = mk_world();
    world.post(FLEETS, mk_fleet("a", json!({"size": 1}))).unwrap();
    world.post(FLEETS, mk_fleet("b", json!({"size": 2, "color": "blue"}))).unwrap();
    let list = world.list(FLEETS, &ListOptions::default()).unwrap();
    let value = list.to_value();
    assert_eq!((&value["kind"], &value["items"][0]["kind"]), (&json!("FleetList"), &json!("Fleet")));
    let blue = ListOptions { field_selector: Some("spec.color=blue".to_owned()), ..ListOptions::default() };
    assert_eq!(world.list(FLEETS, &blue).unwrap().items.len(), 1);
    let size = ListOptions { field_selector: Some("spec.size=1".to_owned()), ..ListOptions::default() };
    assert!(world.list(FLEETS, &size).is_err_and(|status| status.code == 400));
    let now = "2025-01-01T01:00:00Z".parse().unwrap();
    let shown: Vec<_> = list.shown().collect();
    let table = world.store.table(&mk_target(FLEETS), now, &shown, IncludeObject::None);
    let names: Vec<&Value> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(names, ["Name", "Size", "Phase", "Age"]);
    assert_eq!(table["columnDefinitions"][2]["priority"], 1);
    assert_eq!(table["rows"][0]["cells"], json!(["a", 1, null, "59m"]));
}

#[test]
fn several_versions_of_one_object() {
    let mut world = World::new();
    let mut definition = mk_definition();
    let mut newer = mk_version("v2", false);
    newer["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["color"]["default"] =
        json!("blue");
    newer["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["crew"] =
        json!({"type": "integer", "default": 7});
    definition["spec"]["versions"].as_array_mut().unwrap().push(newer);
    world.post(DEFINITIONS, definition).unwrap();
    world.post(FLEETS, mk_fleet("a", json!({"size": 1}))).unwrap();
    let v2 = FLEETS.replace("/v1/", "/v2/");
    let seen = world.get(&format!("{v2}/a")).unwrap();
    assert_eq!(seen["apiVersion"], "ships.example/v2");
    assert_eq!(seen["spec"], json!({"size": 1, "color": "red", "crew": 7}));
    let mut cursor = world.watch(&v2, &WatchOptions::default()).unwrap();
    world.watched(&mut cursor);
    let written = world.patch(&format!("{v2}/a"), PatchKind::Merge, json!({"spec": {"crew": 8}})).unwrap();
    assert_eq!((&written["apiVersion"], &written["spec"]["crew"]), (&json!("ships.example/v2"), &json!(8)));
    assert_eq!(world.watched(&mut cursor), ["MODIFIED a"]);
    let first = world.get(&format!("{FLEETS}/a")).unwrap();
    assert_eq!(first["apiVersion"], "ships.example/v1");
    assert_eq!(first["metadata"]["uid"], written["metadata"]["uid"]);
    // A write through the other version that changes nothing changes nothing.
    let revision = world.store.revision();
    world.patch(&format!("{FLEETS}/a"), PatchKind::Merge, json!({"spec": {"size": 1}})).unwrap();
    assert_eq!(world.store.revision(), revision);
}

/// What a case does to a good definition.
type Change<'a> = &'a dyn Fn(&mut Value);

#[test]
fn definitions_that_are_refused() {
    let mut world = World::new();
    let refused = |change: Change<'_>| {
        let mut definition = mk_definition();
        change(&mut definition);
        definition
    };
    let cases: [(Change<'_>, &str); 11] = [
        (
            &|d| d["metadata"]["name"] = json!("x.y"),
            "metadata.name: Invalid value: \"x.y\": must be spec.names.plural+\".\"+spec.group",
        ),
        (
            &|d| d["spec"]["scope"] = json!("Galaxy"),
            "spec.scope: Unsupported value: \"Galaxy\": supported values: \"Cluster\", \"Namespaced\"",
        ),
        (
            &|d| d["spec"]["versions"][0]["storage"] = json!(false),
            "must have exactly one version marked as storage version",
        ),
        (
            &|d| d["spec"]["versions"].as_array_mut().unwrap().push(mk_version("v1", false)),
            "must contain unique version names",
        ),
        (
            &|d| {
                d["spec"]["conversion"] =
                    json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"]}})
            },
            "spec.conversion.strategy: Unsupported value: \"Webhook\": supported values: \"None\"",
        ),
        (
            &|d| d["spec"]["versions"][0].as_object_mut().unwrap().remove("schema").map_or((), |_| ()),
            "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required",
        ),
        (
            &|d| d["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["type"] = json!(""),
            "spec.versions[0].schema.openAPIV3Schema.type: Required value: must not be empty at the root",
        ),
        (
            &|d| {
                d["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"]
                    [0]["rule"] = json!("self.sise > 1")
            },
            "spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Invalid value: \"self.sise > 1\": compilation failed: ERROR: <input>:1:5: undefined field 'sise'",
        ),
        (
            &|d| d["spec"]["versions"][0]["additionalPrinterColumns"][0]["type"] = json!("bag"),
            "spec.versions[0].additionalPrinterColumns[0].type: Invalid value: \"bag\": must be one of boolean,date,integer,number,string",
        ),
        (
            &|d| d["spec"]["versions"][0]["subresources"]["scale"]["specReplicasPath"] = json!(".status.x"),
            "spec.versions[0].subresources.scale.specReplicasPath: Invalid value: \".status.x\": should be a json path under .spec",
        ),
        (
            &|d| {
                d["spec"]["group"] = json!("ships.k8s.io");
                d["metadata"]["name"] = json!("fleets.ships.k8s.io");
            },
            "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation",
        ),
    ];
    for (change, wanted) in cases {
        let status = world.post(DEFINITIONS, refused(change)).unwrap_err();
        assert_eq!(status.code, 422, "{}", status.message);
        assert!(status.message.contains(wanted), "{wanted}: {}", status.message);
    }
}

#[test]
fn names_that_are_taken() {
    let mut world = mk_world();
    let mut other = mk_definition();
    other["metadata"]["name"] = json!("boats.ships.example");
    other["spec"]["names"] = json!({"plural": "boats", "kind": "Boat", "shortNames": ["fl"]});
    world.post(DEFINITIONS, other).unwrap();
    let path = format!("{DEFINITIONS}/boats.ships.example");
    let boats = world.get(&path).unwrap();
    assert_eq!(condition(&boats, "NamesAccepted")["message"], "\"fl\" is already in use");
    assert_eq!(condition(&boats, "Established")["status"], "False");
    let target = mk_target("/apis/ships.example/v1/namespaces/default/boats");
    assert!(world.store.kind(&target).is_err());
    // The names are free again once their holder is gone.
    world.delete(&format!("{DEFINITIONS}/fleets.ships.example"), json!({})).unwrap();
    assert_eq!(condition(&world.get(&path).unwrap(), "Established")["status"], "True");
    assert!(world.store.kind(&target).is_ok());
}

#[test]
fn a_definition_changes() {
    let mut world = mk_world();
    world.post(FLEETS, mk_fleet("a", json!({"size": 9}))).unwrap();
    let path = format!("{DEFINITIONS}/fleets.ships.example");
    let generation = world.store.kinds_generation();
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let patch = json!([
        {"op": "replace", "path": format!("{schema}/size/maximum"), "value": 5},
        {"op": "add", "path": format!("{schema}/flag"), "value": {"type": "string", "default": "white"}},
    ]);
    world.patch(&path, PatchKind::Json, patch).unwrap();
    assert!(world.store.kinds_generation() > generation);
    let seen = world.get(&format!("{FLEETS}/a")).unwrap();
    assert_eq!(seen["spec"]["flag"], "white");
    // What is there already may stay wrong as long as it is left alone.
    world.patch(&format!("{FLEETS}/a"), PatchKind::Merge, json!({"spec": {"flag": "red"}})).unwrap();
    assert!(world.patch(&format!("{FLEETS}/a"), PatchKind::Merge, json!({"spec": {"size": 8}})).is_err());
    for (change, wanted) in [
        (json!({"spec": {"scope": "Cluster"}}), "spec.scope: Invalid value: \"Cluster\": field is immutable"),
        (
            json!({"spec": {"versions": [mk_version("v2", true)]}}),
            "status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions",
        ),
    ] {
        let status = world.patch(&path, PatchKind::Merge, change).unwrap_err();
        assert!(status.message.contains(wanted), "{}", status.message);
    }
}

#[test]
fn a_definition_goes_after_its_objects() {
    let mut world = mk_world();
    world.post(FLEETS, mk_fleet("a", json!({"size": 1}))).unwrap();
    let mut held = mk_fleet("b", json!({"size": 1}));
    held["metadata"]["finalizers"] = json!(["ships.example/dock"]);
    world.post(FLEETS, held).unwrap();
    let mut cursor = world.watch(FLEETS, &WatchOptions::default()).unwrap();
    world.watched(&mut cursor);
    let path = format!("{DEFINITIONS}/fleets.ships.example");
    let answer = world.delete(&path, json!({})).unwrap();
    assert_eq!(answer["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
    assert_eq!(condition(&world.get(&path).unwrap(), "Terminating")["status"], "True");
    assert_eq!(world.watched(&mut cursor), ["DELETED a", "MODIFIED b"]);
    assert!(!world.store.is_over(&cursor));
    let late = world.post(FLEETS, mk_fleet("c", json!({"size": 1}))).unwrap_err();
    assert_eq!(late.message, "create not allowed while custom resource definition is terminating");
    world.patch(&format!("{FLEETS}/b"), PatchKind::Merge, json!({"metadata": {"finalizers": null}})).unwrap();
    assert_eq!(world.watched(&mut cursor), ["DELETED b"]);
    assert!(world.store.is_over(&cursor));
    assert_eq!(world.get(&path).unwrap_err().code, 404);
    assert_eq!(
        world.get(&format!("{FLEETS}/a")).unwrap_err().message,
        "the server could not find the requested resource"
    );
    // The same names may come back, with nothing of the old.
    world.post(DEFINITIONS, mk_definition()).unwrap();
    assert!(world.list(FLEETS, &ListOptions::default()).unwrap().items.is_empty());
    assert!(world.store.is_over(&cursor));
}

#[test]
fn a_changed_definition_ends_the_watches_of_the_old_one() {
    let mut world = mk_world();
    let path = format!("{DEFINITIONS}/fleets.ships.example");
    world.post(FLEETS, mk_fleet("a", json!({"size": 1}))).unwrap();
    let mut cursor = world.watch(FLEETS, &WatchOptions::default()).unwrap();
    world.watched(&mut cursor);
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    world.patch(&path, PatchKind::Merge, labels).unwrap();
    let mut stored = world.get(&path).unwrap();
    stored["status"]["storedVersions"] = json!(["v1"]);
    world.put(&format!("{path}/status"), stored).unwrap();
    assert!(!world.store.is_over(&cursor), "neither labels nor a status say what objects look like");

    let mut versions = json!([mk_version("v1", true)]);
    versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["crew"] =
        json!({"type": "integer", "default": 7});
    world.patch(&path, PatchKind::Merge, json!({"spec": {"versions": versions}})).unwrap();
    assert!(world.store.is_over(&cursor));
    assert!(world.watched(&mut cursor).is_empty());
    let mut cursor = world.watch(FLEETS, &WatchOptions::default()).unwrap();
    let first = &world.store.next(&mut cursor, Portion { events: 1, bytes: usize::MAX }).unwrap()[0];
    assert_eq!(first.object.value()["spec"]["crew"], 7);
    assert!(!world.store.is_over(&cursor));
}

#[test]
fn an_applied_list_item_is_found_by_defaulted_keys() {
    let mut world = World::new();
    let mut definition = mk_definition();
    let spec =
        definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties").unwrap();
    spec["berths"] = json!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["number", "side"],
        "items": {"type": "object", "required": ["number"], "properties": {
            "number": {"type": "integer"}, "side": {"type": "string", "default": "port"}, "name": {"type": "string"}}},
    });
    world.post(DEFINITIONS, definition).unwrap();
    let fleet = |name: &str| mk_fleet("a", json!({"size": 1, "berths": [{"number": 1, "name": name}]}));
    let path = format!("{FLEETS}/a");
    world.apply(&path, "one", fleet("x")).unwrap();
    let again = world.apply(&path, "one", fleet("y")).unwrap();
    assert_eq!(again["spec"]["berths"], json!([{"number": 1, "side": "port", "name": "y"}]));
    let fields = &again["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:berths"];
    let keys: Vec<&String> = fields.as_object().unwrap().keys().collect();
    assert_eq!(keys, [r#"k:{"number":1,"side":"port"}"#]);
    let emptied = world.apply(&path, "one", mk_fleet("a", json!({"size": 1}))).unwrap();
    assert!(emptied["spec"].get("berths").is_none(), "{}", emptied["spec"]);
}

#[test]
fn everything_is_there_after_a_restart() {
    let mut world = mk_world();
    world.post(FLEETS, mk_fleet("a", json!({"size": 1}))).unwrap();
    let mut records: Vec<_> = world.store.snapshot().collect();
    // On disk objects are ordered by group, so they may come before the definition.
    records.reverse();
    let restored = Store::restore(mk_config(), records.into_iter()).unwrap();
    let fleet = restored.read(&mk_target(&format!("{FLEETS}/a"))).unwrap();
    assert_eq!(fleet["spec"]["size"], 1);
    let replayed = Store::restore(mk_config(), world.store.take_journal().into_iter()).unwrap();
    assert_eq!(*replayed.read(&mk_target(&format!("{FLEETS}/a"))).unwrap(), *fleet);
}

#[test]
fn a_dry_run_brings_no_kind() {
    let mut world = World::new();
    world.options.dry_run = true;
    world.write(DEFINITIONS, Write::Create(mk_definition())).unwrap();
    assert!(world.store.kind(&mk_target(FLEETS)).is_err());
}

#[test]
fn the_schema_is_published() {
    let world = mk_world();
    let document = world.store.openapi_v3("apis/ships.example/v1").unwrap();
    let schemas = &document["components"]["schemas"];
    let fleet = &schemas["example.ships.v1.Fleet"];
    assert_eq!(
        fleet["x-kubernetes-group-version-kind"],
        json!([{"group": "ships.example", "version": "v1", "kind": "Fleet"}])
    );
    assert_eq!(fleet["properties"]["spec"]["properties"]["size"]["maximum"], 9);
    assert!(schemas["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"].is_object());
    let item = &document["paths"]["/apis/ships.example/v1/namespaces/{namespace}/fleets/{name}"];
    let forms: Vec<&String> = item["patch"]["requestBody"]["content"].as_object().unwrap().keys().collect();
    assert_eq!(
        forms,
        ["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"]
    );
}
