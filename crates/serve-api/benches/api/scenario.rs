//! What is done to each server, and which figures come of it.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;

use crate::figures::Figures;
use crate::load::{Shot, Watchers, volley};
use crate::objects::{self, NAMESPACE};
use crate::subject::{Running, Subject};

/// How often each change is repeated when its time to all watchers is taken.
const FAN_OUT_WRITES: usize = 100;
/// How often a list is repeated.
const LISTS: usize = 5;
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// How much of everything.
pub(crate) struct Sizes {
    pub(crate) pods: usize,
    pub(crate) config_maps: usize,
    pub(crate) informers: usize,
    pub(crate) clients: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { pods: 10_000, config_maps: 90_000, informers: 50, clients: 16 }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pods, config_maps, informers, clients } = self;
        write!(
            f,
            "{clients} clients, {informers} watchers, {pods} Pods and {config_maps} ConfigMaps beside them; HTTP/1.1 over TLS"
        )
    }
}

/// One round of one subject.
pub(crate) async fn run(subject: &Subject, sizes: &Sizes, figures: &mut Figures) {
    let mut keep = |figure: &'static str, value: f64| figures.add(subject, figure, value);
    let directory = subject.directory();
    let running = subject.start(&directory).await;
    keep("ready, ms", milliseconds(running.start_up));
    keep("ready, processor ms", running.processor_seconds() * 1e3);
    keep_memory(&running, ["memory, empty, MB", "  of it anonymous, empty, MB"], &mut keep);
    let address = running.address.clone();
    address.connect().await.unwrap().ok(Method::POST, "/api/v1/namespaces", JSON, objects::namespace()).await;
    pods(&running, sizes, &mut keep).await;
    config_maps(&running, sizes, &mut keep).await;
    drop(running);
    if subject.durable {
        // Killed, not stopped: what a crash leaves is mended in this time too.
        let running = subject.start(&directory).await;
        keep("ready again with all objects, ms", milliseconds(running.start_up));
        keep("ready again, processor ms", running.processor_seconds() * 1e3);
        let names = ["memory, ready again, MB", "  of it anonymous, ready again, MB"];
        keep_memory(&running, names, &mut keep);
    }
}

fn keep_memory(running: &Running, names: [&'static str; 2], keep: &mut impl FnMut(&'static str, f64)) {
    let memory = running.memory();
    keep(names[0], megabytes(memory.resident));
    keep(names[1], megabytes(memory.anonymous));
}

