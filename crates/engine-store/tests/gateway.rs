//! The definitions of the Gateway API, both channels: they install, take upstream's examples, refuse upstream's
//! invalid ones, and their rules answer to objects of ours.
//!
//! The definitions come from the Go module proxy at test time; without Go or network the tests say so and return.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that reads what `go mod download` left"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sealane_engine_store::{Env, FieldValidation, Status, Store, StoreConfig, Target, Write, WriteOptions};
use serde_json::{Value, json};

const MODULE: &str = "sigs.k8s.io/gateway-api@v1.6.0";

/// Where the module is; `None` with the skip line.
fn module(test: &str) -> Option<PathBuf> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gateway-api");
        std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        let output = Command::new("go")
            .args(["mod", "download", "-json", MODULE])
            .current_dir(&directory)
            .env("GO111MODULE", "on")
            .output()
            .map_err(|error| format!("go does not run: {error}"))?;
        let answer: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        match answer["Dir"].as_str() {
            Some(directory) => Ok(PathBuf::from(directory)),
            None => Err(format!("{MODULE} cannot be had: {}", answer["Error"])),
        }
    });
    match found {
        Ok(directory) => Some(directory.clone()),
        Err(why) => {
            println!("sealane-skip: {test}: {why}");
            None
        }
    }
}

struct World {
    store: Store,
    draws: u64,
}

impl World {
    fn new() -> Self {
        let config = StoreConfig {
            service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
            node_port_range: (30000, 32767),
            keep_journal: false,
        };
        let mut world = Self { store: Store::new(config), draws: 0 };
        world.with_env(|store, env| store.bootstrap(env)).unwrap();
        world
    }

    fn with_env<T>(&mut self, act: impl FnOnce(&mut Store, &mut Env<'_>) -> T) -> T {
        let draws = &mut self.draws;
        let mut random = || {
            *draws += 1;
            *draws
        };
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        act(&mut self.store, &mut Env { now, random: &mut random, user: "tester" })
    }

    /// Creates an object wherever its kind is served; `None` for kinds that are not.
    fn create(&mut self, object: &Value) -> Option<Result<Value, Status>> {
        let api_version = object["apiVersion"].as_str()?;
        let kind_name = object["kind"].as_str()?;
        let found = self
            .store
            .kinds()
            .iter()
            .find(|kind| kind.api_version() == api_version && kind.kind == kind_name)?;
        let target = Target {
            group: found.group.to_string(),
            version: found.version.to_string(),
            resource: found.plural.to_string(),
            namespace: found.namespaced.then(|| "default".to_owned()),
            ..Target::default()
        };
        let mut object = object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("namespace");
        }
        let options = WriteOptions { field_validation: FieldValidation::Strict, ..WriteOptions::default() };
        Some(
            self.with_env(|store, env| store.write(env, &target, Write::Create(object), &options))
                .map(|written| written.object),
        )
    }

    /// A world with the definitions of a channel.
    fn of_channel(module: &Path, channel: &str) -> Self {
        let mut world = Self::new();
        for (path, document) in documents(&module.join("config/crd").join(channel)) {
            if let Some(result) = world.create(&document) {
                result.unwrap_or_else(|status| panic!("{}: {}", path.display(), status.message));
            }
        }
        world
    }
}

/// Every YAML document below a directory.
fn documents(directory: &Path) -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    let mut due = vec![directory.to_owned()];
    while let Some(directory) = due.pop() {
        let mut entries: Vec<PathBuf> =
            std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                due.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = std::fs::read_to_string(&path).unwrap();
                let all: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
                found.extend(all.into_iter().map(|document| (path.clone(), document)));
            }
        }
    }
    found
}

fn definitions(module: &Path, channel: &str) -> Vec<Value> {
    let all = documents(&module.join("config/crd").join(channel));
    let definitions = all.into_iter().map(|(_, document)| document);
    definitions.filter(|document| document["kind"] == "CustomResourceDefinition").collect()
}

