//! What the container runtime, the CNI plugin and the agent need of each other.

use crate::{CheckResult, CniFile, Seen};

pub(crate) fn check(seen: &Seen) -> Vec<CheckResult> {
    vec![state(seen), agent(seen), configuration(seen)]
}

fn state(seen: &Seen) -> CheckResult {
    const CHECK: &str = "state directory";
    const OBJECT: &str = "network.json";
    match &seen.network {
        Ok(Some(network)) => {
            let ranges: Vec<_> = network.pod_cidrs.iter().map(ToString::to_string).collect();
            CheckResult::good(CHECK, OBJECT, format!("Pods get addresses of {}", ranges.join(", ")))
        }
        Ok(None) if in_force(seen).is_some_and(|file| file.chained_behind().is_some()) => {
            CheckResult::good(CHECK, OBJECT, "there is none; Pods get addresses of another plugin")
        }
        Ok(None) => CheckResult::broken(
            CHECK,
            OBJECT,
            "the agent has not written it, so no Pod gets an address",
            "see the agent's log, and that the Node has a podCIDR; --state-dir must be the agent's",
        ),
        Err(why) => CheckResult::broken(
            CHECK,
            OBJECT,
            format!("it cannot be read: {why}"),
            "remove it and restart the agent, which writes it anew",
        ),
    }
}

/// The configuration that the runtime takes.
fn in_force(seen: &Seen) -> Option<&CniFile> {
    seen.cni.as_ref()?.as_ref().ok()?.first()
}

fn agent(seen: &Seen) -> CheckResult {
    const CHECK: &str = "agent";
    match &seen.agent {
        Ok(()) => CheckResult::good(CHECK, "agent.sock", "it answers, and Pods can be added"),
        Err(why) => {
            CheckResult::broken(CHECK, "agent.sock", why, "start the agent of this node, or see its log")
        }
    }
}

fn configuration(seen: &Seen) -> CheckResult {
    const CHECK: &str = "CNI configuration";
    let remedy =
        "see that the agent runs with --cni-config-dir, and remove the configuration of the other network";
    match &seen.cni {
        None => CheckResult::skipped(CHECK, "", "no directory of configurations was named"),
        Some(Err(why)) => CheckResult::broken(CHECK, "", why, remedy),
        Some(Ok(files)) => match files.first() {
            None => CheckResult::broken(CHECK, "", "there is none, so the runtime waits for one", remedy),
            Some(file) if file.is_ours() => CheckResult::good(CHECK, &file.path, "it is the first, and ours"),
            Some(file) => match file.chained_behind() {
                Some(other) => CheckResult::good(
                    CHECK,
                    &file.path,
                    format!("it is the first, and has us behind {other}"),
                ),
                None => {
                    let plugin = file.plugins.first().map_or("(unreadable)", String::as_str);
                    let message = format!("it is the first and means the plugin {plugin}");
                    CheckResult::broken(CHECK, &file.path, message, remedy)
                }
            },
        },
    }
}
