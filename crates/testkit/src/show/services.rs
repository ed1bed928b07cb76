//! Frontends as text.

use plan::{Choice, FrontendAddress, FrontendRule, FrontendScope, Outcome, ServiceTable, SourceAddress};

use super::{joined, lines};

/// The lab's own Service is in every plan, and so in none of the texts.
const LAB_SERVICE: &str = "default/kubernetes";

pub(super) fn show(table: &ServiceTable) -> String {
    let mut text = String::new();
    for (frontend, rule) in table.frontends.iter().filter(|(_, rule)| rule.owner.to_string() != LAB_SERVICE) {
        let port =
            if rule.port_name.is_empty() { String::new() } else { format!(" port {}", rule.port_name) };
        let scope = match (frontend.address, rule.scope) {
            (FrontendAddress::NodePort, FrontendScope::NodePort) => String::new(),
            (_, scope) => format!(" {scope:?}"),
        };
        text += &format!("{frontend}{scope} of {}{port}\n", rule.owner);
        text += &rule_text(rule);
    }
    for (port, check) in &table.health_checks {
        text += &format!("health checks {port}/TCP of {}: {} here\n", check.service, check.local_endpoints);
    }
    text
}

fn rule_text(rule: &FrontendRule) -> String {
    let mut text = match rule.internal == rule.external {
        true => format!("  everybody: {}\n", outcome(&rule.internal)),
        false => format!("  inside: {}\n  outside: {}\n", outcome(&rule.internal), outcome(&rule.external)),
    };
    if let Some(seconds) = rule.affinity_seconds {
        text += &format!("  affinity: {seconds} s\n");
    }
    if rule.scheduling.by == Choice::SourceHash {
        text += "  by the client's address\n";
    }
    for share in &rule.scheduling.shares {
        text += &format!("  weight {} for {}: {}\n", share.weight, share.group, joined(&share.backends, " "));
    }
    if let Some(ranges) = &rule.source_ranges {
        text += &format!("  only from: {}\n", joined(ranges, " "));
    }
    let unused = rule.candidates.iter().filter_map(|candidate| {
        let place = candidate.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
        let who = format!("  not to {}{place}", candidate.backend);
        match (candidate.excluded_internal, candidate.excluded_external) {
            (None, None) => None,
            (Some(inside), Some(outside)) if inside == outside => Some(format!("{who}: {inside:?}")),
            (Some(inside), None) => Some(format!("{who} from inside: {inside:?}")),
            (None, Some(outside)) => Some(format!("{who} from outside: {outside:?}")),
            (Some(inside), Some(outside)) => {
                Some(format!("{who}: {inside:?} from inside, {outside:?} from outside"))
            }
        }
    });
    text + &lines(unused)
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Forward { backends, source } => {
            let source = match source {
                SourceAddress::Kept => "source kept",
                SourceAddress::KeptForPods => "source kept for Pods",
                SourceAddress::Node => "source node",
            };
            format!("{}, {source}", joined(backends, " or "))
        }
        Outcome::Reject => "refused".to_owned(),
        Outcome::Drop => "dropped".to_owned(),
    }
}