#[test]
fn both_channels_install_and_are_served() {
    let Some(module) = module("both_channels_install_and_are_served") else { return };
    for (channel, least) in [("standard", 9), ("experimental", 12)] {
        let world = World::of_channel(&module, channel);
        let definitions = definitions(&module, channel);
        assert!(definitions.len() >= least, "{channel}: {}", definitions.len());
        for definition in &definitions {
            let names = &definition["spec"]["names"];
            let group = definition["spec"]["group"].as_str().unwrap();
            for version in definition["spec"]["versions"].as_array().unwrap() {
                let target = Target {
                    group: group.to_owned(),
                    version: version["name"].as_str().unwrap().to_owned(),
                    resource: names["plural"].as_str().unwrap().to_owned(),
                    ..Target::default()
                };
                assert_eq!(world.store.kind(&target).is_ok(), version["served"] == true, "{target:?}");
            }
            let target = Target {
                group: "apiextensions.k8s.io".to_owned(),
                version: "v1".to_owned(),
                resource: "customresourcedefinitions".to_owned(),
                name: definition["metadata"]["name"].as_str().map(str::to_owned),
                ..Target::default()
            };
            let stored = world.store.read(&target).unwrap();
            let conditions = stored["status"]["conditions"].as_array().unwrap();
            let is_protected = group.ends_with(".k8s.io");
            let approval = is_protected.then_some("KubernetesAPIApprovalPolicyConformant");
            for wanted in ["NamesAccepted", "Established"].into_iter().chain(approval) {
                let found = conditions.iter().find(|condition| condition["type"] == wanted);
                assert!(
                    found.is_some_and(|condition| condition["status"] == "True"),
                    "{wanted}: {conditions:?}"
                );
            }
        }
        assert!(world.store.openapi_v3("apis/gateway.networking.k8s.io/v1").is_some());
    }
}

#[test]
fn upstream_examples() {
    let Some(module) = module("upstream_examples") else { return };
    for channel in ["standard", "experimental"] {
        let mut world = World::of_channel(&module, channel);
        let mut taken = 0;
        for (path, document) in documents(&module.join("examples").join(channel)) {
            if !document["apiVersion"]
                .as_str()
                .is_some_and(|version| version.starts_with("gateway.networking"))
            {
                continue;
            }
            match world.create(&document) {
                Some(Ok(_)) => taken += 1,
                // Some examples use one name twice.
                Some(Err(status)) if status.reason == "AlreadyExists" => {}
                Some(Err(status)) => panic!("{}: {}", path.display(), status.message),
                // A few old examples are of versions that are served no longer.
                None => {}
            }
        }
        assert!(taken >= if channel == "standard" { 40 } else { 5 }, "{channel}: {taken}");
        let mut refused = 0;
        for (path, document) in documents(&module.join("hack/invalid-examples").join(channel)) {
            let Some(result) = world.create(&document) else { continue };
            let status = result.err().unwrap_or_else(|| panic!("{}: was taken", path.display()));
            assert!(matches!(status.code, 400 | 422), "{}: {}", path.display(), status.message);
            refused += 1;
        }
        assert!(refused >= if channel == "standard" { 30 } else { 3 }, "{channel}: {refused}");
    }
}

/// The rules of all definitions: expression to message.
fn rules(module: &Path) -> BTreeMap<String, String> {
    fn collect(schema: &Value, rules: &mut BTreeMap<String, String>) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let text = |field: &str| rule[field].as_str().unwrap_or_default().to_owned();
            rules.insert(text("rule"), text("message"));
        }
        match schema {
            Value::Object(map) => map.values().for_each(|value| collect(value, rules)),
            Value::Array(items) => items.iter().for_each(|value| collect(value, rules)),
            _ => {}
        }
    }
    let mut rules = BTreeMap::new();
    for channel in ["standard", "experimental"] {
        definitions(module, channel).iter().for_each(|definition| collect(definition, &mut rules));
    }
    rules
}

fn mk_gateway(listeners: Value, more: Value) -> Value {
    let mut spec = json!({"gatewayClassName": "a", "listeners": listeners});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"generateName": "g-"}, "spec": spec})
}

fn mk_listener(name: &str, change: Value) -> Value {
    let mut listener = json!({"name": name, "port": 80, "protocol": "HTTP"});
    listener.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    listener
}

fn mk_http(rule: Value) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"generateName": "h-"}, "spec": {"rules": [rule]}})
}

fn mk_grpc(rule: Value) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "metadata": {"generateName": "r-"}, "spec": {"rules": [rule]}})
}

