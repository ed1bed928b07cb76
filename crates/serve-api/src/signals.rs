//! Wakes the watches of a kind when there is something new of it.
//!
//! Watches of other kinds sleep on, so a busy kind costs the watches of a quiet one nothing.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use engine_store::KindId;
use tokio::sync::watch;

/// Who waits for something new, by the place of the kind.
#[derive(Default)]
pub(crate) struct Signals(Mutex<Vec<watch::Sender<()>>>);

/// What a write has changed, told when this is dropped: also when nobody waits for the end of the write any more.
pub(crate) struct News<'a> {
    signals: &'a Signals,
    kinds: BTreeSet<KindId>,
}

impl Signals {
    /// Told of everything new of a kind.
    pub(crate) fn of(&self, kind: KindId) -> watch::Receiver<()> {
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if senders.len() <= kind.index() {
            senders.resize_with(kind.index() + 1, watch::Sender::default);
        }
        senders[kind.index()].subscribe()
    }

    /// There will be something new of these kinds.
    pub(crate) fn news(&self, kinds: BTreeSet<KindId>) -> News<'_> {
        News { signals: self, kinds }
    }
}

impl Drop for News<'_> {
    fn drop(&mut self) {
        let senders = self.signals.0.lock().unwrap_or_else(PoisonError::into_inner);
        for sender in self.kinds.iter().filter_map(|kind| senders.get(kind.index())) {
            sender.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    use engine_store::{Store, StoreConfig, Target, WatchOptions};

    use super::*;

    #[test]
    fn news_wake_those_who_watch_their_kinds() {
        let store = Store::new(StoreConfig {
            service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
            node_port_range: (30_000, 32_767),
            keep_journal: false,
        });
        let source = |resource: &str| {
            let target =
                Target { version: "v1".to_owned(), resource: resource.to_owned(), ..Target::default() };
            store.watch(&target, &WatchOptions::default()).unwrap().source()
        };
        let signals = Signals::default();
        let (pods, maps, secrets) = (source("pods"), source("configmaps"), source("secrets"));
        let mut waiting = [pods, maps].map(|kind| signals.of(kind));
        let news = signals.news(BTreeSet::from([pods, secrets]));
        assert_eq!(waiting.each_ref().map(|one| one.has_changed().unwrap()), [false, false]);
        drop(news);
        assert_eq!(waiting.each_ref().map(|one| one.has_changed().unwrap()), [true, false]);
        waiting[0].mark_unchanged();
        drop(signals.news(BTreeSet::from([maps])));
        assert_eq!(waiting.map(|one| one.has_changed().unwrap()), [false, true]);
    }
}
