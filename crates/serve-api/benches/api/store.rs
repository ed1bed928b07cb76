//! The store alone, in this process and on one thread: what a write costs without sockets, for profilers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use engine_store::{Env, PatchKind, Store, StoreConfig, Target, Write, WriteOptions, parse_body};
use serde_json::Value;

use crate::objects::{self, NAMESPACE};

/// A store and the numbers it draws.
struct Alone {
    store: Store,
    draws: u64,
}

impl Alone {
    fn new() -> Self {
        let store = Store::new(StoreConfig {
            service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
            node_port_range: (30_000, 32_767),
            keep_journal: false,
        });
        let mut alone = Self { store, draws: 1 };
        alone.with_env(|store, env| store.bootstrap(env).unwrap());
        alone.write("namespaces", None, None, Write::Create(read(&objects::namespace())));
        alone
    }

    fn with_env<T>(&mut self, act: impl FnOnce(&mut Store, &mut Env<'_>) -> T) -> T {
        let draws = &mut self.draws;
        let mut random = || {
            *draws = draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *draws
        };
        act(&mut self.store, &mut Env { now: jiff::Timestamp::now(), random: &mut random, user: "bench" })
    }

    fn write(&mut self, resource: &str, name: Option<String>, part: Option<&str>, write: Write) {
        let target = Target {
            version: "v1".to_owned(),
            resource: resource.to_owned(),
            namespace: (resource != "namespaces").then(|| NAMESPACE.to_owned()),
            name,
            subresource: part.map(str::to_owned),
            ..Target::default()
        };
        let options = WriteOptions { field_manager: "bench".to_owned(), ..WriteOptions::default() };
        let written = self.with_env(|store, env| store.write(env, &target, write, &options)).unwrap();
        std::hint::black_box(serde_json::to_vec(&written.object).unwrap());
    }
}

/// `store COUNT [WHICH]`: prints what each write takes, its body read and its answer written.
pub(crate) fn run(arguments: &[String]) {
    let count: usize = arguments.first().map_or(10_000, |count| count.parse().unwrap());
    let only = arguments.get(1).map_or("", String::as_str);
    let mut alone = Alone::new();
    let status = Some("status");
    let pod = |number: usize| Some(format!("web-{number}"));
    let map = |number: usize| Some(format!("map-{number}"));
    let mut time = |what: &str, work: &mut dyn FnMut(&mut Alone, usize)| {
        if what.starts_with(only) {
            let start = Instant::now();
            (0..count).for_each(|number| work(&mut alone, number));
            println!("{what:<28}{:>8.1} us", micros(start.elapsed(), count));
        }
    };
    time("configmaps, create", &mut |alone, number| {
        let body = objects::config_map(&format!("map-{number}"));
        alone.write("configmaps", None, None, Write::Create(read(&body)));
    });
    time("configmaps, merge patch", &mut |alone, number| {
        let patch = read(&objects::changed(&format!("primary-{number}")));
        alone.write("configmaps", map(number), None, Write::Patch(PatchKind::Merge, patch));
    });
    time("pods, create", &mut |alone, number| {
        let body = objects::pod(&format!("web-{number}"));
        alone.write("pods", None, None, Write::Create(read(&body)));
    });
    for restarts in 0..2 {
        time("pods, status patch", &mut |alone, number| {
            let patch = read(&objects::running(restarts));
            alone.write("pods", pod(number), status, Write::Patch(PatchKind::StrategicMerge, patch));
        });
    }
}

fn read(body: &Bytes) -> Value {
    parse_body(body).unwrap().value
}

fn micros(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(u32::try_from(count).unwrap())
}
