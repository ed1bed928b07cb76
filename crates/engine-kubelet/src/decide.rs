//! What to do next for one Pod: a function of the API's object, of what is here, and of the time.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use crate::ephemeral;
use crate::observed::{Drain, Observed, Phase, Run, Sandbox, Stop};
use crate::probes::ProbeKind;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make the network namespace and call CNI ADD.
    StartSandbox,
    /// Call CNI DEL and drop the namespace.
    StopSandbox,
    /// Look until no node sends the Pod new connections.
    Drain,
    /// Start a container.
    Start {
        /// Its name.
        container: String,
    },
    /// Run its preStop hook, then ask it to end.
    Stop {
        /// Its name.
        container: String,
        /// When patience ends.
        deadline: Timestamp,
        /// Why.
        reason: StopReason,
    },
    /// End it at once.
    Kill {
        /// Its name.
        container: String,
    },
    /// Send a probe.
    Probe {
        /// Container.
        container: String,
        /// Which.
        kind: ProbeKind,
    },
    /// Delete the Pod from the API with grace 0: nothing of it is left here.
    Delete,
}

/// Why a container is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The Pod is being deleted, or has finished.
    PodEnds,
    /// The Pod names another image now.
    NewImage,
    /// This probe failed too often.
    Probe(ProbeKind),
}

/// What to do now, and when to look again even if nothing happens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Things to do, in order.
    pub actions: Vec<Action>,
    /// When to decide again.
    pub wake: Option<Timestamp>,
}

/// How a Pod that has finished for good has done so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All containers ended with 0.
    Succeeded,
    /// One did not, and is not started again.
    Failed,
}

/// How long the nodes may take, after the wish to delete, to send a Pod no new connections any more. Its containers are
/// asked to end after that; at least half of their time is their own.
const DRAIN_LIMIT: SignedDuration = SignedDuration::from_secs(5);
/// First pause before a crashed container is started again, and the longest
/// (KEP-4603 "tune CrashLoopBackOff", the values of its reduced default).
const BACKOFF_SECONDS: (i64, i64) = (1, 60);
/// `terminationGracePeriodSeconds` where none is given (`k8s.io/api/core/v1`).
const DEFAULT_GRACE_SECONDS: i64 = 30;

impl Decision {
    fn then(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Asks a container to end, and looks again when its time is up.
    fn stop(&mut self, container: &str, deadline: Timestamp, reason: StopReason) {
        self.then(Action::Stop { container: container.to_owned(), deadline, reason });
        self.look_at(deadline);
    }

    /// Waits for the end of new connections, and looks again when patience ends.
    fn drain(&mut self, drain: Drain, patience: Timestamp) {
        if drain == Drain::NotBegun && !self.actions.contains(&Action::Drain) {
            self.then(Action::Drain);
        }
        self.look_at(patience);
    }

    fn look_at(&mut self, when: Timestamp) {
        self.wake = Some(self.wake.map_or(when, |wake| wake.min(when)));
    }
}

/// What to do for this Pod now.
#[must_use]
pub fn decide(pod: &Pod, observed: &Observed, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    let Some(spec) = &pod.spec else { return decision };
    if pod.metadata.deletion_timestamp.is_some() {
        take_down(&mut decision, observed, delete_deadline(pod, spec, observed, now), now);
        if decision.actions.is_empty() && is_cleared(observed) {
            decision.then(Action::Delete);
        }
    } else if outcome(spec, observed).is_some() || has_finished(pod) {
        take_down(&mut decision, observed, now + grace(spec), now);
    } else {
        bring_up(&mut decision, spec, observed, now);
    }
    decision
}

/// The Pod's `terminationGracePeriodSeconds`.
fn grace(spec: &PodSpec) -> SignedDuration {
    SignedDuration::from_secs(spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE_SECONDS).max(0))
}