fn mk_route(parents: Value) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"generateName": "p-"}, "spec": {"parentRefs": parents}})
}

fn mk_filter(kind: &str) -> Value {
    let backend = json!({"backendRef": {"name": "b", "port": 80}});
    let (field, value) = match kind {
        "RequestHeaderModifier" => ("requestHeaderModifier", json!({"set": [{"name": "a", "value": "b"}]})),
        "ResponseHeaderModifier" => ("responseHeaderModifier", json!({"set": [{"name": "a", "value": "b"}]})),
        "RequestMirror" => ("requestMirror", backend),
        "RequestRedirect" => ("requestRedirect", json!({"hostname": "a.example"})),
        "URLRewrite" => ("urlRewrite", json!({"hostname": "a.example"})),
        "CORS" => ("cors", json!({"allowOrigins": ["https://a.example"]})),
        "ExternalAuth" => {
            ("externalAuth", json!({"protocol": "GRPC", "grpc": {}, "backendRef": {"name": "b", "port": 80}}))
        }
        _ => ("extensionRef", json!({"group": "a.example", "kind": "B", "name": "c"})),
    };
    json!({ "type": kind, field: value })
}

/// Paths that rules refuse, and those of other fields of filters.
fn path_match(kind: &str, value: &str) -> Value {
    mk_http(json!({"matches": [{"path": {"type": kind, "value": value}}]}))
}

fn path_modifier(field: &str, path: Value, prefix_match: bool) -> Value {
    let kind = if field == "urlRewrite" { "URLRewrite" } else { "RequestRedirect" };
    let matches =
        json!([{"path": {"type": if prefix_match { "PathPrefix" } else { "Exact" }, "value": "/a"}}]);
    mk_http(json!({"matches": matches, "filters": [{"type": kind, field: {"path": path}}]}))
}

