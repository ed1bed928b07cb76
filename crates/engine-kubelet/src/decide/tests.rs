//! Lives of Pods, step by step.

use k8s_openapi::api::core::v1::Probe;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::observed::Event;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn mk_container(name: &str) -> Container {
    Container { name: name.to_owned(), ..Container::default() }
}

fn mk_pod(restart_policy: &str, containers: &[&str]) -> Pod {
    let spec = PodSpec {
        containers: containers.iter().map(|name| mk_container(name)).collect(),
        restart_policy: Some(restart_policy.to_owned()),
        ..PodSpec::default()
    };
    Pod { spec: Some(spec), ..Pod::default() }
}

fn start(container: &str) -> Action {
    Action::Start { container: container.to_owned() }
}

/// A Pod, what is known of it, and the loop that the worker runs, without effects.
struct Life {
    pod: Pod,
    observed: Observed,
    wake: Option<Timestamp>,
}

impl Life {
    fn new(pod: Pod) -> Self {
        Self { pod, observed: Observed::new(at(0)), wake: None }
    }

    fn with_sandbox(pod: Pod) -> Self {
        let mut life = Self::new(pod);
        assert_eq!(life.step(0), [Action::StartSandbox]);
        life.take(0, Event::SandboxUp(vec!["10.244.0.2".parse().unwrap()]));
        life
    }

    fn step(&mut self, second: i64) -> Vec<Action> {
        if self.pod.metadata.deletion_timestamp.is_some() {
            self.observed.terminating_since.get_or_insert(at(second));
        }
        let decision = decide(&self.pod, &self.observed, at(second));
        for action in &decision.actions {
            self.observed.begin(action, at(second));
        }
        self.wake = decision.wake;
        decision.actions
    }

    fn take(&mut self, second: i64, event: Event) {
        self.observed.take(event, at(second));
        let containers = &self.pod.spec.as_ref().unwrap().containers;
        for container in containers {
            if let Some(run) = self.observed.runs.get_mut(&container.name) {
                run.probes.settle(container);
            }
        }
    }

    fn started(&mut self, second: i64, name: &str) {
        let (container, id) = (name.to_owned(), format!("{name}-{second}"));
        let of =
            |spec: &PodSpec| spec.containers.iter().find(|container| container.name == name)?.image.clone();
        let image = self.pod.spec.as_ref().and_then(of).unwrap_or_default();
        self.take(second, Event::Started { container, id, image, substitution: String::new() });
    }

    fn exited(&mut self, second: i64, name: &str, exit_code: i32) {
        self.take(second, Event::Exited { container: name.to_owned(), exit_code });
    }

    fn delete(&mut self, now: i64, grace: i64) {
        self.pod.metadata.deletion_timestamp = Some(Time(at(now + grace)));
        self.pod.metadata.deletion_grace_period_seconds = Some(grace);
    }
}

#[test]
fn nothing_starts_before_the_sandbox_is_up() {
    let mut life = Life::new(mk_pod("Always", &["web"]));
    assert_eq!(life.step(0), [Action::StartSandbox]);
    assert_eq!(life.step(0), [], "NP13: CNI ADD has not returned");
    life.take(0, Event::SandboxFailed("no address left".into()));
    assert_eq!(life.step(0), []);
    assert_eq!(life.wake, Some(at(1)));
    assert_eq!(life.step(1), [Action::StartSandbox]);
    life.take(1, Event::SandboxUp(Vec::new()));
    assert_eq!(life.step(1), [start("web")]);
    assert_eq!(life.step(1), [], "a start is asked for once");
}

#[test]
fn init_containers_run_one_after_the_other_and_first() {
    let mut pod = mk_pod("Always", &["web"]);
    let spec = pod.spec.as_mut().unwrap();
    spec.init_containers = Some(vec![mk_container("first"), mk_container("second")]);
    let mut life = Life::with_sandbox(pod);
    assert_eq!(life.step(0), [start("first")]);
    life.started(0, "first");
    assert_eq!(life.step(0), []);
    life.exited(1, "first", 0);
    assert_eq!(life.step(1), [start("second")]);
    life.started(1, "second");
    life.exited(2, "second", 0);
    assert_eq!(life.step(2), [start("web")]);
}

#[test]
fn a_failing_init_container_fails_a_pod_that_never_restarts() {
    let mut pod = mk_pod("Never", &["web"]);
    pod.spec.as_mut().unwrap().init_containers = Some(vec![mk_container("first")]);
    let mut life = Life::with_sandbox(pod);
    life.step(0);
    life.started(0, "first");
    life.exited(1, "first", 3);
    assert_eq!(outcome(life.pod.spec.as_ref().unwrap(), &life.observed), Some(Outcome::Failed));
    assert_eq!(life.step(1), [Action::StopSandbox]);
}

