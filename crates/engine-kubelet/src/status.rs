//! What the API shows of a Pod: phase, conditions and container statuses, as a kubelet sets them.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodSpec, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::decide::{Outcome, is_sidecar, outcome, restart_at};
use crate::ephemeral;
use crate::observed::{Ended, Observed, Phase, Run, Sandbox};

/// The status the Pod should have; equal to the present one when nothing changed.
#[must_use]
pub fn pod_status(pod: &Pod, observed: &Observed, hosts: &[IpAddr], now: Timestamp) -> PodStatus {
    let before = pod.status.clone().unwrap_or_default();
    let Some(spec) = &pod.spec else { return before };
    let finished = outcome(spec, observed);
    let phase = phase(spec, observed, finished);
    let addresses = shown_addresses(&before, observed);
    let mut status = PodStatus {
        phase: Some(phase.to_owned()),
        host_ip: hosts.first().map(ToString::to_string),
        host_ips: Some(hosts.iter().map(|host| HostIP { ip: host.to_string() }).collect()),
        pod_ip: addresses.first().cloned(),
        pod_ips: (!addresses.is_empty()).then(|| addresses.into_iter().map(|ip| PodIP { ip }).collect()),
        start_time: before.start_time.clone().or(Some(Time(whole_seconds(observed.since)))),
        observed_generation: pod.metadata.generation,
        container_statuses: Some(container_statuses(spec, &spec.containers, observed)),
        init_container_statuses: spec
            .init_containers
            .as_ref()
            .map(|containers| container_statuses(spec, containers, observed)),
        ephemeral_container_statuses: ephemeral_statuses(spec, observed),
        ..before.clone()
    };
    status.conditions = Some(conditions(pod, spec, observed, finished, now));
    status
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// A finished Pod keeps showing the address it had.
fn shown_addresses(before: &PodStatus, observed: &Observed) -> Vec<String> {
    match observed.addresses() {
        [] => before.pod_ips.iter().flatten().map(|pod_ip| pod_ip.ip.clone()).collect(),
        addresses => addresses.iter().map(ToString::to_string).collect(),
    }
}

fn phase(spec: &PodSpec, observed: &Observed, finished: Option<Outcome>) -> &'static str {
    match finished {
        Some(Outcome::Succeeded) => return "Succeeded",
        Some(Outcome::Failed) => return "Failed",
        None => {}
    }
    let has_run = |container: &Container| {
        observed.runs.get(&container.name).is_some_and(|run| {
            run.last.is_some() || matches!(run.phase, Phase::Running { .. } | Phase::Ended(_))
        })
    };
    if is_initialized(spec, observed) && spec.containers.iter().all(has_run) { "Running" } else { "Pending" }
}

fn is_initialized(spec: &PodSpec, observed: &Observed) -> bool {
    spec.init_containers.iter().flatten().all(|container| {
        observed.runs.get(&container.name).is_some_and(|run| {
            if is_sidecar(container) { run.probes.is_started(container) } else { run.has_succeeded() }
        })
    })
}

fn container_statuses(spec: &PodSpec, containers: &[Container], observed: &Observed) -> Vec<ContainerStatus> {
    containers.iter().map(|container| container_status(spec, container, observed)).collect()
}

/// They are never ready: nobody sends them traffic.
fn ephemeral_statuses(spec: &PodSpec, observed: &Observed) -> Option<Vec<ContainerStatus>> {
    let containers = ephemeral::containers(spec);
    let statuses = container_statuses(&ephemeral::rules(), &containers, observed).into_iter();
    let statuses = statuses.map(|status| ContainerStatus { ready: false, started: None, ..status });
    (!containers.is_empty()).then(|| statuses.collect())
}

fn container_status(spec: &PodSpec, container: &Container, observed: &Observed) -> ContainerStatus {
    let image = container.image.clone().unwrap_or_default();
    let is_init = spec.init_containers.iter().flatten().any(|init| init.name == container.name);
    let Some(run) = observed.runs.get(&container.name) else {
        let reason =
            if is_init || is_initialized(spec, observed) { "ContainerCreating" } else { "PodInitializing" };
        return ContainerStatus {
            name: container.name.clone(),
            image,
            started: Some(false),
            state: Some(waiting(reason, sandbox_trouble(observed))),
            ..ContainerStatus::default()
        };
    };
    let is_running = matches!(run.phase, Phase::Running { .. });
    let done_init = is_init && !is_sidecar(container) && run.has_succeeded();
    ContainerStatus {
        name: container.name.clone(),
        image: if run.image.is_empty() { image } else { run.image.clone() },
        image_id: run.substitution.clone(),
        container_id: container_id(run),
        ready: done_init || is_running && run.probes.is_ready(container),
        started: Some(is_running && run.probes.is_started(container)),
        restart_count: i32::try_from(run.restarts).unwrap_or(i32::MAX),
        state: Some(state(spec, container, run)),
        last_state: last_state(spec, container, run),
        ..ContainerStatus::default()
    }
}

