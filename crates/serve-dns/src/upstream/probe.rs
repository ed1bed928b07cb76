//! Loops: servers that, in the end, ask us what we ask them. Each is sent a question that nobody else can have, and if that
//! comes back, it is asked no more (CoreDNS, plugin loop, which ends the whole server instead).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use engine_dns::{Name, RecordType, query_packet};
use tokio::time::{sleep, timeout};

use crate::upstream::forward::Forward;
use crate::upstream::server::Upstream;

/// The type that is asked for (CoreDNS, plugin loop).
const HINFO: RecordType = RecordType(13);
/// How often a server that does not answer is tried, and how long is waited in between (CoreDNS, plugin loop: 30 seconds in
/// all).
const TRIES: usize = 30;
const TRY_PAUSE: Duration = Duration::from_secs(1);
/// How long a question may take to come back.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// Questions of ours that are to come back never.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    number: AtomicUsize,
    /// By their questions, as a packet has them.
    servers: Mutex<BTreeMap<Vec<u8>, Weak<Upstream>>>,
}

impl Probes {
    /// Whether a query that has come in is one of ours; then its server is asked no more.
    pub(crate) fn is_back(&self, query: &[u8]) -> bool {
        if self.number.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let servers = self.lock();
        let back = servers
            .iter()
            .find(|(question, _)| query.get(12..).is_some_and(|rest| rest.starts_with(question)));
        let Some((_, server)) = back else { return false };
        let Some(server) = server.upgrade() else { return true };
        server.came_back.store(true, Ordering::Relaxed);
        if !server.leads_back.swap(true, Ordering::Relaxed) {
            tracing::warn!(server = %server.server.address, "a DNS server asks this one what it is asked: it is asked no more");
        }
        true
    }

    fn add(&self, question: Vec<u8>, server: &Arc<Upstream>) {
        self.lock().insert(question, Arc::downgrade(server));
        self.number.fetch_add(1, Ordering::Relaxed);
    }

    fn remove(&self, question: &[u8]) {
        self.lock().remove(question);
        self.number.fetch_sub(1, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Weak<Upstream>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for loops through each server of a forward, as long as there may be one.
pub(crate) fn look_for_loops(forward: &Arc<Forward>) {
    for server in &forward.servers {
        if server.is_probed.swap(true, Ordering::Relaxed) {
            continue;
        }
        let (weak, server) = (Arc::downgrade(forward), Arc::downgrade(server));
        forward.asking.runtime.spawn(async move {
            let mut tries = 0;
            while let (Some(forward), Some(server)) = (weak.upgrade(), server.upgrade()) {
                let has_answered = probe(&forward, &server).await;
                let pause = match server.leads_back() {
                    true => forward.config().loop_probe_pause,
                    false if has_answered || tries == TRIES => {
                        server.is_probed.store(false, Ordering::Relaxed);
                        return;
                    }
                    false => TRY_PAUSE,
                };
                tries += 1;
                drop((forward, server));
                sleep(pause).await;
            }
        });
    }
}

/// Sends one question, and tells whether there was a reply to it.
async fn probe(forward: &Forward, server: &Arc<Upstream>) -> bool {
    let draw = &forward.asking.draw;
    let zone = &forward.settings.from;
    let name = Name::parse(&format!("{:016x}.{:016x}.{zone}", draw.next(), draw.next()));
    // A zone whose name is too long to have names below it is asked about nothing.
    let Ok(name) = name else { return true };
    let query = query_packet(&name, HINFO, 0);
    let probes = &forward.asking.probes;
    let was_back = server.leads_back();
    probes.add(query[12..].to_vec(), server);
    server.came_back.store(false, Ordering::Relaxed);
    let reply = timeout(PROBE_LIMIT, server.exchange(&query, &forward.asking, None)).await;
    probes.remove(&query[12..]);
    if was_back && !server.came_back.load(Ordering::Relaxed) {
        server.leads_back.store(false, Ordering::Relaxed);
        tracing::info!(server = %server.server.address, "a DNS server no longer asks this one what it is asked");
    }
    matches!(reply, Ok(Ok(_)))
}
