//! Whether the rules of this node follow the cluster.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long ago the rules may have been found right; they are looked at every 30 seconds at least.
const PATIENCE: Duration = Duration::from_secs(90);

/// Remembers when the rules in the kernel were last known to be those of the plan.
#[derive(Debug)]
pub struct Liveness {
    begun: Instant,
    /// Milliseconds after `begun`, and one more; 0 before the first time.
    right: AtomicU64,
}

impl Liveness {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), right: AtomicU64::new(0) }
    }

    /// The rules in the kernel are those of the plan.
    pub fn rules_are_right(&self) {
        self.right.store(self.elapsed() + 1, Ordering::Relaxed);
    }

    /// Whether they are, as far as can be known; also before the first time, when nothing has gone wrong yet
    /// (upstream: `pkg/proxy/healthcheck/proxy_health.go`).
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.is_good_after(self.elapsed())
    }

    fn is_good_after(&self, elapsed: u64) -> bool {
        let right = self.right.load(Ordering::Relaxed);
        right == 0 || Duration::from_millis((elapsed + 1).saturating_sub(right)) <= PATIENCE
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_nobody_could_bring_about_for_long_are_told() {
        let liveness = Liveness::new();
        assert!(liveness.is_good_after(1_000_000), "never begun, so never failed");
        liveness.rules_are_right();
        assert!(liveness.is_good());
        let now = liveness.elapsed();
        assert!(liveness.is_good_after(now + 89_000));
        assert!(!liveness.is_good_after(now + 91_000));
        liveness.right.store(now + 91_001, Ordering::Relaxed);
        assert!(liveness.is_good_after(now + 91_000));
    }
}
