//! When to look again although nothing happened: to notice drift, and to retry what failed.

use std::time::{Duration, Instant};

use plan::Report;

/// How often the world is compared with an unchanged plan.
const DRIFT_CHECK: Duration = Duration::from_secs(30);
/// First pause before a failed item is tried again; doubled each time.
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// Longest pause between retries.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// The next time to look; none before the first report, since a first plan is always brought about.
#[derive(Debug, Default)]
pub(crate) struct Due {
    at: Option<Instant>,
    failures_in_a_row: u32,
}

impl Due {
    /// When the loop wants to be woken.
    pub(crate) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Whether the plan has to be brought about again although it did not change.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| at <= now)
    }

    /// Takes note of how the last converge went.
    pub(crate) fn remember(&mut self, report: &Report, now: Instant) {
        let pause = if report.failures.is_empty() {
            self.failures_in_a_row = 0;
            DRIFT_CHECK
        } else {
            let pause = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(self.failures_in_a_row));
            self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
            pause.min(LONGEST_RETRY)
        };
        self.at = Some(now + pause);
    }

    /// Takes note of a converge that left something as it was: the next look at that is not put off.
    pub(crate) fn remember_part(&mut self, report: &Report, now: Instant) {
        let before = self.at;
        self.remember(report, now);
        self.at = before.into_iter().chain(self.at).min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::Failure;

    fn mk_failed() -> Report {
        Report { written: 0, failures: vec![Failure { what: "route".into(), why: "busy".into() }] }
    }

    #[test]
    fn nothing_is_due_before_the_first_report() {
        let due = Due::default();
        assert_eq!(due.at(), None);
        assert!(!due.is_due(Instant::now()));
    }

    #[test]
    fn success_is_checked_for_drift_and_failure_is_retried_ever_more_slowly() {
        let now = Instant::now();
        let mut due = Due::default();
        due.remember(&Report::default(), now);
        assert!(!due.is_due(now + DRIFT_CHECK - Duration::from_millis(1)));
        assert!(due.is_due(now + DRIFT_CHECK));
        let pauses: Vec<Duration> = (0..9)
            .map(|_| {
                due.remember(&mk_failed(), now);
                due.at().expect("set") - now
            })
            .collect();
        assert_eq!(pauses[..3], [250, 500, 1000].map(Duration::from_millis));
        assert_eq!(pauses[8], LONGEST_RETRY);
        due.remember(&Report::default(), now);
        due.remember(&mk_failed(), now);
        assert!(due.is_due(now + FIRST_RETRY));
    }

    #[test]
    fn a_look_at_a_part_does_not_put_off_the_look_at_all() {
        let now = Instant::now();
        let mut due = Due::default();
        due.remember(&Report::default(), now);
        due.remember_part(&Report::default(), now + DRIFT_CHECK / 2);
        assert_eq!(due.at(), Some(now + DRIFT_CHECK));
        due.remember_part(&mk_failed(), now + DRIFT_CHECK / 2);
        assert_eq!(due.at(), Some(now + DRIFT_CHECK / 2 + FIRST_RETRY));
    }
}
