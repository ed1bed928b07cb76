//! The bridge that Pods are ports of, on nodes that were told to have one.

use types::{NetworkMode, POD_BRIDGE, Prefix};

use crate::{CheckResult, Seen};

pub(crate) fn check(seen: &Seen) -> Vec<CheckResult> {
    const CHECK: &str = "bridge";
    let Ok(Some(network)) = &seen.network else { return Vec::new() };
    if network.link.mode != NetworkMode::Bridge {
        return Vec::new();
    }
    let remedy = "see why the agent does not make it so: its log, and whether it answers";
    let broken = |message: String| vec![CheckResult::broken(CHECK, POD_BRIDGE, message, remedy)];
    // One that is not ours is told of as being in the way.
    let Some(bridge) = seen.links.iter().find(|link| link.name == POD_BRIDGE && link.is_ours) else {
        return broken("it is not there, so Pods of this node have no network".into());
    };
    if !bridge.is_up {
        return broken("it is down, so Pods of this node have no network".into());
    }
    let leads_there = |range: &&Prefix| {
        seen.routes.iter().any(|route| route.destination == **range && route.link == POD_BRIDGE)
    };
    match network.pod_cidrs.iter().find(|range| !leads_there(range)) {
        Some(range) => broken(format!("no route to {range} leads there")),
        None => vec![CheckResult::good(CHECK, POD_BRIDGE, format!("Pods are on it, MTU {}", bridge.mtu))],
    }
}
