//! Bodies made at random from the schemas: whatever a client sends, the store answers, and what it takes is stable.

use engine_store::{IncludeObject, Kind, ListOptions, PatchKind, Target, Write};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::harness::{EPOCH, World, mk_target};

/// Words that mean something somewhere.
const WORDS: &[&str] = &[
    "",
    "a",
    "b",
    "None",
    "10.96.0.50",
    "10.0.0.0/8",
    "TCP",
    "UDP",
    "http",
    "NodePort",
    "ClusterIP",
    "ExternalName",
    "LoadBalancer",
    "ClientIP",
    "Local",
    "Cluster",
    "*",
    "*.example.com",
    "/",
    "/x",
    "Prefix",
    "Exact",
    "80",
    "1Gi",
    "100m",
    "Always",
    "Never",
    "IPv4",
    "IPv6",
    "FQDN",
    "Opaque",
    "In",
    "Exists",
    "2025-01-01T00:00:00Z",
    "dGV4dA==",
    "é€",
    "Recreate",
    "RollingUpdate",
    "default",
    "example.com/x",
];

/// Good values for fields that most objects need good values for.
const HINTS: &[(&str, &[&str])] = &[
    ("type", &["ClusterIP", "NodePort", "LoadBalancer"]),
    ("protocol", &["TCP", "UDP"]),
    ("name", &["a", "b", "http"]),
    ("image", &["x:1", "y"]),
    ("addressType", &["IPv4"]),
    ("restartPolicy", &["Always"]),
    ("pathType", &["Exact", "Prefix"]),
    ("path", &["/", "/x"]),
    ("controller", &["example.com/x"]),
    ("cidr", &["10.0.0.0/8"]),
    ("host", &["", "a.example.com", "*.example.com"]),
    ("dnsPolicy", &["ClusterFirst", "Default"]),
    ("clusterIP", &["", "None", "10.96.0.50"]),
    ("externalName", &["example.com"]),
    ("sessionAffinity", &["None", "ClientIP"]),
    ("externalTrafficPolicy", &["Cluster", "Local"]),
    ("internalTrafficPolicy", &["Cluster", "Local"]),
    ("ipFamilyPolicy", &["SingleStack", "PreferDualStack"]),
    ("imagePullPolicy", &["Always", "Never"]),
];

/// How many of the hints are for fields that are always set.
const NEEDED: usize = 10;

/// Parts that are rarely good when made at random.
const BARE: &[&str] = &[
    "ephemeralContainers",
    "initContainers",
    "affinity",
    "resources",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "volumeMounts",
    "env",
    "clusterIPs",
    "ipFamilies",
    "externalIPs",
    "loadBalancerSourceRanges",
    "policyTypes",
    "hostname",
    "subdomain",
    "nodeName",
    "priorityClassName",
    "trafficDistribution",
    "loadBalancerClass",
    "healthCheckNodePort",
    "allocateLoadBalancerNodePorts",
    "minReadySeconds",
    "progressDeadlineSeconds",
    "ingressClassName",
    "resource",
    "overhead",
];

/// A small generator of numbers (xorshift), seeded by the property test.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn word(&mut self) -> Value {
        WORDS[self.below(WORDS.len())].into()
    }

    /// Mostly one of the first, which are good ports.
    fn integer_index(&mut self) -> usize {
        if self.below(12) == 0 { self.below(10) } else { self.below(5) }
    }

    /// A field's value.
    fn field(&mut self, schemas: &Value, (name, schema): (&str, &Value), depth: usize) -> Value {
        let hint = HINTS.iter().find(|(field, _)| *field == name);
        match hint {
            Some((_, words)) if schema["type"] == "string" && self.below(30) != 0 => {
                words[self.below(words.len())].into()
            }
            _ if name == "selector" && schema.get("additionalProperties").is_some() => json!({"a": "b"}),
            _ if name == "metadata" => json!({"labels": {"a": "b"}}),
            _ => self.value(schemas, schema, depth),
        }
    }

    /// A value of a schema; now and then one of another type.
    fn value(&mut self, schemas: &Value, schema: &Value, depth: usize) -> Value {
        if self.below(150) == 0 {
            return [json!(null), json!("x"), json!(7), json!([{}]), json!({"a": 1}), json!(true)]
                [self.below(6)]
            .clone();
        }
        let reference =
            schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref")).and_then(Value::as_str);
        if let Some(reference) = reference {
            return match reference.rsplit(['/', '.']).next().unwrap() {
                "Quantity" => json!("100m"),
                "LabelSelector" => json!({"matchLabels": {"a": "b"}}),
                _ => self.value(schemas, &schemas[reference.rsplit('/').next().unwrap()], depth),
            };
        }
        match schema["format"].as_str() {
            Some("date-time") => return json!("2025-01-01T00:00:00Z"),
            Some("byte") => return json!("dGV4dA=="),
            _ => {}
        }
        match schema["type"].as_str() {
            Some("object") => self.object(schemas, schema, depth),
            Some("array") if depth == 0 => json!([]),
            Some("array") => {
                let count = [1, 1, 1, 2, 0][self.below(5)];
                (0..count).map(|_| self.value(schemas, &schema["items"], depth - 1)).collect()
            }
            Some("integer" | "number") => {
                [80, 81, 443, 8080, 1, 0, 30100, -1, 65536, i64::MAX][self.integer_index()].into()
            }
            Some("boolean") => (self.below(2) == 0).into(),
            Some(_) => self.word(),
            None if self.below(2) == 0 => 80.into(),
            None => self.word(),
        }
    }

    fn object(&mut self, schemas: &Value, schema: &Value, depth: usize) -> Value {
        let mut map = Map::new();
        if depth == 0 {
            return Value::Object(map);
        }
        if let Some(items) = schema.get("additionalProperties").filter(|items| items.is_object()) {
            for _ in 0..self.below(3) {
                map.insert(WORDS[self.below(WORDS.len())].to_owned(), self.value(schemas, items, depth - 1));
            }
        }
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let needed = HINTS[..NEEDED].iter().any(|(field, _)| field == name)
                || matches!(
                    name.as_str(),
                    "spec" | "ports" | "containers" | "port" | "rules" | "endpoints" | "addresses"
                )
                || matches!(
                    name.as_str(),
                    "selector" | "template" | "metadata" | "podSelector" | "paths" | "service" | "http"
                )
                || matches!(name.as_str(), "containerPort" | "backend" | "defaultBackend");
            let chance = if needed {
                1
            } else if BARE.contains(&name.as_str()) {
                60
            } else {
                5
            };
            if self.below(chance) == 0 {
                map.insert(name.clone(), self.field(schemas, (name, property), depth - 1));
            }
        }
        Value::Object(map)
    }

    /// An object of a kind, with a good name and a manifest's head.
    fn body(&mut self, schemas: &Value, kind: &Kind) -> Value {
        let mut body = self.value(schemas, &schemas[&kind.schema()], 8);
        if body.is_object() {
            body["apiVersion"] = kind.api_version().into();
            body["kind"] = Value::from(&*kind.kind);
            body["metadata"] = json!({"name": "x", "labels": {"a": "b"}, "finalizers": ["example.com/x"]});
        }
        body
    }
}