fn sandbox_trouble(observed: &Observed) -> Option<String> {
    match &observed.sandbox {
        Sandbox::Failed { message, .. } => Some(message.clone()),
        _ => None,
    }
}

fn container_id(run: &Run) -> Option<String> {
    let id = match &run.phase {
        Phase::Running { id, .. } => id,
        Phase::Ended(ended) => &ended.id,
        _ => &run.last.as_ref()?.id,
    };
    (!id.is_empty()).then(|| shown_id(id))
}

fn shown_id(id: &str) -> String {
    format!("sealane://{id}")
}

fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn state(spec: &PodSpec, container: &Container, run: &Run) -> ContainerState {
    match &run.phase {
        Phase::Starting => waiting("ContainerCreating", None),
        Phase::NotStarted { reason, message, .. } => waiting(reason, Some(message.clone())),
        Phase::Running { since, .. } => ContainerState {
            running: Some(ContainerStateRunning { started_at: Some(Time(whole_seconds(*since))) }),
            ..ContainerState::default()
        },
        Phase::Ended(_) if waits_for_restart(spec, container, run) => {
            let pause = crate::decide::backoff_seconds(run.crashes);
            let message = format!("back-off {pause}s restarting failed container={} pod", container.name);
            waiting("CrashLoopBackOff", Some(message))
        }
        Phase::Ended(ended) => terminated(ended),
    }
}

fn waits_for_restart(spec: &PodSpec, container: &Container, run: &Run) -> bool {
    restart_at(spec, container, run).is_some() && crate::decide::backoff_seconds(run.crashes) > 0
}

fn last_state(spec: &PodSpec, container: &Container, run: &Run) -> Option<ContainerState> {
    match &run.phase {
        Phase::Ended(ended) if waits_for_restart(spec, container, run) => Some(terminated(ended)),
        _ => run.last.as_ref().map(terminated),
    }
}

