//! When probes are due and what their answers mean, as the kubelet counts them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Probe};

/// Which probe of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeKind {
    /// Holds back the others until it passes.
    Startup,
    /// Decides whether the Pod belongs to its Services.
    Readiness,
    /// Decides whether the container is started again.
    Liveness,
}

impl ProbeKind {
    /// All kinds, in the order in which they are looked at.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];

    /// The probe of this kind, if the container has one.
    #[must_use]
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
        }
    }

    /// The word Events use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

/// Results of all probes of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probes {
    started: Option<Timestamp>,
    tallies: BTreeMap<ProbeKind, Tally>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Tally {
    in_flight: bool,
    last: Option<Timestamp>,
    successes: i32,
    failures: i32,
    // Whether the threshold of successes (true) or failures (false) was reached last.
    held: Option<bool>,
    message: Option<String>,
}

impl Probes {
    /// No probe answered yet; the run started now.
    #[must_use]
    pub fn started(now: Timestamp) -> Self {
        Self { started: Some(now), tallies: BTreeMap::new() }
    }

    /// Takes note that a probe was sent.
    pub fn begin(&mut self, kind: ProbeKind, now: Timestamp) {
        let tally = self.tallies.entry(kind).or_default();
        (tally.in_flight, tally.last) = (true, Some(now));
    }

    /// Takes in an answer: why it failed, or none when it passed.
    pub fn answered(&mut self, kind: ProbeKind, failure: Option<String>, _now: Timestamp) {
        let tally = self.tallies.entry(kind).or_default();
        tally.in_flight = false;
        if failure.is_none() {
            (tally.successes, tally.failures) = (tally.successes + 1, 0);
        } else {
            (tally.successes, tally.failures) = (0, tally.failures + 1);
        }
        tally.message = failure;
    }

    /// Lets thresholds take effect; call after every answer.
    pub fn settle(&mut self, container: &Container) {
        for kind in ProbeKind::ALL {
            let (Some(probe), Some(tally)) = (kind.of(container), self.tallies.get_mut(&kind)) else {
                continue;
            };
            if tally.successes >= success_threshold(probe) {
                tally.held = Some(true);
            } else if tally.failures >= failure_threshold(probe) {
                tally.held = Some(false);
            }
        }
    }

    /// Whether the container counts as started: it has no startup probe, or that has passed.
    #[must_use]
    pub fn is_started(&self, container: &Container) -> bool {
        self.started.is_some()
            && (container.startup_probe.is_none() || self.held(ProbeKind::Startup) == Some(true))
    }

    /// Whether the container is ready.
    #[must_use]
    pub fn is_ready(&self, container: &Container) -> bool {
        self.is_started(container)
            && (container.readiness_probe.is_none() || self.held(ProbeKind::Readiness) == Some(true))
    }

    /// The probe whose failures demand that the container end, with its last message.
    #[must_use]
    pub fn fatal(&self, container: &Container) -> Option<(ProbeKind, String)> {
        [ProbeKind::Startup, ProbeKind::Liveness].into_iter().find_map(|kind| {
            let failed = kind.of(container).is_some() && self.held(kind) == Some(false);
            failed.then(|| (kind, self.message(kind).unwrap_or_default().to_owned()))
        })
    }

    /// What a probe's last failure said.
    #[must_use]
    pub fn message(&self, kind: ProbeKind) -> Option<&str> {
        self.tallies.get(&kind).and_then(|tally| tally.message.as_deref())
    }

    fn held(&self, kind: ProbeKind) -> Option<bool> {
        self.tallies.get(&kind).and_then(|tally| tally.held)
    }

    /// When a probe is next due; none while it is in flight or has nothing to say.
    #[must_use]
    pub fn due(&self, kind: ProbeKind, container: &Container) -> Option<Timestamp> {
        let (probe, started) = (kind.of(container)?, self.started?);
        let is_started = self.is_started(container);
        // The startup probe ends with its first success; the others begin then.
        if is_started == (kind == ProbeKind::Startup) {
            return None;
        }
        let first = started + seconds(probe.initial_delay_seconds.unwrap_or(0));
        match self.tallies.get(&kind) {
            None => Some(first),
            Some(tally) if tally.in_flight => None,
            Some(tally) => Some(tally.last.map_or(first, |last| last + seconds(period(probe)))),
        }
    }
}

fn seconds(count: i32) -> SignedDuration {
    SignedDuration::from_secs(i64::from(count.max(0)))
}

// Defaults of `k8s.io/api/core/v1` `Probe`.
fn period(probe: &Probe) -> i32 {
    probe.period_seconds.filter(|period| *period > 0).unwrap_or(10)
}

fn success_threshold(probe: &Probe) -> i32 {
    probe.success_threshold.filter(|count| *count > 0).unwrap_or(1)
}

fn failure_threshold(probe: &Probe) -> i32 {
    probe.failure_threshold.filter(|count| *count > 0).unwrap_or(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_container(kind: ProbeKind) -> Container {
        let probe = Probe { period_seconds: Some(2), failure_threshold: Some(2), ..Probe::default() };
        let mut container = Container::default();
        match kind {
            ProbeKind::Startup => container.startup_probe = Some(probe),
            ProbeKind::Readiness => container.readiness_probe = Some(probe),
            ProbeKind::Liveness => container.liveness_probe = Some(probe),
        }
        container
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn answer(probes: &mut Probes, container: &Container, kind: ProbeKind, passed: bool, second: i64) {
        probes.begin(kind, at(second));
        assert_eq!(probes.due(kind, container), None, "one at a time");
        probes.answered(kind, (!passed).then(|| "refused".to_owned()), at(second));
        probes.settle(container);
    }

    #[test]
    fn a_container_without_probes_is_ready_once_started() {
        let container = Container::default();
        assert!(!Probes::default().is_ready(&container));
        assert!(Probes::started(at(0)).is_ready(&container));
    }

    #[test]
    fn readiness_follows_the_thresholds() {
        let kind = ProbeKind::Readiness;
        let container = mk_container(kind);
        let mut probes = Probes::started(at(0));
        assert_eq!(probes.due(kind, &container), Some(at(0)));
        assert!(!probes.is_ready(&container));
        answer(&mut probes, &container, kind, true, 0);
        assert!(probes.is_ready(&container));
        assert_eq!(probes.due(kind, &container), Some(at(2)));
        answer(&mut probes, &container, kind, false, 2);
        assert!(probes.is_ready(&container), "one failure is below the threshold");
        answer(&mut probes, &container, kind, false, 4);
        assert!(!probes.is_ready(&container));
        assert_eq!(probes.fatal(&container), None, "readiness never ends a container");
    }

    #[test]
    fn startup_holds_back_the_others_and_then_rests() {
        let mut container = mk_container(ProbeKind::Startup);
        container.liveness_probe = mk_container(ProbeKind::Liveness).liveness_probe;
        let mut probes = Probes::started(at(0));
        assert_eq!(probes.due(ProbeKind::Liveness, &container), None);
        answer(&mut probes, &container, ProbeKind::Startup, true, 0);
        assert_eq!(probes.due(ProbeKind::Startup, &container), None);
        assert_eq!(probes.due(ProbeKind::Liveness, &container), Some(at(0)));
        answer(&mut probes, &container, ProbeKind::Liveness, false, 1);
        answer(&mut probes, &container, ProbeKind::Liveness, false, 3);
        assert_eq!(probes.fatal(&container), Some((ProbeKind::Liveness, "refused".to_owned())));
    }
}
