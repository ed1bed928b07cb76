//! A store with a clock and draws of its own, addressed by URL paths.

use engine_store::{
    Env, FieldValidation, List, ListOptions, PatchKind, Portion, Status, Store, StoreConfig, Target,
    WatchEvent, WatchOptions, Write, WriteOptions, Written,
};
use serde_json::{Value, json};

/// The start of every test's time.
pub(crate) const EPOCH: &str = "2025-01-01T00:00:00Z";

/// A store under test.
pub(crate) struct World {
    pub(crate) store: Store,
    draws: u64,
    seconds: i64,
    pub(crate) options: WriteOptions,
}

pub(crate) fn mk_config() -> StoreConfig {
    mk_config_of(&["10.96.0.0/16"])
}

fn mk_config_of(service_cidrs: &[&str]) -> StoreConfig {
    StoreConfig {
        service_cidrs: service_cidrs.iter().map(|range| range.parse().unwrap()).collect(),
        node_port_range: (30000, 32767),
        keep_journal: true,
    }
}

/// `/api/v1/namespaces/default/pods/x/status` → a target.
pub(crate) fn mk_target(path: &str) -> Target {
    let mut parts = path.trim_matches('/').split('/').peekable();
    let mut target = Target::default();
    if parts.next() == Some("apis") {
        target.group = parts.next().unwrap().to_owned();
    }
    target.version = parts.next().unwrap().to_owned();
    let rest: Vec<&str> = parts.collect();
    let rest = match rest.as_slice() {
        ["namespaces", namespace, resource, rest @ ..] if !["status", "finalize"].contains(resource) => {
            target.namespace = Some((*namespace).to_owned());
            target.resource = (*resource).to_owned();
            rest
        }
        [resource, rest @ ..] => {
            target.resource = (*resource).to_owned();
            rest
        }
        [] => panic!("no resource in {path}"),
    };
    target.name = rest.first().map(|name| (*name).to_owned());
    target.subresource = rest.get(1).map(|name| (*name).to_owned());
    target
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(mk_config())
    }

    /// A cluster with these ranges of Service addresses.
    pub(crate) fn of_ranges(service_cidrs: &[&str]) -> Self {
        Self::of(mk_config_of(service_cidrs))
    }

    fn of(config: StoreConfig) -> Self {
        let mut world = Self {
            store: Store::new(config),
            draws: 0,
            seconds: 0,
            options: WriteOptions { field_manager: "test".to_owned(), ..WriteOptions::default() },
        };
        world.with_env(|store, env| store.bootstrap(env)).unwrap();
        world
    }

    /// Time passes with each request.
    fn with_env<T>(&mut self, act: impl FnOnce(&mut Store, &mut Env<'_>) -> T) -> T {
        self.seconds += 1;
        let now = EPOCH.parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_secs(self.seconds);
        let draws = &mut self.draws;
        let mut random = || {
            // A fixed walk through all numbers (Knuth's multiplier).
            *draws = draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *draws >> 16
        };
        act(&mut self.store, &mut Env { now, random: &mut random, user: "tester" })
    }

    pub(crate) fn write(&mut self, path: &str, write: Write) -> Result<Written, Status> {
        let options = self.options.clone();
        self.with_env(|store, env| store.write(env, &mk_target(path), write, &options))
    }

    pub(crate) fn post(&mut self, path: &str, object: Value) -> Result<Value, Status> {
        self.write(path, Write::Create(object)).map(|written| written.object)
    }

    pub(crate) fn put(&mut self, path: &str, object: Value) -> Result<Value, Status> {
        self.write(path, Write::Update(object)).map(|written| written.object)
    }

    pub(crate) fn patch(&mut self, path: &str, kind: PatchKind, patch: Value) -> Result<Value, Status> {
        self.write(path, Write::Patch(kind, patch)).map(|written| written.object)
    }

    pub(crate) fn delete(&mut self, path: &str, options: Value) -> Result<Value, Status> {
        let options = engine_store::DeleteOptions::parse(&options)?;
        self.write(path, Write::Delete(options)).map(|written| written.object)
    }

    pub(crate) fn apply(&mut self, path: &str, manager: &str, object: Value) -> Result<Value, Status> {
        let before = std::mem::replace(&mut self.options.field_manager, manager.to_owned());
        let result = self.patch(path, PatchKind::Apply, object);
        self.options.field_manager = before;
        result
    }

    pub(crate) fn strict(mut self) -> Self {
        self.options.field_validation = FieldValidation::Strict;
        self
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Status> {
        self.store.show(&mk_target(path)).map(|object| object.value())
    }

    pub(crate) fn list(&self, path: &str, options: &ListOptions) -> Result<List, Status> {
        self.store.list(&mk_target(path), options)
    }

    /// Everything a watch has to say now, as `TYPE name`.
    pub(crate) fn watched(&self, cursor: &mut engine_store::Cursor) -> Vec<String> {
        self.next(cursor, usize::MAX).unwrap().iter().map(event_text).collect()
    }

    /// The next events of a watch, of whatever size.
    pub(crate) fn next(
        &self,
        cursor: &mut engine_store::Cursor,
        events: usize,
    ) -> Result<Vec<WatchEvent>, Status> {
        self.store.next(cursor, Portion { events, bytes: usize::MAX })
    }

    pub(crate) fn watch(&self, path: &str, options: &WatchOptions) -> Result<engine_store::Cursor, Status> {
        self.store.watch(&mk_target(path), options)
    }
}

pub(crate) fn event_text(event: &WatchEvent) -> String {
    let object = event.object.value();
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("-");
    format!("{} {name}", event.kind.as_str())
}

pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";
pub(crate) const SERVICES: &str = "/api/v1/namespaces/default/services";
pub(crate) const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

pub(crate) fn mk_config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

pub(crate) fn mk_pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "example.com/main:1", "ports": [{"containerPort": 80}]}]},
    })
}

pub(crate) fn mk_deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "example.com/main:1"}]},
            },
        },
    })
}
