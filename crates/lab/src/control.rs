//! Drives the controllers: keeps their world current, and writes what they want.

mod known;
mod streams;
mod writes;

use std::future::pending;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use serve_api::ApiHandle;
use tokio::time::{Instant, sleep_until, timeout};
use watch::Client;

use known::Known;
use streams::Streams;
use writes::Hands;

/// How long more changes are waited for before the controllers look, so that a burst is one look.
const SETTLE: Duration = Duration::from_millis(5);
/// The controllers look at least this often: some of what they do depends on the time.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long the effects of writes are waited for before the controllers look anyway.
const EFFECT_LIMIT: Duration = Duration::from_secs(2);

/// Those who drive the controllers, each with its own rights.
pub(crate) struct Drivers {
    /// Looks, and writes for all controllers but the scheduler.
    pub(crate) manager: Client,
    /// Writes for the scheduler.
    pub(crate) scheduler: Client,
    /// Kinds of the moment, and writes to those the writer does not know, as the manager.
    pub(crate) api: ApiHandle,
    /// PEM of the API's certificate authority.
    pub(crate) root_ca: String,
}

/// Runs the controllers for as long as it is polled.
pub(crate) async fn run(drivers: Drivers) {
    let Drivers { manager, scheduler, api, root_ca } = drivers;
    let managing = Hands::new(manager.clone(), api.clone());
    let scheduling = Hands::new(scheduler, api.clone());
    let mut known = Known::default();
    known.world.root_ca = Some(root_ca);
    let mut streams = Streams::new(manager, api, &mut known);
    let mut wrote_at = Instant::now();
    loop {
        streams.follow_kinds(&mut known);
        take_steps(&mut streams, &mut known).await;
        let in_flight = known.awaits_effects() && wrote_at.elapsed() < EFFECT_LIMIT;
        if !known.is_complete() || in_flight {
            continue;
        }
        known.stop_waiting();
        let now = Timestamp::now();
        let managed = controllers::reconcile(&known.world, now);
        let scheduled = controllers::schedule(&known.world, now);
        for (hands, writes) in [(&managing, managed), (&scheduling, scheduled)] {
            for write in writes {
                wrote_at = Instant::now();
                if let Some(written) = hands.carry_out(&write).await {
                    known.expect(&written);
                }
            }
        }
    }
}

async fn take_steps(streams: &mut Streams, known: &mut Known) {
    let deadline = Instant::now() + LOOK_AGAIN;
    let first = tokio::select! {
        step = streams.all.next() => step,
        () = sleep_until(deadline) => return,
    };
    match first {
        Some(step) => step(known),
        None => return pending().await,
    }
    while let Ok(Some(step)) = timeout(SETTLE, streams.all.next()).await {
        step(known);
        if Instant::now() >= deadline {
            return;
        }
    }
}