/// Counted from when the wish was seen: `deletionTimestamp` has whole seconds, which would cut a short grace.
fn delete_deadline(pod: &Pod, spec: &PodSpec, observed: &Observed, now: Timestamp) -> Timestamp {
    let wished = pod.metadata.deletion_grace_period_seconds;
    let patience = wished.map_or_else(|| grace(spec), |seconds| SignedDuration::from_secs(seconds.max(0)));
    observed.terminating_since.unwrap_or(now) + patience
}

/// Whether the API says that the Pod has finished; true also after a restart of the lab.
fn has_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn is_cleared(observed: &Observed) -> bool {
    let sandbox = matches!(observed.sandbox, Sandbox::Absent | Sandbox::Gone | Sandbox::Failed { .. });
    sandbox && !observed.runs.values().any(Run::is_alive)
}

fn take_down(decision: &mut Decision, observed: &Observed, deadline: Timestamp, now: Timestamp) {
    let drained = drain_deadline(observed, deadline);
    let waits = drained.filter(|drained| now < *drained);
    let mut alive = false;
    for (name, run) in observed.runs.iter().filter(|(_, run)| run.is_alive()) {
        alive = true;
        match (&run.phase, &run.stop) {
            (Phase::Starting, _) | (_, Stop::Killed) => {}
            (_, Stop::NotAsked) if now >= deadline => decision.then(Action::Kill { container: name.clone() }),
            (_, Stop::NotAsked) => match waits {
                None => decision.stop(name, deadline, StopReason::PodEnds),
                Some(drained) => decision.drain(observed.drain, drained),
            },
            (_, Stop::Asked { deadline: asked, .. }) => {
                kill_or_wait(decision, name, (*asked).min(deadline), now);
            }
        }
    }
    if !alive && matches!(observed.sandbox, Sandbox::Up(_)) {
        decision.then(Action::StopSandbox);
    }
}

/// Until when containers are not asked to end because new connections may still come; none if none may.
fn drain_deadline(observed: &Observed, deadline: Timestamp) -> Option<Timestamp> {
    let since = observed.terminating_since.filter(|_| observed.drain != Drain::Done)?;
    Some(since + DRAIN_LIMIT.min(deadline.duration_since(since) / 2))
}

fn kill_or_wait(decision: &mut Decision, container: &str, deadline: Timestamp, now: Timestamp) {
    if now >= deadline {
        decision.then(Action::Kill { container: container.to_owned() });
    } else {
        decision.look_at(deadline);
    }
}

fn bring_up(decision: &mut Decision, spec: &PodSpec, observed: &Observed, now: Timestamp) {
    match &observed.sandbox {
        Sandbox::Absent => return decision.then(Action::StartSandbox),
        Sandbox::Failed { retry_at, .. } if now >= *retry_at => return decision.then(Action::StartSandbox),
        Sandbox::Failed { retry_at, .. } => return decision.look_at(*retry_at),
        Sandbox::Starting | Sandbox::Stopping | Sandbox::Gone => return,
        Sandbox::Up(_) => {}
    }
    for container in spec.init_containers.iter().flatten() {
        let run = observed.runs.get(&container.name);
        if is_sidecar(container) {
            keep(decision, spec, container, run, now);
            if !run.is_some_and(|run| is_started(container, run)) {
                return;
            }
        } else if !run.is_some_and(Run::has_succeeded) {
            return keep(decision, spec, container, run, now);
        }
    }
    for container in &spec.containers {
        keep(decision, spec, container, observed.runs.get(&container.name), now);
    }
    for container in &ephemeral::containers(spec) {
        keep(decision, &ephemeral::rules(), container, observed.runs.get(&container.name), now);
    }
}

/// Whether this init container keeps running beside the others (KEP-753).
#[must_use]
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn is_started(container: &Container, run: &Run) -> bool {
    matches!(run.phase, Phase::Running { .. }) && run.probes.is_started(container)
}

