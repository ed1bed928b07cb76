//! Clients that do not read what they asked for.

use engine_store::{PatchKind, Write};
use http::Request;
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

use crate::http_surface::{CONFIG_MAPS, Http};
use crate::world::{World, target};

/// One change; with the state before it takes twice as much of the history.
const CHANGE: usize = 500_000;
/// What the history holds (engine-store `log::BUDGET`).
const HISTORY: usize = 24 * 1024 * 1024;

/// What may lie on the way to a client that does not read: the kernel's buffers of both ends, and what the server has
/// made of its text.
fn on_the_way() -> usize {
    const SERVER: usize = 4 * 1024 * 1024;
    let largest = |file: &str| {
        let text = std::fs::read_to_string(file).unwrap();
        text.split_whitespace().last().and_then(|size| size.parse().ok()).unwrap_or(0)
    };
    let kernel: usize = largest("/proc/sys/net/ipv4/tcp_rmem") + largest("/proc/sys/net/ipv4/tcp_wmem");
    SERVER + kernel
}

/// Changes one ConfigMap again and again: more than history and buffers hold together.
fn change_much(world: &World) {
    world.write(&target("", "configmaps", None, None), Write::Create(json!({"metadata": {"name": "busy"}})));
    let busy = target("", "configmaps", Some("busy"), None);
    let filler = "x".repeat(CHANGE);
    for round in 0..(HISTORY + on_the_way()) / CHANGE {
        let patch = json!({"data": {"k": format!("{round} {filler}")}});
        world.write(&busy, Write::Patch(PatchKind::Merge, patch));
    }
}

#[test]
fn a_watcher_that_does_not_read_is_told_to_list_again_and_costs_no_memory() {
    let world = World::start();
    let http = Http::new(&world);
    let revision = world.handle.revision();
    // One that begins with everything there is, and one that goes on from a revision.
    let queries = ["watch=true&timeoutSeconds=600", &format!("watch=true&resourceVersion={revision}")];
    let streams = queries.map(|query| {
        let request = Request::get(format!("{CONFIG_MAPS}?{query}")).body(Body::empty()).unwrap();
        let answer = http.open(request);
        assert_eq!(answer.status(), 200);
        answer.into_body()
    });
    change_much(&world);
    for stream in streams {
        // All was written before the first byte is read, so what comes before the refusal is what was kept.
        let text = world.tokio.block_on(stream.collect()).unwrap().to_bytes();
        let last = text.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap();
        let last: Value = serde_json::from_slice(last).unwrap();
        assert_eq!((&last["type"], &last["object"]["code"]), (&json!("ERROR"), &json!(410)), "{last}");
        assert!(text.len() < on_the_way(), "{} bytes were kept for a client that did not read", text.len());
    }
}