/// A good object and a bad one, for rule after rule.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn cases() -> Vec<(Value, Value)> {
    let mut cases = Vec::new();
    let tls = json!({"mode": "Terminate", "certificateRefs": [{"name": "c"}]});
    let listener = |change: Value| mk_gateway(json!([mk_listener("a", change)]), json!({}));
    let two = |a: Value, b: Value| mk_gateway(json!([mk_listener("a", a), mk_listener("b", b)]), json!({}));
    cases.extend([
        (listener(json!({})), listener(json!({"tls": tls}))),
        (
            listener(json!({"protocol": "HTTPS", "port": 443, "tls": tls})),
            listener(json!({"protocol": "HTTPS", "port": 443, "tls": {"mode": "Passthrough"}})),
        ),
        (
            listener(json!({"protocol": "TLS", "port": 443, "tls": tls})),
            listener(json!({"protocol": "TLS", "port": 443})),
        ),
        (listener(json!({"protocol": "TCP"})), listener(json!({"protocol": "TCP", "hostname": "a.example"}))),
        (
            listener(json!({"protocol": "HTTPS", "tls": tls})),
            listener(json!({"protocol": "HTTPS", "tls": {"mode": "Terminate"}})),
        ),
        (
            two(json!({}), json!({"port": 81})),
            mk_gateway(
                json!([mk_listener("a", json!({})), mk_listener("a", json!({"port": 81}))]),
                json!({}),
            ),
        ),
        (two(json!({"hostname": "a.example"}), json!({"hostname": "b.example"})), two(json!({}), json!({}))),
    ]);
    let plain = || json!([mk_listener("a", json!({}))]);
    let addresses = |list: Value| mk_gateway(plain(), json!({ "addresses": list }));
    let ip = |value: &str| json!({"type": "IPAddress", "value": value});
    let host = |value: &str| json!({"type": "Hostname", "value": value});
    cases.extend([
        (
            addresses(json!([ip("10.0.0.1"), ip("10.0.0.2")])),
            addresses(json!([ip("10.0.0.1"), ip("10.0.0.1")])),
        ),
        (
            addresses(json!([host("a.example"), host("b.example")])),
            addresses(json!([host("a.example"), host("a.example")])),
        ),
        (addresses(json!([host("a.example")])), addresses(json!([host("A_B")]))),
    ]);
    let parent = |more: Value| {
        let mut parent = json!({"name": "g"});
        parent.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parent
    };
    cases.extend([
        (
            mk_route(json!([parent(json!({"sectionName": "a"})), parent(json!({"sectionName": "b"}))])),
            mk_route(json!([parent(json!({})), parent(json!({"sectionName": "b"}))])),
        ),
        (
            mk_route(json!([parent(json!({"namespace": "x"})), parent(json!({"namespace": "y"}))])),
            mk_route(json!([parent(json!({"namespace": "x"})), parent(json!({"namespace": "x"}))])),
        ),
    ]);
    // Paths of matches.
    for bad in ["a", "/a//b", "/a/./b", "/a/../b", "/a%2fb", "/a%2Fb", "/a#b", "/a/..", "/a/.", "/a b"] {
        cases.push((path_match("PathPrefix", "/a/b"), path_match("PathPrefix", bad)));
    }
    // Filters that do not carry what their type says.
    let kinds = [
        "RequestHeaderModifier",
        "ResponseHeaderModifier",
        "RequestMirror",
        "RequestRedirect",
        "URLRewrite",
        "CORS",
        "ExternalAuth",
        "ExtensionRef",
    ];
    for kind in kinds {
        let other = if kind == "RequestMirror" { "RequestHeaderModifier" } else { "RequestMirror" };
        let mut wrong = mk_filter(kind);
        wrong["type"] = json!(other);
        cases.push((mk_http(json!({"filters": [mk_filter(kind)]})), mk_http(json!({"filters": [wrong]}))));
        cases.push((
            mk_http(json!({"filters": [mk_filter(kind)]})),
            mk_http(json!({"filters": [{"type": kind}]})),
        ));
        if !matches!(kind, "RequestMirror" | "ExtensionRef" | "ExternalAuth") {
            let twice = json!({"filters": [mk_filter(kind), mk_filter(kind)]});
            cases.push((mk_http(json!({"filters": [mk_filter(kind)]})), mk_http(twice)));
        }
        if ["RequestHeaderModifier", "ResponseHeaderModifier"].contains(&kind) {
            let twice = json!({"filters": [mk_filter(kind), mk_filter(kind)]});
            cases.push((mk_grpc(json!({"filters": [mk_filter(kind)]})), mk_grpc(twice)));
        }
    }
    let both = json!({"filters": [mk_filter("RequestRedirect"), mk_filter("URLRewrite")]});
    cases.push((mk_http(json!({"filters": [mk_filter("URLRewrite")]})), mk_http(both)));
    for field in ["urlRewrite", "requestRedirect"] {
        let prefix = json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": "/b"});
        let full = json!({"type": "ReplaceFullPath", "replaceFullPath": "/b"});
        cases.extend([
            (path_modifier(field, prefix.clone(), true), path_modifier(field, prefix.clone(), false)),
            (path_modifier(field, full.clone(), true), path_modifier(field, json!({"type": "ReplaceFullPath"}), true)),
            (path_modifier(field, full, true), path_modifier(field, json!({"type": "ReplaceFullPath", "replaceFullPath": "/b", "replacePrefixMatch": "/c"}), true)),
            (path_modifier(field, prefix.clone(), true), path_modifier(field, json!({"type": "ReplacePrefixMatch"}), true)),
            (path_modifier(field, prefix.clone(), true), path_modifier(field, json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": "/c", "replaceFullPath": "/b"}), true)),
        ]);
        let kind = if field == "urlRewrite" { "URLRewrite" } else { "RequestRedirect" };
        let backend = |matched: &str| {
            mk_http(json!({"matches": [{"path": {"type": matched, "value": "/a"}}],
                "backendRefs": [{"name": "b", "port": 80, "filters": [{"type": kind, field: {"path": prefix}}]}]}))
        };
        cases.push((backend("PathPrefix"), backend("Exact")));
    }
    let redirect = mk_filter("RequestRedirect");
    cases.extend([
        (mk_http(json!({"filters": [redirect]})), mk_http(json!({"filters": [redirect], "backendRefs": [{"name": "b", "port": 80}]}))),
        (mk_http(json!({"backendRefs": [{"name": "b", "port": 80}]})), mk_http(json!({"backendRefs": [{"name": "b"}]}))),
        (mk_http(json!({"timeouts": {"request": "2s", "backendRequest": "1s"}})), mk_http(json!({"timeouts": {"request": "1s", "backendRequest": "2s"}}))),
        (mk_http(json!({"matches": vec![json!({}); 8]})), {
            let matches: Vec<Value> = vec![json!({"path": {"type": "Exact", "value": "/a"}}); 64];
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"generateName": "m-"},
                "spec": {"rules": [{"matches": matches}, {"matches": matches}, {"matches": matches}]}})
        }),
    ]);
    let mirror = |more: Value| {
        let mut filter = mk_filter("RequestMirror");
        filter["requestMirror"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        mk_http(json!({"filters": [filter]}))
    };
    let method = |value: Value| mk_grpc(json!({"matches": [{ "method": value }]}));
    let cors =
        |origins: Value| mk_http(json!({"filters": [{"type": "CORS", "cors": {"allowOrigins": origins}}]}));
    let cors_methods =
        |methods: Value| mk_http(json!({"filters": [{"type": "CORS", "cors": {"allowMethods": methods}}]}));
    let cors_headers =
        |headers: Value| mk_http(json!({"filters": [{"type": "CORS", "cors": {"allowHeaders": headers}}]}));
    let auth = |value: Value| {
        let mut auth = json!({"backendRef": {"name": "b", "port": 80}});
        auth.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        mk_http(json!({"filters": [{"type": "ExternalAuth", "externalAuth": auth}]}))
    };
    cases.extend([
        (mirror(json!({"percent": 10})), mirror(json!({"percent": 10, "fraction": {"numerator": 1}}))),
        (mirror(json!({"fraction": {"numerator": 1, "denominator": 2}})), mirror(json!({"fraction": {"numerator": 3, "denominator": 2}}))),
        (method(json!({"service": "a.B"})), method(json!({"type": "Exact"}))),
        (method(json!({"service": "a.B"})), method(json!({"service": "a b"}))),
        (method(json!({"method": "Get"})), method(json!({"method": "a/b"}))),
        (cors(json!(["*"])), cors(json!(["*", "https://a.example"]))),
        (cors_methods(json!(["*"])), cors_methods(json!(["*", "GET"]))),
        (cors_headers(json!(["*"])), cors_headers(json!(["*", "a"]))),
        (auth(json!({"protocol": "GRPC", "grpc": {}})), auth(json!({"protocol": "GRPC"}))),
        (auth(json!({"protocol": "HTTP", "http": {}})), auth(json!({"protocol": "HTTP"}))),
        (auth(json!({"protocol": "HTTP", "http": {}})), auth(json!({"protocol": "HTTP", "http": {}, "grpc": {}}))),
        (auth(json!({"protocol": "GRPC", "grpc": {}})), auth(json!({"protocol": "GRPC", "grpc": {}, "http": {}}))),
        (mk_grpc(json!({"matches": [{}]})), {
            let matches: Vec<Value> = vec![json!({"method": {"service": "a"}}); 64];
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "metadata": {"generateName": "m-"},
                "spec": {"rules": [{"matches": matches}, {"matches": matches}, {"matches": matches}]}})
        }),
        (mk_http(json!({"name": "a"})), json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"generateName": "n-"}, "spec": {"rules": [{"name": "a"}, {"name": "a"}]}})),
        (mk_http(json!({"sessionPersistence": {"type": "Cookie"}})), mk_http(json!({"sessionPersistence": {"type": "Header", "cookieConfig": {"lifetimeType": "Session"}}}))),
        (
            mk_http(json!({"sessionPersistence": {"absoluteTimeout": "1h", "cookieConfig": {"lifetimeType": "Permanent"}}})),
            mk_http(json!({"sessionPersistence": {"cookieConfig": {"lifetimeType": "Permanent"}}})),
        ),
    ]);
    cases.extend(policies());
    cases
}

