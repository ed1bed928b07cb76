//! Plain HTTP: who is let in, what is refused and how, discovery, and raw watch streams.

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::world::World;

/// A client of a world, with the administrator's certificate.
pub(crate) struct Http<'a> {
    world: &'a World,
    client: Client,
}

/// An answer, read to its end.
pub(crate) struct Answered {
    pub(crate) code: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The lines of a watch stream.
    fn events(&self) -> Vec<Value> {
        self.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[track_caller]
    pub(crate) fn is_status(&self, code: u16, reason: &str) -> Value {
        let status = self.json();
        assert_eq!((self.code, status["reason"].as_str()), (code, Some(reason)), "{status}");
        assert_eq!((&status["kind"], &status["code"]), (&json!("Status"), &json!(code)));
        status
    }
}

impl<'a> Http<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        let kubeconfig = std::fs::read_to_string(world.directory.join("kubeconfig")).unwrap();
        Self { world, client: client(world, &kubeconfig) }
    }

    /// One that proves nothing about itself.
    pub(crate) fn anonymous(world: &'a World) -> Self {
        let kubeconfig = std::fs::read_to_string(world.directory.join("kubeconfig")).unwrap();
        let kept: Vec<&str> = kubeconfig.lines().filter(|line| !line.contains("client-")).collect();
        Self { world, client: client(world, &kept.join("\n").replace("  user:\n", "  user: {}\n")) }
    }

    /// Sends a request and reads no more than the head of the answer.
    pub(crate) fn open(&self, request: Request<Body>) -> Response<Body> {
        self.world.tokio.block_on(self.client.send(request)).unwrap()
    }

    pub(crate) fn send(&self, request: Request<Body>) -> Answered {
        self.world.tokio.block_on(async {
            let (head, body) = self.client.send(request).await.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Answered {
                code: head.status.as_u16(),
                headers: head.headers,
                text: String::from_utf8_lossy(&body).into_owned(),
            }
        })
    }

    pub(crate) fn get(&self, path: &str) -> Answered {
        self.send(Request::get(path).body(Body::empty()).unwrap())
    }

    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answered {
        let request =
            headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        self.send(request.body(Body::empty()).unwrap())
    }

    pub(crate) fn post(&self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Answered {
        self.call(Method::POST, path, content_type, body)
    }

    pub(crate) fn call(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Vec<u8>>,
    ) -> Answered {
        let mut request = Request::builder().method(method).uri(path);
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        self.send(request.body(Body::from(body.into())).unwrap())
    }
}

fn client(world: &World, kubeconfig: &str) -> Client {
    world.tokio.block_on(async {
        let kubeconfig = kube::config::Kubeconfig::from_yaml(kubeconfig).unwrap();
        let options = kube::config::KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        // Every answer is looked at, also those that kube-rs would ask for once more.
        config.default_retry = false;
        Client::try_from(config).unwrap()
    })
}

const PODS: &str = "/api/v1/namespaces/default/pods";
pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub(crate) const JSON: &str = "application/json";

#[test]
fn strangers_see_the_version_and_nothing_else() {
    let world = World::start();
    let anonymous = Http::anonymous(&world);
    let version = anonymous.get("/version").json();
    assert!(version["gitVersion"].as_str().unwrap().ends_with("+sealane"));
    for path in ["/livez", "/readyz?verbose", "/healthz"] {
        assert_eq!(anonymous.get(path).text, "ok");
    }
    for path in ["/api", "/apis", "/openapi/v3", "/nothing"] {
        let refused = anonymous.get(path).is_status(403, "Forbidden");
        let text = format!("forbidden: User \"system:anonymous\" cannot get path \"{path}\"");
        assert_eq!(refused["message"], json!(text));
    }
    let refused = anonymous.get(PODS).is_status(403, "Forbidden");
    assert!(refused["message"].as_str().unwrap().contains("\"system:anonymous\" cannot list"), "{refused}");
    let token = format!("Bearer {}", world.credentials.administrator_token());
    assert_eq!(anonymous.get_with(PODS, &[("authorization", &token)]).code, 200);
    anonymous.get_with(PODS, &[("authorization", "Bearer wrong")]).is_status(401, "Unauthorized");
}

