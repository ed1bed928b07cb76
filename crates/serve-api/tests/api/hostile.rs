//! Clients that mean no good: the API's own error each time, and a server that goes on answering.

use http::Method;
use serde_json::json;

use crate::http_surface::{CONFIG_MAPS, Http, JSON};
use crate::world::World;

/// What stands where a name belongs, and what it must never reach.
const PATHS: &[&str] = &[
    "/api/v1/namespaces/default/configmaps/..",
    "/api/v1/namespaces/default/configmaps/%2e%2e",
    "/api/v1/namespaces/default/configmaps/..%2f..%2fkube-system%2fsecrets%2fx",
    "/api/v1/namespaces/default/configmaps/a%00b",
    "/api/v1/namespaces/default/configmaps/%ff%fe",
    "/api/v1/namespaces/default/configmaps/%",
    "/api/v1/namespaces/%2e%2e/configmaps/x",
    "/api/v1/namespaces//configmaps/x",
    "/api//v1/../../etc/passwd",
    "/openapi/v3/../../../etc/passwd",
    "/openapi/v3/%2e%2e/%2e%2e",
    "/apis/apps/v1/namespaces/default/deployments/x/status/scale/log",
];

#[test]
fn no_path_leads_out_of_the_api() {
    let world = World::start();
    let http = Http::new(&world);
    for path in PATHS {
        let answer = http.get(path);
        assert!(matches!(answer.code, 400 | 404), "{path}: {} {}", answer.code, answer.text);
        assert!(answer.text.contains("\"kind\":\"Status\""), "{path}: {}", answer.text);
    }
    let long = format!("{CONFIG_MAPS}/{}", "a".repeat(8000));
    http.get(&long).is_status(404, "NotFound");
    // Such names cannot be made either.
    for name in ["..", "a/b", "a%b", "A", "", "a\u{0}b"] {
        let body = json!({"metadata": {"name": name}}).to_string();
        http.post(CONFIG_MAPS, JSON, body).is_status(422, "Invalid");
    }
}

#[test]
fn selectors_and_tokens_of_any_shape_are_refused_in_words() {
    let world = World::start();
    let http = Http::new(&world);
    let deep = "(".repeat(5000);
    for query in [
        format!("labelSelector={deep}"),
        format!("labelSelector=a%20in%20{deep}"),
        format!("fieldSelector={}", "metadata.name%3D%5C".repeat(500)),
        "fieldSelector=a.b%3Dc".to_owned(),
        "continue=%21%21".to_owned(),
        "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiIn0".to_owned(),
        "limit=-1".to_owned(),
        "limit=99999999999999999999999".to_owned(),
        "resourceVersion=1&resourceVersionMatch=Sideways".to_owned(),
        "watch=true&sendInitialEvents=true".to_owned(),
        "watch=true&timeoutSeconds=minus".to_owned(),
    ] {
        let answer = http.get(&format!("{CONFIG_MAPS}?{query}"));
        let shown: String = query.chars().take(60).collect();
        assert!(matches!(answer.code, 400 | 410 | 422), "{shown}: {} {}", answer.code, answer.text);
        assert!(answer.text.contains("\"kind\":\"Status\""), "{shown}: {}", answer.text);
    }
    assert_eq!(http.get(CONFIG_MAPS).code, 200);
}

#[test]
fn bodies_of_any_shape_are_refused_in_words() {
    let world = World::start();
    let http = Http::new(&world);
    let made = json!({"metadata": {"name": "a"}, "data": {"k": "v"}}).to_string();
    let made = http.post(CONFIG_MAPS, JSON, made);
    assert_eq!(made.code, 201);
    let item = format!("{CONFIG_MAPS}/a");
    let deep = format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000));
    let patches = [
        ("application/json-patch+json", "{}"),
        ("application/json-patch+json", "[{\"op\":\"copy\",\"from\":\"\",\"path\":\"/data\"}]"),
        ("application/json-patch+json", "[{\"op\":\"boil\",\"path\":\"/data\"}]"),
        ("application/json-patch+json", "[{\"op\":\"remove\",\"path\":\"data\"}]"),
        ("application/json-patch+json", "[{\"op\":\"replace\",\"path\":\"\",\"value\":null}]"),
        ("application/merge-patch+json", "[]"),
        ("application/merge-patch+json", "7"),
        ("application/merge-patch+json", &deep),
        ("application/strategic-merge-patch+json", "{\"data\":{\"$patch\":\"explode\"}}"),
        ("application/strategic-merge-patch+json", &deep),
        ("application/apply-patch+yaml", "a: [*nobody]"),
        ("application/apply-patch+yaml", &deep),
        ("application/cbor", "\u{1}"),
    ];
    for (content_type, patch) in patches {
        let answer = http.call(Method::PATCH, &item, content_type, patch);
        let shown: String = patch.chars().take(60).collect();
        assert!(matches!(answer.code, 400 | 415 | 422), "{content_type} {shown}: {}", answer.text);
        assert!(answer.text.contains("\"kind\":\"Status\""), "{content_type} {shown}: {}", answer.text);
    }
    for content_type in ["application/vnd.kubernetes.protobuf", "application/json;stream=watch", "\u{7f}"] {
        let answer = http.post(CONFIG_MAPS, content_type.trim_matches('\u{7f}'), "k8s\0garbage");
        assert!(matches!(answer.code, 400 | 415), "{content_type}: {}", answer.text);
    }
    assert_eq!(http.get(&item).code, 200, "the object is as it was");
}