fn policies() -> Vec<(Value, Value)> {
    let policy = |validation: Value, refs: Value| {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "BackendTLSPolicy", "metadata": {"generateName": "t-"},
            "spec": {"targetRefs": refs, "validation": validation}})
    };
    let refs = || json!([{"group": "", "kind": "Service", "name": "a"}]);
    let with = |more: Value| {
        let mut validation = json!({"hostname": "a.example"});
        validation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        policy(validation, refs())
    };
    let known = || json!({"wellKnownCACertificates": "System"});
    let san = |san: Value| with(json!({"wellKnownCACertificates": "System", "subjectAltNames": [san]}));
    let target = |section: Value| {
        let mut target = json!({"group": "", "kind": "Service", "name": "a"});
        target.as_object_mut().unwrap().extend(section.as_object().unwrap().clone());
        target
    };
    let on =
        |list: Value| policy(json!({"hostname": "a.example", "wellKnownCACertificates": "System"}), list);
    let tls = |hosts: Value| {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "TLSRoute", "metadata": {"generateName": "l-"},
            "spec": {"hostnames": hosts, "rules": [{"backendRefs": [{"name": "b", "port": 80}]}]}})
    };
    let labels = |key: &str| {
        let more = json!({"infrastructure": {"labels": {key: "v"}, "annotations": {key: "v"}}});
        mk_gateway(json!([mk_listener("a", json!({}))]), more)
    };
    let class = |name: &str| json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": name}, "spec": {"controllerName": "a.example/b"}});
    vec![
        (with(known()), with(json!({}))),
        (
            with(known()),
            with(
                json!({"wellKnownCACertificates": "System", "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "a"}]}),
            ),
        ),
        (san(json!({"type": "Hostname", "hostname": "a.example"})), san(json!({"type": "Hostname"}))),
        (san(json!({"type": "URI", "uri": "spiffe://a.example/b"})), san(json!({"type": "URI"}))),
        (
            san(json!({"type": "URI", "uri": "spiffe://a.example/b"})),
            san(json!({"type": "URI", "uri": "spiffe://a.example/b", "hostname": "a.example"})),
        ),
        (
            san(json!({"type": "Hostname", "hostname": "a.example"})),
            san(json!({"type": "Hostname", "hostname": "a.example", "uri": "spiffe://a.example/b"})),
        ),
        (
            on(json!([target(json!({"sectionName": "x"})), target(json!({"sectionName": "y"}))])),
            on(json!([target(json!({})), target(json!({"sectionName": "y"}))])),
        ),
        (
            on(json!([target(json!({"sectionName": "x"}))])),
            on(json!([target(json!({"sectionName": "x"})), target(json!({"sectionName": "x"}))])),
        ),
        (tls(json!(["a.example"])), tls(json!(["10.0.0.1"]))),
        (tls(json!(["*.example"])), tls(json!(["a.*.example"]))),
        (tls(json!(["a.example"])), tls(json!(["-a.example"]))),
        (labels("a.example/b"), labels("a b")),
        (labels("a.example/b"), labels(&format!("{}/b", "a".repeat(253)))),
        (
            class("good"),
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "bad"}, "spec": {"controllerName": "nope"}}),
        ),
    ]
}