#[test]
fn what_cannot_be_understood_is_refused_in_the_apis_words() {
    let world = World::start();
    let http = Http::new(&world);
    http.get("/apis/nothing.example/v1").is_status(404, "NotFound");
    http.get("/api/v1/namespaces/default/bananas").is_status(404, "NotFound");
    http.get("/api/v1/namespaces/default/nodes/x").is_status(404, "NotFound");
    http.get(&format!("{PODS}/x/bananas")).is_status(404, "NotFound");
    let missing = http.get(&format!("{PODS}/x")).is_status(404, "NotFound");
    assert_eq!(missing["message"], "pods \"x\" not found");
    http.call(Method::PUT, PODS, JSON, "{}").is_status(405, "MethodNotAllowed");
    http.post("/apis", JSON, "{}").is_status(405, "MethodNotAllowed");
    http.post(CONFIG_MAPS, JSON, "{").is_status(400, "BadRequest");
    http.post(CONFIG_MAPS, JSON, "").is_status(400, "BadRequest");
    http.post(CONFIG_MAPS, JSON, "[1]").is_status(400, "BadRequest");
    http.post(CONFIG_MAPS, JSON, [0xff, 0xfe]).is_status(400, "BadRequest");
    http.post(CONFIG_MAPS, JSON, "[".repeat(50_000)).is_status(400, "BadRequest");
    http.post(CONFIG_MAPS, "text/csv", "a,b").is_status(415, "UnsupportedMediaType");
    http.call(Method::PATCH, &format!("{CONFIG_MAPS}/x"), JSON, "{}").is_status(415, "UnsupportedMediaType");
    http.get_with(PODS, &[("accept", "text/html")]).is_status(406, "NotAcceptable");
    http.get("/openapi/v2").is_status(406, "NotAcceptable");
    http.get(&format!("{PODS}?labelSelector=a%20b")).is_status(400, "BadRequest");
    http.get(&format!("{PODS}?limit=x")).is_status(400, "BadRequest");
    http.get(&format!("{PODS}?watch=1&resourceVersion=x")).is_status(422, "Invalid");
    world.running_pod("here", json!({}));
    for part in ["portforward", "attach?stdin=1", "exec?stdout=1&command=a"] {
        http.get(&format!("{PODS}/x/{part}")).is_status(404, "NotFound");
        let status = http.get(&format!("{PODS}/here/{part}")).is_status(400, "BadRequest");
        assert_eq!(status["message"], "Upgrade request required", "{part}");
    }
}

#[test]
fn large_bodies_end_at_three_megabytes() {
    let world = World::start();
    let http = Http::new(&world);
    let body =
        |size: usize| json!({"metadata": {"name": "big"}, "binaryData": {"x": "A".repeat(size)}}).to_string();
    http.post(CONFIG_MAPS, JSON, body(3 * 1024 * 1024)).is_status(413, "RequestEntityTooLarge");
    http.post(CONFIG_MAPS, JSON, body(20 * 1024 * 1024)).is_status(413, "RequestEntityTooLarge");
    assert_eq!(http.post(CONFIG_MAPS, "", body(512 * 1024)).code, 201, "no content type is JSON");
}

