//! How many watches are interrupted at this moment: what is known of their kinds is what was known before.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use crate::connect::CONNECT_TIMEOUT;

/// Of the whole process, since a process has one API server.
static INTERRUPTED: AtomicUsize = AtomicUsize::new(0);

/// A watch that is resumed says nothing until there is a change; one that is not fails within the time that a connection may
/// take to come about, or soon after.
const RESUMED: Duration = CONNECT_TIMEOUT.saturating_mul(2);

/// How many watches of this process are interrupted.
#[must_use]
pub fn interrupted() -> usize {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Whether one watch is interrupted; it is not once this is dropped.
#[derive(Debug)]
pub(crate) struct Interruption {
    is_on: bool,
    all: &'static AtomicUsize,
    resumed: Duration,
}

impl Default for Interruption {
    fn default() -> Self {
        Self { is_on: false, all: &INTERRUPTED, resumed: RESUMED }
    }
}

impl Interruption {
    /// The API does not answer, or answers with an error.
    pub(crate) fn begin(&mut self) {
        if !std::mem::replace(&mut self.is_on, true) {
            self.all.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It answers again.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.is_on) {
            self.all.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Waits for what the watch says next; nothing when it is resumed and silent, and has to be waited for again.
    pub(crate) async fn watch<T>(&mut self, next: impl Future<Output = T>) -> Option<T> {
        if !self.is_on {
            return Some(next.await);
        }
        let said = timeout(self.resumed, next).await.ok();
        if said.is_none() {
            self.end();
        }
        said
    }
}

impl Drop for Interruption {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_interruption(all: &'static AtomicUsize) -> Interruption {
        Interruption { is_on: false, all, resumed: Duration::from_millis(1) }
    }

    #[test]
    fn a_watch_counts_once_until_it_is_back_or_gone() {
        static ALL: AtomicUsize = AtomicUsize::new(0);
        let all = &ALL;
        let (mut one, mut other) = (mk_interruption(all), mk_interruption(all));
        one.begin();
        one.begin();
        other.begin();
        assert_eq!(all.load(Ordering::Relaxed), 2);
        one.end();
        one.end();
        assert_eq!(all.load(Ordering::Relaxed), 1);
        drop(other);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_silent_watch_is_back_after_a_while() {
        static ALL: AtomicUsize = AtomicUsize::new(0);
        let mut interruption = mk_interruption(&ALL);
        interruption.begin();
        assert_eq!(interruption.watch(std::future::ready(7)).await, Some(7));
        assert!(interruption.is_on, "an error may follow at once");
        assert_eq!(interruption.watch(std::future::pending::<()>()).await, None);
        assert!(!interruption.is_on);
    }
}