/// Keeps one container running as its restart policy asks.
fn keep(decision: &mut Decision, spec: &PodSpec, container: &Container, run: Option<&Run>, now: Timestamp) {
    let start = Action::Start { container: container.name.clone() };
    let Some(run) = run else { return decision.then(start) };
    match &run.phase {
        Phase::Starting => {}
        Phase::NotStarted { retry_at, .. } if now >= *retry_at => decision.then(start),
        Phase::NotStarted { retry_at, .. } => decision.look_at(*retry_at),
        Phase::Ended(_) => match restart_at(spec, container, run) {
            Some(when) if now >= when => decision.then(start),
            Some(when) => decision.look_at(when),
            None => {}
        },
        Phase::Running { .. } => match &run.stop {
            Stop::Asked { deadline, .. } => kill_or_wait(decision, &container.name, *deadline, now),
            Stop::Killed => {}
            Stop::NotAsked => watch_over(decision, spec, container, run, now),
        },
    }
}

/// When an ended container is started again; none if it is not.
#[must_use]
pub fn restart_at(spec: &PodSpec, container: &Container, run: &Run) -> Option<Timestamp> {
    let Phase::Ended(ended) = &run.phase else { return None };
    let is_init = spec.init_containers.iter().flatten().any(|init| init.name == container.name);
    let again = match spec.restart_policy.as_deref() {
        _ if is_sidecar(container) => true,
        Some("Never") => false,
        Some("OnFailure") => ended.exit_code != 0,
        // An init container that succeeded has done its work.
        _ => !(is_init && ended.exit_code == 0),
    };
    again.then(|| ended.finished + SignedDuration::from_secs(backoff_seconds(run.crashes)))
}

/// The pause after so many crashes in a row; the first restart is immediate, as the kubelet's is.
#[must_use]
pub fn backoff_seconds(crashes: u32) -> i64 {
    let (first, longest) = BACKOFF_SECONDS;
    match crashes {
        0 | 1 => 0,
        more => first.saturating_mul(2_i64.saturating_pow(more - 2)).min(longest),
    }
}

fn watch_over(decision: &mut Decision, spec: &PodSpec, container: &Container, run: &Run, now: Timestamp) {
    if let Some((kind, _)) = run.probes.fatal(container) {
        let own = kind.of(container).and_then(|probe| probe.termination_grace_period_seconds);
        let patience = own.map_or_else(|| grace(spec), |seconds| SignedDuration::from_secs(seconds.max(0)));
        return decision.stop(&container.name, now + patience, StopReason::Probe(kind));
    }
    if container.image.as_ref().is_some_and(|image| *image != run.image) {
        return decision.stop(&container.name, now + grace(spec), StopReason::NewImage);
    }
    for kind in ProbeKind::ALL {
        match run.probes.due(kind, container) {
            Some(due) if now >= due => {
                decision.then(Action::Probe { container: container.name.clone(), kind });
            }
            Some(due) => decision.look_at(due),
            None => {}
        }
    }
}

/// Whether the Pod has finished for good.
#[must_use]
pub fn outcome(spec: &PodSpec, observed: &Observed) -> Option<Outcome> {
    let ended_for_good = |container: &Container| {
        let run = observed.runs.get(&container.name)?;
        let ended = matches!(run.phase, Phase::Ended(_)) && restart_at(spec, container, run).is_none();
        ended.then(|| run.has_succeeded())
    };
    let init = spec.init_containers.iter().flatten().filter(|container| !is_sidecar(container));
    if init.into_iter().any(|container| ended_for_good(container) == Some(false)) {
        return Some(Outcome::Failed);
    }
    let ends: Option<Vec<bool>> = spec.containers.iter().map(ended_for_good).collect();
    let succeeded = ends?.into_iter().all(|succeeded| succeeded);
    Some(if succeeded { Outcome::Succeeded } else { Outcome::Failed })
}

#[cfg(test)]
mod tests;
