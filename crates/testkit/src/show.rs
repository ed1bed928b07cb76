//! Plans as text that a network engineer can read, one section of a scenario each.

use std::fmt::Write;

use plan::{ClusterPlan, ConditionChange, NodePlan, StatusWrite, Via};
use types::NodeName;

use crate::ask;
use crate::world::World;

mod gateway;
mod names;
mod policy;
mod services;

const FEATURES: [&str; 6] = ["podnet", "services", "policy", "dns", "gateway", "lb"];

/// The node whose plan is shown when a section does not say.
const DEFAULT_NODE: &str = "node-a";

/// Whether a section's title names something that can be shown.
pub(crate) fn knows(title: &[&str]) -> bool {
    match title {
        ["plan", feature] | ["plan", feature, "on", _] => FEATURES.contains(feature),
        ["rules", _] | ["rules", _, "on", _] => true,
        ["cluster", "plan"] | ["findings"] | ["questions"] | ["requests"] => true,
        _ => false,
    }
}

/// The text of a section; `None` for sections that are not expectations.
pub(crate) fn show(world: &World, title: &[&str], body: &str) -> Option<String> {
    let on = |node: &str, text: &dyn Fn(&NodePlan) -> String| match world.plans.get(&NodeName::from(node)) {
        Some(plan) => text(plan),
        None => format!("there is no plan for {node}\n"),
    };
    if !knows(title) {
        return None;
    }
    Some(match title {
        ["findings"] => findings(world),
        ["cluster", "plan"] => cluster_plan(&world.cluster_plan),
        ["questions"] => {
            on(DEFAULT_NODE, &|plan| ask::answer_lines(body, |question| ask::answer_name(plan, question)))
        }
        ["requests"] => {
            on(DEFAULT_NODE, &|plan| ask::answer_lines(body, |question| ask::answer_request(plan, question)))
        }
        ["rules", name, rest @ ..] => on(rest.last().unwrap_or(&DEFAULT_NODE), &|plan| rules(plan, name)),
        [_, feature, rest @ ..] => {
            on(rest.last().unwrap_or(&DEFAULT_NODE), &|plan| feature_text(plan, feature))
        }
        _ => return None,
    })
}

/// The set, map or chain of this name, as `nft` would list it.
fn rules(plan: &NodePlan, name: &str) -> String {
    let text = ruleset::render(plan).to_string();
    let is_head = |line: &&str| line.ends_with(&format!(" {name} {{"));
    let found: Vec<&str> = text.lines().skip_while(|line| !is_head(line)).collect();
    let end = found.iter().position(|line| *line == "\t}").map_or(0, |end| end + 1);
    match end {
        0 => format!("there is no {name}\n"),
        _ => lines(found[..end].iter().map(|line| line.strip_prefix('\t').unwrap_or(line))),
    }
}

fn feature_text(plan: &NodePlan, feature: &str) -> String {
    match feature {
        "podnet" => podnet(plan),
        "services" => services::show(&plan.services),
        "policy" => policy::show(&plan.policy),
        "dns" => names::show(&plan.dns),
        "gateway" => gateway::show(&plan.gateway),
        _ => lb(plan),
    }
}

/// Lines from values.
fn lines<T: std::fmt::Display>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().fold(String::new(), |mut text, value| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{value}");
        text
    })
}

/// Values joined by a separator.
fn joined<T: std::fmt::Display>(values: impl IntoIterator<Item = T>, separator: &str) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(separator)
}

fn findings(world: &World) -> String {
    lines(world.findings.iter().map(|finding| format!("{:?}: {finding}", finding.severity)))
}

fn cluster_plan(plan: &ClusterPlan) -> String {
    let cidrs =
        plan.pod_cidrs.iter().map(|(node, cidrs)| format!("podCIDR of {node}: {}", joined(cidrs, " ")));
    let statuses = plan.statuses.iter().map(|status| match status {
        StatusWrite::Service { service, addresses } => {
            format!("status of Service {service}: {}", joined(addresses, " "))
        }
        StatusWrite::Ingress { ingress, addresses } => {
            format!("status of Ingress {ingress}: {}", joined(addresses, " "))
        }
        StatusWrite::Condition { object, condition_type, change } => {
            let says = match change {
                ConditionChange::Begins(text) | ConditionChange::Continues { text, .. } => {
                    format!("{}, {}", text.reason, text.message)
                }
                ConditionChange::Ends => "gone".to_owned(),
            };
            format!("condition {condition_type} of {object}: {says}")
        }
    });
    lines(cidrs.chain(statuses))
}

fn podnet(plan: &NodePlan) -> String {
    let podnet = &plan.podnet;
    let link = &podnet.link;
    let own = joined(&podnet.pod_cidrs, " ");
    let mut text = format!("own {own} mtu {} link {}\n", link.path_mtu, link.mtu);
    if let Some(vxlan) = &podnet.vxlan {
        text += &format!(
            "tunnel {} vni {} port {} from {} inner {} mac {} mtu {}\n",
            vxlan.link,
            vxlan.vni,
            vxlan.port,
            vxlan.underlay,
            joined(&vxlan.addresses, " "),
            vxlan.mac,
            vxlan.mtu
        );
    }
    text += &lines(podnet.peers.iter().flat_map(|(node, peer)| {
        peer.paths.iter().map(move |(range, path)| match path.via {
            Via::Vxlan { address, mac } => {
                let (underlay, mtu) = (peer.underlay, path.mtu);
                format!("peer {node} {range} mtu {mtu}: tunnel at {underlay} to {address} mac {mac}")
            }
            Via::Direct { nexthop } => format!("peer {node} {range} mtu {}: direct at {nexthop}", path.mtu),
        })
    }));
    text += &lines(podnet.local_addresses.iter().map(|(address, why)| format!("holds {address}: {why:?}")));
    text += &lines(podnet.local_pods.iter().map(|(address, pod)| format!("pod {address} {pod}")));
    let masquerade = &podnet.masquerade;
    text + &format!(
        "masquerade {} except {}\n",
        joined(&masquerade.sources, " "),
        joined(&masquerade.except, " ")
    )
}

fn lb(plan: &NodePlan) -> String {
    lines(plan.lb.announce.iter().map(|(address, service)| format!("announce {address} of {service}")))
}
