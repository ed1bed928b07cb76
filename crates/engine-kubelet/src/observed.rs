//! What is known of one Pod here: its sandbox and the runs of its containers, as a state machine without effects.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use crate::decide::{Action, StopReason};
use crate::probes::{ProbeKind, Probes};

/// Everything known of one Pod on this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The Pod's network namespace.
    pub sandbox: Sandbox,
    /// Runs of containers by name, init containers included.
    pub runs: BTreeMap<String, Run>,
    /// When the Pod was first seen here.
    pub since: Timestamp,
    /// When the wish to delete it was first seen.
    pub terminating_since: Option<Timestamp>,
    /// Whether new connections may still come, once it is to be deleted.
    pub drain: Drain,
}

/// Whether new connections may still come to a Pod that is to be deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drain {
    /// Nobody has looked.
    #[default]
    NotBegun,
    /// Somebody looks until no node sends any.
    Begun,
    /// No node sends any.
    Done,
}

/// The Pod's network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sandbox {
    /// Not made yet.
    Absent,
    /// Being made: CNI ADD runs.
    Starting,
    /// There, with these addresses.
    Up(Vec<IpAddr>),
    /// Could not be made; tried again later.
    Failed {
        /// Why.
        message: String,
        /// How often in a row.
        failures: u32,
        /// When to try again.
        retry_at: Timestamp,
    },
    /// Being taken down: CNI DEL runs.
    Stopping,
    /// Taken down for good.
    Gone,
}

/// One container's runs: the present one and what remains of the last.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Present state.
    pub phase: Phase,
    /// How often it was started again.
    pub restarts: u32,
    /// How the run before this one ended.
    pub last: Option<Ended>,
    /// Crashes in a row, for the pause before the next start.
    pub crashes: u32,
    /// Whether it was asked to end.
    pub stop: Stop,
    /// Probe results of this run.
    pub probes: Probes,
    /// The image it was started from.
    pub image: String,
    /// What runs in place of the image.
    pub substitution: String,
}

/// State of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Being started.
    Starting,
    /// Running.
    Running {
        /// Since when.
        since: Timestamp,
        /// Its identity in the status.
        id: String,
    },
    /// Ended.
    Ended(Ended),
    /// Could not be started; tried again later.
    NotStarted {
        /// One CamelCase word, such as `CreateContainerConfigError`.
        reason: String,
        /// Why.
        message: String,
        /// When to try again.
        retry_at: Timestamp,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Exit code; 128 + signal when a signal ended it.
    pub exit_code: i32,
    /// One CamelCase word: `Completed` or `Error`.
    pub reason: &'static str,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// Its identity in the status.
    pub id: String,
}

/// Whether a run was asked to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// No.
    NotAsked,
    /// Yes; killed at the deadline.
    Asked {
        /// When patience ends.
        deadline: Timestamp,
        /// Why.
        reason: StopReason,
    },
    /// Killed.
    Killed,
}

/// Something that happened to a Pod here.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// CNI ADD succeeded.
    SandboxUp(Vec<IpAddr>),
    /// The sandbox could not be made.
    SandboxFailed(String),
    /// CNI DEL is done.
    SandboxGone,
    /// No node sends the Pod new connections any more.
    Drained,
    /// A container started.
    Started {
        /// Its name.
        container: String,
        /// Identity of the run.
        id: String,
        /// The image it was started from.
        image: String,
        /// What runs in place of the image.
        substitution: String,
    },
    /// A container could not be started.
    NotStarted {
        /// Its name.
        container: String,
        /// One CamelCase word.
        reason: String,
        /// Why.
        message: String,
    },
    /// A container ended.
    Exited {
        /// Its name.
        container: String,
        /// Exit code.
        exit_code: i32,
    },
    /// A probe was answered.
    Probed {
        /// Container.
        container: String,
        /// Which probe.
        kind: ProbeKind,
        /// Identity of the run that was probed; a result for an older one is dropped.
        id: String,
        /// Why it failed; none when it passed.
        failure: Option<String>,
    },
}