/// The schemas a kind needs.
fn schemas_of(world: &World, kind: &Kind) -> Value {
    let path =
        if kind.group.is_empty() { "api/v1".to_owned() } else { format!("apis/{}", kind.api_version()) };
    world.store.openapi_v3(&path).unwrap()["components"]["schemas"].take()
}

/// The collection and item path of a kind.
fn paths(kind: &Kind) -> (String, String) {
    let root =
        if kind.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}", kind.api_version()) };
    let namespace = if kind.namespaced { "/namespaces/default" } else { "" };
    let collection = format!("{root}{namespace}/{}", kind.plural);
    (collection.clone(), format!("{collection}/x"))
}

/// Whatever was stored, writing it back changes nothing, and it can be listed and printed.
fn check_stable(world: &mut World, item: &str) {
    let Ok(stored) = world.get(item) else { return };
    let revision = world.store.revision();
    let again = world.put(item, stored.clone()).unwrap();
    assert_eq!(again, stored, "{item}");
    assert_eq!(world.store.revision(), revision);
    let target = mk_target(item);
    let collection = Target { name: None, ..target };
    let list = world.store.list(&collection, &ListOptions::default()).unwrap();
    assert!(list.shown().any(|object| object.value() == stored));
    let _ = world.store.table(
        &collection,
        EPOCH.parse().unwrap(),
        &[engine_store::Shown::of_value(&stored)],
        IncludeObject::Object,
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_body_is_answered(seed in 1..u64::MAX, index in 0..100_usize) {
        let mut world = World::new();
        let mut draws = Draws(seed);
        let kinds = world.store.kinds().to_vec();
        let kind = &*kinds[index % kinds.len()];
        let (collection, item) = paths(kind);
        let schemas = schemas_of(&world, kind);
        for _ in 0..6 {
            let body = draws.body(&schemas, kind);
            let _ = world.post(&collection, body);
            check_stable(&mut world, &item);
        }
        for _ in 0..6 {
            let body = draws.body(&schemas, kind);
            let _ = match draws.below(5) {
                0 => world.put(&item, body),
                1 => world.patch(&item, PatchKind::Merge, body),
                2 => world.patch(&item, PatchKind::StrategicMerge, body),
                3 => world.apply(&item, "m1", body),
                _ => world.apply(&item, "m2", body),
            };
            check_stable(&mut world, &item);
            for subresource in ["status", "scale", "binding", "eviction", "finalize"] {
                let body = draws.body(&schemas, kind);
                let path = format!("{item}/{subresource}");
                let write = if draws.below(2) == 0 { Write::Update(body) } else { Write::Patch(PatchKind::Merge, body) };
                let _ = world.write(&path, write);
                check_stable(&mut world, &item);
            }
        }
    }
}

/// The generator does make objects the store takes; else the property above would say nothing.
#[test]
fn random_bodies_are_often_good() {
    let mut taken = std::collections::BTreeSet::new();
    for seed in 1..1000_u64 {
        let mut world = World::new();
        let mut draws = Draws(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let kinds = world.store.kinds().to_vec();
        let kind = &*kinds[draws.below(kinds.len())];
        let body = draws.body(&schemas_of(&world, kind), kind);
        if world.post(&paths(kind).0, body).is_ok() {
            taken.insert(kind.kind.to_string());
        }
    }
    let wanted = ["Deployment", "EndpointSlice", "Ingress", "NetworkPolicy", "Pod", "Service"];
    assert!(taken.len() > 30 && wanted.iter().all(|kind| taken.contains(*kind)), "{taken:?}");
}

#[test]
fn numbers_stay_what_they_are() {
    for text in ["31.245270191439438", "3.0722779755672646e-13", "1e21", "9223372036854775807", "-0.0"] {
        let read = engine_store::parse_body(text.as_bytes()).unwrap().value;
        assert_eq!(read.as_f64(), text.parse().ok(), "{text}");
        let again: Value = serde_json::from_str(&read.to_string()).unwrap();
        assert_eq!(read, again, "{text}");
    }
}
