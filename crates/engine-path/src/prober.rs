//! All paths of a node: whose turn it is, at a pace that a thousand peers do not notice.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use types::{FailingPath, NodeName, PathFacts};

use crate::{Search, Verdict};

/// Pause between the beginnings of two searches.
const PACE: Duration = Duration::from_millis(100);
/// How long an answer is waited for: more than a round trip through half of the world takes.
const PATIENCE: Duration = Duration::from_millis(400);
/// When a path that was proved is probed again; spread over the tenth part more, so that nodes that started together do
/// not go on together.
const PROVED_AGAIN: Duration = Duration::from_secs(600);
/// When a path that failed is probed again.
const FAILED_AGAIN: Duration = Duration::from_secs(20);
/// When a peer that was silent for the first time is asked again before it counts: it may be starting.
const SILENT_AGAIN: Duration = Duration::from_secs(5);
/// A new path's first probe comes within this time.
const FIRST_WITHIN: Duration = Duration::from_secs(2);

/// A path: the peer, and which of its addresses is asked.
pub type PathKey = (NodeName, IpAddr);

/// A packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// To whom.
    pub address: IpAddr,
    /// Its size, in bytes with the IP header.
    pub size: u32,
    /// What its answer carries.
    pub token: u32,
}

/// All paths of a node.
#[derive(Clone, Debug, Default)]
pub struct Prober {
    paths: BTreeMap<PathKey, Path>,
    last_token: u32,
    /// When the next search may begin.
    next_begin: Duration,
    /// Every path has had a verdict at one time.
    is_complete: bool,
}

#[derive(Clone, Debug)]
struct Path {
    full: u32,
    due: Duration,
    verdict: Option<Verdict>,
    /// The last search found it silent, and the one before did not.
    was_silent_once: bool,
    running: Option<Running>,
}

#[derive(Clone, Debug)]
struct Running {
    search: Search,
    token: u32,
    until: Duration,
}

impl Prober {
    /// Probes these paths and no others, each with packets of its size. Those that `before` tells to fail count as such
    /// until they have been probed: a node that starts anew does not take back what it said.
    pub fn aim(
        &mut self,
        wanted: &BTreeMap<PathKey, u32>,
        before: &BTreeMap<NodeName, FailingPath>,
        now: Duration,
    ) {
        self.paths.retain(|key, path| wanted.get(key) == Some(&path.full));
        for (key, full) in wanted {
            self.paths.entry(key.clone()).or_insert_with(|| Path {
                full: *full,
                due: now + spread(key, FIRST_WITHIN),
                verdict: before
                    .get(&key.0)
                    .filter(|path| path.sends == *full)
                    .map(|path| path.passes.map_or(Verdict::Silent, |passes| Verdict::Narrow { passes })),
                was_silent_once: false,
                running: None,
            });
        }
    }

    /// An answer came.
    pub fn answered(&mut self, token: u32, now: Duration) {
        let is_meant = |path: &Path| path.running.as_ref().is_some_and(|running| running.token == token);
        let Some((key, path)) = self.paths.iter_mut().find(|(_, path)| token != 0 && is_meant(path)) else {
            return;
        };
        let Some(running) = &mut path.running else { return };
        match running.search.answered() {
            Some(verdict) => path.conclude(key, verdict, now),
            // At once: whatever was waited for is there.
            None => running.until = now,
        }
        // No longer this packet: its double must not count for the next.
        if let Some(running) = &mut path.running {
            running.token = 0;
        }
    }

    /// What is to be sent now.
    pub fn take(&mut self, now: Duration) -> Vec<Echo> {
        let mut echoes = Vec::new();
        for (key, path) in &mut self.paths {
            let Some(running) = path.running.as_mut().filter(|running| running.until <= now) else {
                continue;
            };
            // Token 0 is a packet that was answered.
            let verdict = if running.token == 0 { None } else { running.search.lost() };
            match verdict {
                Some(verdict) => path.conclude(key, verdict, now),
                None => echoes.push(running.send(key.1, &mut self.last_token, now)),
            }
        }
        while let Some(key) = self.next_due(now) {
            let Some(path) = self.paths.get_mut(&key) else { break };
            let running =
                path.running.insert(Running { search: Search::new(path.full), token: 0, until: now });
            echoes.push(running.send(key.1, &mut self.last_token, now));
            self.next_begin = now + PACE;
        }
        echoes
    }

    /// The path that has waited longest, if one may begin.
    fn next_due(&self, now: Duration) -> Option<PathKey> {
        if self.next_begin > now {
            return None;
        }
        let waiting = self.paths.iter().filter(|(_, path)| path.running.is_none() && path.due <= now);
        waiting.min_by_key(|(_, path)| path.due).map(|(key, _)| key.clone())
    }

    /// When to look again; `None` without paths.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let of_path = |path: &Path| match &path.running {
            Some(running) => running.until,
            None => path.due.max(self.next_begin),
        };
        self.paths.values().map(of_path).min()
    }

    /// What is known now; all failing peers are named.
    #[must_use]
    pub fn facts(&mut self) -> PathFacts {
        self.is_complete |= self.paths.values().all(|path| path.verdict.is_some());
        let mut failing = BTreeMap::new();
        for ((peer, _), path) in &self.paths {
            let passes = match path.verdict {
                None | Some(Verdict::Passes) => continue,
                Some(Verdict::Narrow { passes }) => Some(passes),
                Some(Verdict::Silent) => None,
            };
            let fact = FailingPath { sends: path.full, passes };
            // Of a peer's two families the worse one is told.
            let told = failing.entry(peer.clone()).or_insert(fact);
            if fact.passes < told.passes {
                *told = fact;
            }
        }
        PathFacts { probed: self.is_complete, failing, more_failing: 0 }
    }
}

impl Path {
    fn conclude(&mut self, key: &PathKey, verdict: Verdict, now: Duration) {
        self.running = None;
        let is_news = verdict == Verdict::Silent && self.verdict != Some(Verdict::Silent);
        if is_news && !self.was_silent_once {
            self.was_silent_once = true;
            self.due = now + SILENT_AGAIN;
            return;
        }
        self.was_silent_once = false;
        self.verdict = Some(verdict);
        self.due = now
            + match verdict {
                Verdict::Passes => PROVED_AGAIN + spread(key, PROVED_AGAIN / 10),
                Verdict::Narrow { .. } | Verdict::Silent => FAILED_AGAIN,
            };
    }
}

impl Running {
    fn send(&mut self, address: IpAddr, last_token: &mut u32, now: Duration) -> Echo {
        // 0 is no token.
        *last_token = last_token.wrapping_add(1).max(1);
        self.token = *last_token;
        self.until = now + PATIENCE;
        Echo { address, size: self.search.size(), token: self.token }
    }
}

/// A pause up to `most` that differs from path to path (FNV-1a over the name), so that many do not begin at once.
fn spread((peer, _): &PathKey, most: Duration) -> Duration {
    let hash = types::fnv_hash(peer.as_str().bytes());
    let thousandths = u32::try_from(hash % 1000).expect("less than a thousand");
    most * thousandths / 1000
}

#[cfg(test)]
mod tests;