#[test]
fn discovery_has_two_forms() {
    let world = World::start();
    let http = Http::new(&world);
    assert_eq!(http.get("/api").json()["versions"], json!(["v1"]));
    let groups = http.get("/apis").json();
    let names: Vec<&str> =
        groups["groups"].as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"apps") && names.contains(&"networking.k8s.io"), "{names:?}");
    assert_eq!(http.get("/apis/apps").json()["preferredVersion"]["groupVersion"], "apps/v1");
    let core = http.get("/api/v1").json();
    let pods = core["resources"].as_array().unwrap().iter().find(|entry| entry["name"] == "pods").unwrap();
    assert_eq!(pods["shortNames"], json!(["po"]));
    assert!(pods["verbs"].as_array().unwrap().contains(&json!("watch")));

    let wanted = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let aggregated = http.get_with("/apis", &[("accept", wanted)]);
    assert_eq!(
        aggregated.headers["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    assert_eq!(aggregated.json()["kind"], "APIGroupDiscoveryList");
    let tag = aggregated.headers["etag"].to_str().unwrap().to_owned();
    let again = http.get_with("/apis", &[("accept", wanted), ("if-none-match", &tag)]);
    assert_eq!((again.code, again.text.as_str()), (304, ""));
}

#[test]
fn openapi_documents_have_a_hash_and_a_tag() {
    let world = World::start();
    let http = Http::new(&world);
    let root = http.get("/openapi/v3").json();
    let url = root["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    assert!(url.starts_with("/openapi/v3/apis/apps/v1?hash="), "{url}");
    let document = http.get(url);
    assert!(document.json()["components"]["schemas"].is_object());
    let tag = document.headers["etag"].to_str().unwrap();
    assert_eq!(http.get_with(url, &[("if-none-match", tag)]).code, 304);
    assert_eq!(http.get("/openapi/v3/api/v1").code, 200, "a missing hash is fine");
}

#[test]
fn large_answers_are_packed_for_those_who_take_it() {
    let world = World::start();
    let http = Http::new(&world);
    let plain = http.get("/openapi/v3/api/v1");
    assert!(!plain.headers.contains_key("content-encoding"));
    let packed = http.get_with("/openapi/v3/api/v1", &[("accept-encoding", "gzip")]);
    assert_eq!((packed.code, &packed.headers["content-encoding"]), (200, &"gzip".parse().unwrap()));
    assert_eq!(packed.headers["etag"], plain.headers["etag"]);
    let short = http.get_with("/version", &[("accept-encoding", "gzip")]);
    assert!(!short.headers.contains_key("content-encoding"));
}

#[test]
fn unknown_fields_make_warnings() {
    let world = World::start();
    let http = Http::new(&world);
    let body = r#"{"metadata":{"name":"a"},"bananas":1}"#;
    let warned = http.post(CONFIG_MAPS, JSON, body);
    assert_eq!(warned.code, 201);
    assert_eq!(warned.headers["warning"], "299 - \"unknown field \\\"bananas\\\"\"");
    assert!(warned.headers.contains_key("audit-id"));
    http.post(&format!("{CONFIG_MAPS}?fieldValidation=Strict"), JSON, body).is_status(400, "BadRequest");
}

#[test]
fn every_request_about_a_deprecated_version_is_warned() {
    let world = World::start();
    let http = Http::new(&world);
    let schema = r#"{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}"#;
    let version =
        |name: &str, more: &str| format!(r#"{{"name":"{name}","served":true,"schema":{schema},{more}}}"#);
    let old = version("v1", r#""storage":false,"deprecated":true"#);
    let older = version("v1beta1", r#""storage":false,"deprecated":true,"deprecationWarning":"use v2""#);
    let versions = [old, older, version("v2", r#""storage":true"#)].join(",");
    let definition = format!(
        r#"{{"metadata":{{"name":"boats.ships.example"}},"spec":{{"group":"ships.example","scope":"Cluster",
            "names":{{"plural":"boats","kind":"Boat"}},"versions":[{versions}]}}}}"#
    );
    assert_eq!(
        http.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", JSON, definition).code,
        201
    );
    let path = |version: &str| format!("/apis/ships.example/{version}/boats");
    let body = r#"{"apiVersion":"ships.example/v1","kind":"Boat","metadata":{"name":"a"}}"#;
    let plain = "299 - \"ships.example/v1 Boat is deprecated\"";
    assert_eq!(http.post(&path("v1"), JSON, body).headers["warning"], plain);
    for path in
        [path("v1"), path("v1") + "/a", path("v1") + "/none", path("v1") + "?watch=true&timeoutSeconds=1"]
    {
        assert_eq!(http.get(&path).headers["warning"], plain, "{path}");
    }
    assert_eq!(http.get(&path("v1beta1")).headers["warning"], "299 - \"use v2\"");
    assert!(!http.get(&path("v2")).headers.contains_key("warning"));
}

#[test]
fn a_watch_replays_follows_and_ends() {
    let world = World::start();
    let http = Http::new(&world);
    http.post(CONFIG_MAPS, JSON, r#"{"metadata":{"name":"a","labels":{"x":"y"}}}"#);
    let from_start = http.get(&format!("{CONFIG_MAPS}?watch=true&timeoutSeconds=1&labelSelector=x%3Dy"));
    assert_eq!(from_start.code, StatusCode::OK.as_u16());
    let events = from_start.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((&events[0]["type"], &events[0]["object"]["kind"]), (&json!("ADDED"), &json!("ConfigMap")));

    let initial = "watch=true&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
                   &allowWatchBookmarks=true&labelSelector=x%3Dy";
    let events = http.get(&format!("{CONFIG_MAPS}?{initial}")).events();
    assert_eq!(events[0]["type"], "ADDED");
    assert_eq!(events[1]["type"], "BOOKMARK");
    assert_eq!(events[1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");

    let bookmarked = http.get(&format!(
        "{CONFIG_MAPS}?watch=true&timeoutSeconds=3&resourceVersion=0&allowWatchBookmarks=true"
    ));
    let events = bookmarked.events();
    assert_eq!(events.last().unwrap()["type"], "BOOKMARK", "a bookmark comes before the end");
}

#[test]
fn watches_come_as_tables_and_as_metadata_too() {
    let world = World::start();
    let http = Http::new(&world);
    for name in ["a", "b"] {
        http.post(
            CONFIG_MAPS,
            JSON,
            format!(r#"{{"metadata":{{"name":"{name}","labels":{{"x":"y"}}}},"data":{{"k":"v"}}}}"#),
        );
    }
    let path = format!("{CONFIG_MAPS}?watch=true&timeoutSeconds=1&labelSelector=x%3Dy");
    let table = http.get_with(&path, &[("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")]).events();
    assert_eq!(table.len(), 2);
    assert_eq!(table[0]["object"]["columnDefinitions"][0]["name"], "Name");
    assert_eq!(table[0]["object"]["rows"][0]["cells"][0], "a");
    assert!(table[1]["object"]["columnDefinitions"].as_array().is_none_or(Vec::is_empty));
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let metadata = http.get_with(&path, &[("accept", accept)]).events();
    assert_eq!(metadata[0]["object"]["kind"], "PartialObjectMetadata");
    assert!(metadata[0]["object"].get("data").is_none());
}