impl Observed {
    /// A Pod first seen now.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            sandbox: Sandbox::Absent,
            runs: BTreeMap::new(),
            since: now,
            terminating_since: None,
            drain: Drain::NotBegun,
        }
    }

    /// The Pod's addresses.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        match &self.sandbox {
            Sandbox::Up(addresses) => addresses,
            _ => &[],
        }
    }

    /// Takes note that an action is under way.
    pub fn begin(&mut self, action: &Action, now: Timestamp) {
        match action {
            Action::StartSandbox => self.sandbox = Sandbox::Starting,
            Action::StopSandbox => self.sandbox = Sandbox::Stopping,
            Action::Start { container } => self.begin_start(container),
            Action::Stop { container, deadline, reason } => {
                if let Some(run) = self.runs.get_mut(container) {
                    run.stop = Stop::Asked { deadline: *deadline, reason: *reason };
                }
            }
            Action::Kill { container } => {
                if let Some(run) = self.runs.get_mut(container) {
                    run.stop = Stop::Killed;
                }
            }
            Action::Probe { container, kind } => {
                if let Some(run) = self.runs.get_mut(container) {
                    run.probes.begin(*kind, now);
                }
            }
            Action::Drain => self.drain = Drain::Begun,
            Action::Delete => {}
        }
    }

    fn begin_start(&mut self, container: &str) {
        let Some(before) = self.runs.remove(container) else {
            self.runs.insert(container.to_owned(), Run::first());
            return;
        };
        let mut next = Run::first();
        (next.restarts, next.last, next.crashes) = match before.phase {
            Phase::Ended(ended) => (before.restarts + 1, Some(ended), before.crashes),
            _ => (before.restarts, before.last, before.crashes),
        };
        (next.image, next.substitution) = (before.image, before.substitution);
        self.runs.insert(container.to_owned(), next);
    }

    /// Takes in what happened.
    pub fn take(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::SandboxUp(addresses) => self.sandbox = Sandbox::Up(addresses),
            Event::SandboxFailed(message) => self.sandbox_failed(message, now),
            Event::SandboxGone => self.sandbox = Sandbox::Gone,
            Event::Drained => self.drain = Drain::Done,
            Event::Started { container, id, image, substitution } => {
                if let Some(run) = self.runs.get_mut(&container) {
                    run.phase = Phase::Running { since: now, id };
                    (run.image, run.substitution) = (image, substitution);
                    run.probes = Probes::started(now);
                }
            }
            Event::NotStarted { container, reason, message } => {
                if let Some(run) = self.runs.get_mut(&container) {
                    let retry_at = now + START_RETRY;
                    run.phase = Phase::NotStarted { reason, message, retry_at };
                }
            }
            Event::Exited { container, exit_code } => {
                if let Some(run) = self.runs.get_mut(&container) {
                    run.exited(exit_code, now);
                }
            }
            Event::Probed { container, kind, id, failure } => {
                if let Some(run) = self.runs.get_mut(&container)
                    && run.id() == Some(id.as_str())
                {
                    run.probes.answered(kind, failure, now);
                }
            }
        }
    }

    fn sandbox_failed(&mut self, message: String, now: Timestamp) {
        let failures = match &self.sandbox {
            Sandbox::Failed { failures, .. } => failures + 1,
            _ => 1,
        };
        self.sandbox = Sandbox::Failed { message, failures, retry_at: now + SANDBOX_RETRY };
    }
}

/// Pause before a sandbox is tried again: the kubelet's resync after an error is of this order.
const SANDBOX_RETRY: SignedDuration = SignedDuration::from_secs(1);
/// Pause before a container that could not be started is tried again.
const START_RETRY: SignedDuration = SignedDuration::from_secs(1);
/// A run of this length forgives earlier crashes (kubelet `MaxContainerBackOff` reset, 10 minutes).
const FORGIVING_RUN_SECONDS: i64 = 600;

impl Run {
    fn first() -> Self {
        Self {
            phase: Phase::Starting,
            restarts: 0,
            last: None,
            crashes: 0,
            stop: Stop::NotAsked,
            probes: Probes::default(),
            image: String::new(),
            substitution: String::new(),
        }
    }

    /// Identity of the present run while it runs.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match &self.phase {
            Phase::Running { id, .. } => Some(id),
            _ => None,
        }
    }

    /// Whether a process or stand-in is, or is about to be, there.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Running { .. })
    }

    /// Whether it ended with exit code 0.
    #[must_use]
    pub fn has_succeeded(&self) -> bool {
        matches!(&self.phase, Phase::Ended(ended) if ended.exit_code == 0)
    }

    fn exited(&mut self, exit_code: i32, now: Timestamp) {
        let (started, id) = match &self.phase {
            Phase::Running { since, id } => (*since, id.clone()),
            _ => (now, String::new()),
        };
        let ran_seconds = now.duration_since(started).as_secs();
        self.crashes = if ran_seconds >= FORGIVING_RUN_SECONDS { 1 } else { self.crashes + 1 };
        let reason = if exit_code == 0 { "Completed" } else { "Error" };
        self.phase = Phase::Ended(Ended { exit_code, reason, started, finished: now, id });
    }
}
