//! Cells of Pod tables (upstream: `printPod`).

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::age::human_duration;
use crate::object::{integer, is_deleting, list, text};

/// Ready containers of all, sidecars included.
pub(super) fn ready(pod: &Value) -> Value {
    let sidecars: Vec<&str> = sidecars(pod).collect();
    let total = list(pod, "/spec/containers").len() + sidecars.len();
    let ready = statuses(pod, "containerStatuses")
        .iter()
        .chain(
            statuses(pod, "initContainerStatuses")
                .iter()
                .filter(|status| sidecars.contains(&text(status, "/name"))),
        )
        .filter(|status| status.get("ready").is_some_and(|ready| *ready == true))
        .count();
    format!("{ready}/{total}").into()
}

/// Restarts, with the time since the last.
pub(super) fn restarts(pod: &Value, now: Timestamp) -> Value {
    let all = || statuses(pod, "containerStatuses").iter().chain(statuses(pod, "initContainerStatuses"));
    let count: i64 = all().filter_map(|status| integer(status, "/restartCount")).sum();
    let last = all()
        .filter_map(|status| text(status, "/lastState/terminated/finishedAt").parse::<Timestamp>().ok())
        .max();
    match last {
        Some(last) if count > 0 => {
            format!("{count} ({} ago)", human_duration(now.as_second() - last.as_second())).into()
        }
        _ => count.to_string().into(),
    }
}

/// Readiness gates that hold, of all.
pub(super) fn readiness_gates(pod: &Value) -> Value {
    let gates = list(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return json!("<none>");
    }
    let holds = |gate: &Value| {
        list(pod, "/status/conditions").iter().any(|condition| {
            text(condition, "/type") == text(gate, "/conditionType") && text(condition, "/status") == "True"
        })
    };
    format!("{}/{}", gates.iter().filter(|gate| holds(gate)).count(), gates.len()).into()
}

/// One word for how a Pod is.
pub(super) fn status(pod: &Value) -> String {
    let mut reason = match text(pod, "/status/reason") {
        "" => text(pod, "/status/phase").to_owned(),
        reason => reason.to_owned(),
    };
    let gated = list(pod, "/status/conditions").iter().any(|condition| {
        text(condition, "/type") == "PodScheduled" && text(condition, "/reason") == "SchedulingGated"
    });
    if gated {
        "SchedulingGated".clone_into(&mut reason);
    }
    match init_reason(pod) {
        Some(initializing) => reason = initializing,
        None => container_reason(pod, &mut reason),
    }
    if is_deleting(pod) {
        let lost = text(pod, "/status/reason") == "NodeLost";
        let phase = text(pod, "/status/phase");
        if lost {
            "Unknown".clone_into(&mut reason);
        } else if !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut reason);
        }
    }
    reason
}

fn statuses<'a>(pod: &'a Value, field: &str) -> &'a [Value] {
    list(pod, &format!("/status/{field}"))
}

/// Names of init containers that keep running.
fn sidecars(pod: &Value) -> impl Iterator<Item = &str> {
    list(pod, "/spec/initContainers")
        .iter()
        .filter(|container| text(container, "/restartPolicy") == "Always")
        .map(|container| text(container, "/name"))
}

/// Why initialization is not over; `None` when it is.
fn init_reason(pod: &Value) -> Option<String> {
    let sidecars: Vec<&str> = sidecars(pod).collect();
    let total = list(pod, "/spec/initContainers").len();
    for (index, status) in statuses(pod, "initContainerStatuses").iter().enumerate() {
        let sidecar = sidecars.contains(&text(status, "/name"));
        let terminated = status.pointer("/state/terminated");
        if terminated.is_some_and(|state| integer(state, "/exitCode") == Some(0)) {
            continue;
        }
        if sidecar && status.get("started").is_some_and(|started| *started == true) {
            continue;
        }
        if let Some(terminated) = terminated {
            return Some(match text(terminated, "/reason") {
                "" => format!("Init:ExitCode:{}", integer(terminated, "/exitCode").unwrap_or(0)),
                reason => format!("Init:{reason}"),
            });
        }
        let waiting = text(status, "/state/waiting/reason");
        if !waiting.is_empty() && waiting != "PodInitializing" {
            return Some(format!("Init:{waiting}"));
        }
        return Some(format!("Init:{index}/{total}"));
    }
    None
}

/// What the containers say, the first in order having the last word.
fn container_reason(pod: &Value, reason: &mut String) {
    let mut running = false;
    for status in statuses(pod, "containerStatuses").iter().rev() {
        let waiting = text(status, "/state/waiting/reason");
        if !waiting.is_empty() {
            waiting.clone_into(reason);
        } else if let Some(terminated) = status.pointer("/state/terminated") {
            *reason = match (text(terminated, "/reason"), integer(terminated, "/signal").unwrap_or(0)) {
                ("", 0) => format!("ExitCode:{}", integer(terminated, "/exitCode").unwrap_or(0)),
                ("", signal) => format!("Signal:{signal}"),
                (reason, _) => reason.to_owned(),
            };
        } else if status.get("ready").is_some_and(|ready| *ready == true)
            && status.pointer("/state/running").is_some()
        {
            running = true;
        }
    }
    if reason == "Completed" && running {
        let ready = list(pod, "/status/conditions")
            .iter()
            .any(|condition| text(condition, "/type") == "Ready" && text(condition, "/status") == "True");
        (if ready { "Running" } else { "NotReady" }).clone_into(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_words() {
        let running = json!({"spec": {"containers": [{"name": "a"}]}, "status": {"phase": "Running",
            "containerStatuses": [{"name": "a", "ready": true, "restartCount": 0, "state": {"running": {}}}]}});
        assert_eq!(status(&running), "Running");
        assert_eq!(ready(&running), "1/1");
        let mut leaving = running.clone();
        leaving["metadata"] = json!({"deletionTimestamp": "2025-01-01T00:00:00Z"});
        assert_eq!(status(&leaving), "Terminating");
        let waiting = json!({"status": {"phase": "Pending",
            "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}});
        assert_eq!(status(&waiting), "ImagePullBackOff");
        let init = json!({"spec": {"initContainers": [{"name": "i"}, {"name": "j"}]}, "status": {"phase": "Pending",
            "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}});
        assert_eq!(status(&init), "Init:0/2");
    }

    #[test]
    fn restarts_tell_when() {
        let pod = json!({"status": {"containerStatuses": [
            {"restartCount": 3, "lastState": {"terminated": {"finishedAt": "2025-01-01T00:00:00Z"}}}]}});
        let now = "2025-01-01T00:05:00Z".parse().unwrap();
        assert_eq!(restarts(&pod, now), "3 (5m ago)");
    }
}