#[test]
fn crashes_are_restarted_with_growing_pauses() {
    let mut life = Life::with_sandbox(mk_pod("Always", &["web"]));
    life.step(0);
    life.started(0, "web");
    life.exited(1, "web", 1);
    assert_eq!(life.step(1), [start("web")], "the first restart is immediate");
    life.started(1, "web");
    life.exited(2, "web", 1);
    assert_eq!(life.step(2), []);
    assert_eq!(life.wake, Some(at(3)));
    assert_eq!(life.step(3), [start("web")]);
    assert_eq!(life.observed.runs["web"].restarts, 2);
    assert_eq!((0..10).map(backoff_seconds).collect::<Vec<_>>(), [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn a_job_like_pod_succeeds_once_and_gives_its_address_back() {
    let mut life = Life::with_sandbox(mk_pod("OnFailure", &["job"]));
    life.step(0);
    life.started(0, "job");
    life.exited(5, "job", 0);
    assert_eq!(life.step(5), [Action::StopSandbox]);
    life.take(5, Event::SandboxGone);
    assert_eq!(life.step(6), []);
    assert_eq!(outcome(life.pod.spec.as_ref().unwrap(), &life.observed), Some(Outcome::Succeeded));
}

#[test]
fn deletion_drains_then_asks_then_kills_then_cleans_up() {
    let mut life = Life::with_sandbox(mk_pod("Always", &["web"]));
    life.step(0);
    life.started(0, "web");
    life.delete(10, 5);
    assert_eq!(life.step(10), [Action::Drain], "endpoints go first");
    assert_eq!(
        life.wake,
        Some(at(10) + SignedDuration::from_millis(2500)),
        "half of the grace is for the program"
    );
    assert_eq!(life.step(11), []);
    life.take(11, Event::Drained);
    let stop = Action::Stop { container: "web".into(), deadline: at(15), reason: StopReason::PodEnds };
    assert_eq!(life.step(11), [stop]);
    assert_eq!(life.wake, Some(at(15)), "nothing else may happen before");
    assert_eq!(life.step(12), []);
    assert_eq!(life.wake, Some(at(15)));
    assert_eq!(life.step(15), [Action::Kill { container: "web".into() }]);
    assert_eq!(life.step(15), [], "killed once");
    life.exited(16, "web", 137);
    assert_eq!(life.step(16), [Action::StopSandbox]);
    life.take(16, Event::SandboxGone);
    assert_eq!(life.step(16), [Action::Delete]);
}

#[test]
fn nodes_that_do_not_let_go_of_a_pod_do_not_keep_it() {
    let mut life = Life::with_sandbox(mk_pod("Always", &["web", "side"]));
    life.step(0);
    life.started(0, "web");
    life.started(0, "side");
    life.delete(10, 30);
    assert_eq!(life.step(10), [Action::Drain], "once for all containers");
    assert_eq!(life.wake, Some(at(15)));
    assert_eq!(life.step(14), []);
    assert_eq!(life.step(15).len(), 2);
    life.take(16, Event::Drained);
    assert_eq!(life.step(16), [], "too late to matter");
}

#[test]
fn deletion_without_grace_kills_at_once() {
    let mut life = Life::with_sandbox(mk_pod("Always", &["web"]));
    life.step(0);
    life.started(0, "web");
    life.delete(10, 0);
    assert_eq!(life.step(10), [Action::Kill { container: "web".into() }]);
}

#[test]
fn a_pod_deleted_before_it_started_is_gone_at_once() {
    let mut life = Life::new(mk_pod("Always", &["web"]));
    life.delete(0, 30);
    assert_eq!(life.step(0), [Action::Delete]);
}

#[test]
fn a_failed_liveness_probe_ends_the_container_and_the_policy_restarts_it() {
    let mut pod = mk_pod("Always", &["web"]);
    let spec = pod.spec.as_mut().unwrap();
    spec.termination_grace_period_seconds = Some(4);
    spec.containers[0].liveness_probe = Some(Probe { failure_threshold: Some(1), ..Probe::default() });
    let mut life = Life::with_sandbox(pod);
    life.step(0);
    life.started(0, "web");
    let kind = ProbeKind::Liveness;
    assert_eq!(life.step(0), [Action::Probe { container: "web".into(), kind }]);
    let failure = Some("refused".to_owned());
    life.take(
        1,
        Event::Probed { container: "web".into(), kind, id: "an older run".into(), failure: failure.clone() },
    );
    assert_eq!(life.step(1), [], "the answer belongs to another run");
    life.take(1, Event::Probed { container: "web".into(), kind, id: "web-0".into(), failure });
    let reason = StopReason::Probe(kind);
    assert_eq!(life.step(1), [Action::Stop { container: "web".into(), deadline: at(5), reason }]);
    assert_eq!(life.wake, Some(at(5)));
    life.exited(2, "web", 143);
    assert_eq!(life.step(2), [start("web")]);
}

#[test]
fn a_container_of_another_image_is_restarted() {
    let mut life = Life::with_sandbox(mk_pod("Always", &["web"]));
    life.step(0);
    life.started(0, "web");
    life.pod.spec.as_mut().unwrap().containers[0].image = Some("web:2".into());
    let deadline = at(1) + SignedDuration::from_secs(DEFAULT_GRACE_SECONDS);
    let stop = Action::Stop { container: "web".into(), deadline, reason: StopReason::NewImage };
    assert_eq!(life.step(1), [stop]);
    life.exited(2, "web", 0);
    assert_eq!(life.step(2), [start("web")]);
    life.started(2, "web");
    assert_eq!(life.step(3), []);
}

#[test]
fn a_sidecar_is_kept_running_and_does_not_hold_back_the_end() {
    let mut pod = mk_pod("Never", &["job"]);
    let mut sidecar = mk_container("proxy");
    sidecar.restart_policy = Some("Always".into());
    pod.spec.as_mut().unwrap().init_containers = Some(vec![sidecar]);
    let mut life = Life::with_sandbox(pod);
    assert_eq!(life.step(0), [start("proxy")]);
    life.started(0, "proxy");
    assert_eq!(life.step(0), [start("job")]);
    life.started(0, "job");
    life.exited(3, "job", 0);
    let actions = life.step(3);
    assert!(matches!(&actions[..], [Action::Stop { container, .. }] if container == "proxy"), "{actions:?}");
}