async fn pods(running: &Running, sizes: &Sizes, keep: &mut impl FnMut(&'static str, f64)) {
    let (count, clients) = (sizes.pods, sizes.clients);
    let collection = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let path = collection.clone();
    let create = move |number: usize| Shot {
        method: Method::POST,
        path: path.clone(),
        content_type: JSON,
        body: objects::pod(&format!("web-{number}")),
    };
    let rate = timed(running, count, volley(&running.address, clients, count, create)).await;
    keep("create Pods, per second", rate.per_second);
    keep("create Pods, processor us each", rate.processor);
    let path = collection.clone();
    let report = move |number: usize| Shot {
        method: Method::PATCH,
        path: format!("{path}/web-{number}/status?fieldManager=kubelet"),
        content_type: STRATEGIC,
        body: objects::running(0),
    };
    let rate = timed(running, count, volley(&running.address, clients, count, report)).await;
    keep("patch status of Pods, per second", rate.per_second);
    keep("patch status of Pods, processor us each", rate.processor);
    let names = ["memory, Pods with status, MB", "  of it anonymous, Pods with status, MB"];
    keep_memory(running, names, keep);
    lists(running, &collection, keep).await;
    let mut watchers = informers(running, &collection, sizes).await;
    let times = fan_out(running, &mut watchers, move |number: usize| Shot {
        method: Method::PATCH,
        path: format!("{collection}/web-{}/status?fieldManager=kubelet", number % count),
        content_type: STRATEGIC,
        body: objects::running(number + 1),
    });
    keep_fan_out(times.await, ["Pod to all watchers, median ms", "Pod to all watchers, worst ms"], keep);
}

async fn lists(running: &Running, collection: &str, keep: &mut impl FnMut(&'static str, f64)) {
    let mut client = running.address.connect().await.unwrap();
    let mut times = Vec::new();
    for _ in 0..LISTS {
        let start = Instant::now();
        client.ok(Method::GET, collection, "", Bytes::new()).await;
        times.push(start.elapsed());
    }
    keep("list all Pods, ms", milliseconds(median(&mut times)));
    let mut times = Vec::new();
    for _ in 0..LISTS {
        let start = Instant::now();
        let path = format!("{collection}?labelSelector=app%3Dnobody");
        client.ok(Method::GET, &path, "", Bytes::new()).await;
        times.push(start.elapsed());
    }
    keep("list Pods by a label nobody has, ms", milliseconds(median(&mut times)));
}

async fn config_maps(running: &Running, sizes: &Sizes, keep: &mut impl FnMut(&'static str, f64)) {
    let (count, clients) = (sizes.config_maps, sizes.clients);
    let collection = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    let path = collection.clone();
    let create = move |number: usize| Shot {
        method: Method::POST,
        path: path.clone(),
        content_type: JSON,
        body: objects::config_map(&format!("map-{number}")),
    };
    let rate = timed(running, count, volley(&running.address, clients, count, create)).await;
    keep("create ConfigMaps, per second", rate.per_second);
    keep("create ConfigMaps, processor us each", rate.processor);
    keep_memory(running, ["memory, all objects, MB", "  of it anonymous, all objects, MB"], keep);
    let path = collection.clone();
    let change = move |number: usize| Shot {
        method: Method::PATCH,
        path: format!("{path}/map-{}", number % count),
        content_type: MERGE,
        body: objects::changed(&format!("primary-{number}")),
    };
    let patches = 10_000;
    let rate = timed(running, patches, volley(&running.address, clients, patches, change)).await;
    keep("patch ConfigMaps, per second", rate.per_second);
    keep("patch ConfigMaps, processor us each", rate.processor);
    let start = Instant::now();
    let mut watchers = informers(running, &collection, sizes).await;
    keep("all informers in sync, s", start.elapsed().as_secs_f64());
    let names = ["memory, with informers, MB", "  of it anonymous, with informers, MB"];
    keep_memory(running, names, keep);
    let times = fan_out(running, &mut watchers, move |number: usize| Shot {
        method: Method::PATCH,
        path: format!("{collection}/map-{}", number % count),
        content_type: MERGE,
        body: objects::changed(&format!("fan-out-{number}")),
    });
    let names = ["ConfigMap to all informers, median ms", "ConfigMap to all informers, worst ms"];
    keep_fan_out(times.await, names, keep);
}

/// Watches that begin with everything there is, as those of an informer do.
async fn informers(running: &Running, collection: &str, sizes: &Sizes) -> Watchers {
    let path = format!(
        "{collection}?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=600"
    );
    Watchers::open(&running.address, &path, sizes.informers).await
}

/// Times from sending a write until every watcher has seen it.
async fn fan_out(running: &Running, watchers: &mut Watchers, shot: impl Fn(usize) -> Shot) -> Vec<Duration> {
    let mut client = running.address.connect().await.unwrap();
    let mut times = Vec::new();
    for number in 0..FAN_OUT_WRITES {
        let Shot { method, path, content_type, body } = shot(number);
        // Only this object's line counts, whatever else goes on.
        let name = path.rsplit_once("map-").or_else(|| path.rsplit_once("web-")).unwrap().1;
        let digits: String = name.chars().take_while(char::is_ascii_digit).collect();
        let prefix = if path.contains("map-") { "map" } else { "web" };
        watchers.want(&format!("\"name\":\"{prefix}-{digits}\""));
        let start = Instant::now();
        client.ok(method, &path, content_type, body).await;
        watchers.all_seen().await;
        times.push(start.elapsed());
    }
    times
}

fn keep_fan_out(
    mut times: Vec<Duration>,
    names: [&'static str; 2],
    keep: &mut impl FnMut(&'static str, f64),
) {
    keep(names[0], milliseconds(median(&mut times)));
    keep(names[1], milliseconds(times[times.len() - 1]));
}

struct Rate {
    per_second: f64,
    /// Microseconds of processor time of the server for each request.
    processor: f64,
}

async fn timed(running: &Running, count: usize, work: impl Future<Output = Duration>) -> Rate {
    let before = running.processor_seconds();
    let time = work.await;
    let count = f64::from(u32::try_from(count).unwrap());
    let processor = (running.processor_seconds() - before) * 1e6 / count;
    Rate { per_second: count / time.as_secs_f64(), processor }
}

/// Sorts, and returns the middle one.
fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn megabytes(bytes: f64) -> f64 {
    bytes / 1e6
}