fn terminated(ended: &Ended) -> ContainerState {
    let terminated = ContainerStateTerminated {
        container_id: Some(shown_id(&ended.id)),
        exit_code: ended.exit_code,
        reason: Some(ended.reason.to_owned()),
        started_at: Some(Time(whole_seconds(ended.started))),
        finished_at: Some(Time(whole_seconds(ended.finished))),
        ..ContainerStateTerminated::default()
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

/// A condition before it is compared with the last one: whether it holds, and if not, why.
struct Verdict {
    kind: &'static str,
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

fn conditions(
    pod: &Pod,
    spec: &PodSpec,
    observed: &Observed,
    finished: Option<Outcome>,
    now: Timestamp,
) -> Vec<PodCondition> {
    let before: Vec<PodCondition> =
        pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let unready = unready(spec, observed);
    let unready_reason = match finished {
        Some(Outcome::Succeeded) => Some("PodCompleted"),
        Some(Outcome::Failed) => Some("PodFailed"),
        None => (!unready.is_empty()).then_some("ContainersNotReady"),
    };
    let containers_ready = unready_reason.is_none();
    let message = (!unready.is_empty() && finished.is_none())
        .then(|| format!("containers with unready status: [{}]", unready.join(" ")));
    let gates_open = gates_open(spec, &before);
    let ready_reason = unready_reason.or((!gates_open).then_some("ReadinessGatesNotReady"));
    let initialized = is_initialized(spec, observed);
    let verdicts = [
        Verdict {
            kind: "PodReadyToStartContainers",
            holds: matches!(observed.sandbox, Sandbox::Up(_)),
            reason: None,
            message: None,
        },
        Verdict {
            kind: "Initialized",
            holds: initialized,
            reason: (!initialized).then_some("ContainersNotInitialized"),
            message: None,
        },
        Verdict {
            kind: "Ready",
            holds: containers_ready && gates_open,
            reason: ready_reason,
            message: message.clone(),
        },
        Verdict { kind: "ContainersReady", holds: containers_ready, reason: unready_reason, message },
        Verdict { kind: "PodScheduled", holds: true, reason: None, message: None },
    ];
    let mut result: Vec<PodCondition> =
        verdicts.into_iter().map(|verdict| settled(verdict, &before, now)).collect();
    // Readiness gates and other people's conditions stay as they are.
    let foreign = before.iter().filter(|old| !result.iter().any(|new| new.type_ == old.type_)).cloned();
    let foreign: Vec<PodCondition> = foreign.collect();
    result.extend(foreign);
    result
}

fn unready(spec: &PodSpec, observed: &Observed) -> Vec<String> {
    let is_ready = |container: &Container| {
        observed
            .runs
            .get(&container.name)
            .is_some_and(|run| matches!(run.phase, Phase::Running { .. }) && run.probes.is_ready(container))
    };
    let sidecars = spec.init_containers.iter().flatten().filter(|container| is_sidecar(container));
    let watched = sidecars.chain(&spec.containers);
    watched.filter(|container| !is_ready(container)).map(|container| container.name.clone()).collect()
}

fn gates_open(spec: &PodSpec, conditions: &[PodCondition]) -> bool {
    spec.readiness_gates.iter().flatten().all(|gate| {
        conditions
            .iter()
            .any(|condition| condition.type_ == gate.condition_type && condition.status == "True")
    })
}

fn settled(verdict: Verdict, before: &[PodCondition], now: Timestamp) -> PodCondition {
    let status = if verdict.holds { "True" } else { "False" };
    let old = before.iter().find(|old| old.type_ == verdict.kind);
    let unchanged = old.filter(|old| old.status == status);
    PodCondition {
        type_: verdict.kind.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.map(ToOwned::to_owned),
        message: verdict.message,
        last_transition_time: unchanged
            .and_then(|old| old.last_transition_time.clone())
            .or(Some(Time(whole_seconds(now)))),
        ..old.cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Action;
    use crate::observed::Event;

    const HOST: &str = "192.0.2.11";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn mk_pod() -> Pod {
        let container = Container { name: "web".into(), image: Some("nginx".into()), ..Container::default() };
        let spec = PodSpec { containers: vec![container], ..PodSpec::default() };
        Pod { spec: Some(spec), ..Pod::default() }
    }

    fn condition<'a>(status: &'a PodStatus, kind: &str) -> &'a PodCondition {
        status.conditions.iter().flatten().find(|condition| condition.type_ == kind).unwrap()
    }

    #[test]
    fn a_pod_goes_from_pending_to_running_and_ready_and_stays_equal() {
        let (mut pod, host) = (mk_pod(), [HOST.parse().unwrap()]);
        let mut observed = Observed::new(at(0));
        let status = pod_status(&pod, &observed, &host, at(0));
        assert_eq!(status.phase.as_deref(), Some("Pending"));
        let state = status.container_statuses.unwrap()[0].state.clone().unwrap();
        assert_eq!(state.waiting.unwrap().reason.as_deref(), Some("ContainerCreating"));

        observed.take(Event::SandboxUp(vec!["10.244.0.2".parse().unwrap()]), at(1));
        observed.begin(&Action::Start { container: "web".into() }, at(1));
        let (container, id) = ("web".to_owned(), "1".to_owned());
        observed.take(
            Event::Started { container, id, image: "nginx".into(), substitution: "stand-in".into() },
            at(2),
        );
        let status = pod_status(&pod, &observed, &host, at(2));
        assert_eq!(status.phase.as_deref(), Some("Running"));
        assert_eq!(status.pod_ip.as_deref(), Some("10.244.0.2"));
        assert_eq!(condition(&status, "Ready").status, "True");
        assert_eq!(status.container_statuses.as_ref().unwrap()[0].image_id, "stand-in");

        pod.status = Some(status.clone());
        assert_eq!(pod_status(&pod, &observed, &host, at(9)), status, "no write where nothing changed");
    }

    #[test]
    fn a_crash_loop_shows_why_and_how_it_ended() {
        let (pod, host) = (mk_pod(), [HOST.parse().unwrap()]);
        let mut observed = Observed::new(at(0));
        observed.take(Event::SandboxUp(Vec::new()), at(0));
        for crash in 0..2 {
            observed.begin(&Action::Start { container: "web".into() }, at(crash));
            let (container, id) = ("web".to_owned(), crash.to_string());
            observed.take(
                Event::Started { container, id, image: "nginx".into(), substitution: String::new() },
                at(crash),
            );
            observed.take(Event::Exited { container: "web".into(), exit_code: 3 }, at(crash));
        }
        let status = pod_status(&pod, &observed, &host, at(1));
        let container = &status.container_statuses.as_ref().unwrap()[0];
        let waiting = container.state.clone().unwrap().waiting.unwrap();
        assert_eq!(waiting.reason.as_deref(), Some("CrashLoopBackOff"));
        assert_eq!(container.last_state.clone().unwrap().terminated.unwrap().exit_code, 3);
        assert_eq!(container.restart_count, 1);
        assert_eq!(status.phase.as_deref(), Some("Running"));
        let ready = condition(&status, "Ready");
        assert_eq!((ready.status.as_str(), ready.reason.as_deref()), ("False", Some("ContainersNotReady")));
    }

    #[test]
    fn a_readiness_gate_holds_back_ready_but_not_containers_ready() {
        let (mut pod, host) = (mk_pod(), [HOST.parse().unwrap()]);
        let gate = k8s_openapi::api::core::v1::PodReadinessGate { condition_type: "example.com/gate".into() };
        pod.spec.as_mut().unwrap().readiness_gates = Some(vec![gate]);
        let mut observed = Observed::new(at(0));
        observed.take(Event::SandboxUp(Vec::new()), at(0));
        observed.begin(&Action::Start { container: "web".into() }, at(0));
        let (container, id) = ("web".to_owned(), "1".to_owned());
        observed.take(
            Event::Started { container, id, image: "nginx".into(), substitution: String::new() },
            at(0),
        );
        let status = pod_status(&pod, &observed, &host, at(0));
        assert_eq!(condition(&status, "ContainersReady").status, "True");
        assert_eq!(condition(&status, "Ready").status, "False");
    }
}
