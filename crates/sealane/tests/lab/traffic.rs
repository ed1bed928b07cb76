//! A Pod that sends requests all the while something else happens.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::bed::{Bed, wait_until};
use crate::cluster::Seen;

/// Most rounds of the client, and its requests in each.
const ROUNDS: usize = 500;
const REQUESTS: &str = "50";

/// Runs something while a Pod sends requests, each over a connection of its own; what those saw, none of which may have
/// failed.
pub(crate) fn none_fails_while(
    bed: &Bed,
    (namespace, pod): (&str, &str),
    url: &str,
    action: impl FnOnce(),
) -> Vec<Seen> {
    let seen = while_requests_run(bed, (namespace, pod), url, action);
    let failed: Vec<&Seen> = seen.iter().filter(|seen| seen.status != Some(200)).collect();
    assert!(failed.is_empty(), "{} of {} requests failed: {:?}", failed.len(), seen.len(), failed[0]);
    println!("{} requests, none failed", seen.len());
    seen
}

fn while_requests_run(
    bed: &Bed,
    (namespace, pod): (&str, &str),
    url: &str,
    action: impl FnOnce(),
) -> Vec<Seen> {
    let (is_done, started) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let requests = scope.spawn(|| {
            let mut seen = Vec::new();
            for _ in 0..ROUNDS {
                let exec =
                    ["lab", "exec", "-n", namespace, pod, "--", "sealane", "probe", "--output", "json"];
                let output = bed.run(&[&exec[..], &["--count", REQUESTS, "http", url]].concat());
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                seen.extend(text.lines().map(|line| serde_json::from_str::<Seen>(line).unwrap()));
                assert!(!text.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
                started.store(true, Ordering::Relaxed);
                if is_done.load(Ordering::Relaxed) {
                    break;
                }
            }
            seen
        });
        wait_until("requests run", || started.load(Ordering::Relaxed) || requests.is_finished());
        // The client must end also when this fails.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(action));
        is_done.store(true, Ordering::Relaxed);
        let seen = requests.join().unwrap();
        result.unwrap_or_else(|cause| std::panic::resume_unwind(cause));
        seen
    })
}