#[test]
fn rules_answer_to_good_and_bad_objects() {
    let Some(module) = module("rules_answer_to_good_and_bad_objects") else { return };
    let messages: BTreeSet<String> = rules(&module).into_values().collect();
    let mut world = World::of_channel(&module, "experimental");
    let mut said = BTreeSet::new();
    let mut wrong = Vec::new();
    for (good, bad) in cases() {
        let text = |object: &Value| format!("{} {}", object["kind"], object["spec"]);
        match world.create(&good) {
            Some(Err(status)) if status.reason != "AlreadyExists" => {
                wrong.push(format!("GOOD {}: {}", text(&good), status.message));
            }
            None => wrong.push(format!("no kind for {}", text(&good))),
            _ => {}
        }
        match world.create(&bad) {
            Some(Err(status)) if status.code == 422 => {
                let causes = status.details.into_iter().flat_map(|details| details.causes);
                for cause in causes {
                    let message = cause.message.split(": ").skip(1).collect::<Vec<_>>().join(": ");
                    let found = messages
                        .iter()
                        .filter(|known| message.ends_with(known.as_str()) && !known.is_empty());
                    said.extend(found.cloned());
                }
            }
            other => wrong.push(format!("BAD {}: {other:?}", text(&bad))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let silent: Vec<&String> = messages.difference(&said).collect();
    println!("{} of {} messages of rules were said; not: {silent:#?}", said.len(), messages.len());
    assert!(said.len() >= 80, "{} of {}: {silent:#?}", said.len(), messages.len());
}
