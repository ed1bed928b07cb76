//! Settings, features and room of the kernel.

use types::IpFamily;

use crate::{CheckResult, Expected, Seen};

/// Share of the connection tracking table beyond which new connections are in danger.
const NEARLY_FULL_PERCENT: u64 = 90;

pub(crate) fn settings(seen: &Seen, expected: &Expected) -> Vec<CheckResult> {
    let mut results = Vec::new();
    for (family, name) in
        [(IpFamily::V4, "net/ipv4/ip_forward"), (IpFamily::V6, "net/ipv6/conf/all/forwarding")]
    {
        if has_pods(seen, expected, family) {
            results.push(forwarding(seen, name));
        }
    }
    if has_pods(seen, expected, IpFamily::V6) {
        results.extend(routers(seen, expected));
    }
    results.extend(reverse_path(seen, expected));
    results
}

/// A node that forwards hears routers only where `accept_ra` is 2. The agent sees to that when it turns forwarding on
/// itself; a node that has no default route, and does not listen, most likely had one from a router.
fn routers(seen: &Seen, expected: &Expected) -> Option<CheckResult> {
    const CHECK: &str = "routers";
    let name = format!("net/ipv6/conf/{}/accept_ra", expected.underlay_link);
    let has_default = seen
        .routes
        .iter()
        .any(|route| route.destination.family() == IpFamily::V6 && route.destination.len() == 0);
    Some(match seen.settings.get(&name)?.as_str() {
        "1" if !has_default => CheckResult::warning(
            CHECK,
            &name,
            "it is 1 and the node forwards, so what routers advertise is not heard, and there is no IPv6 default route",
            format!(
                "where nodes have their route or address from a router, set it to 2: sysctl -w {}=2",
                name.replace('/', ".")
            ),
        ),
        "1" => CheckResult::good(CHECK, &name, "the IPv6 default route comes from elsewhere"),
        "0" => CheckResult::good(CHECK, &name, "nothing is learned from routers, on purpose"),
        _ => CheckResult::good(CHECK, &name, "routers are heard although the node forwards"),
    })
}

/// Whether Pods of this node have addresses of a family.
fn has_pods(seen: &Seen, expected: &Expected, family: IpFamily) -> bool {
    match &seen.network {
        Ok(Some(network)) => network.pod_cidrs.iter().any(|range| range.family() == family),
        _ => expected.pod_cidrs.iter().any(|range| range.family() == family),
    }
}

fn forwarding(seen: &Seen, name: &str) -> CheckResult {
    const CHECK: &str = "forwarding";
    match seen.settings.get(name).map(String::as_str) {
        Some("1") => CheckResult::good(CHECK, name, "packets of Pods are passed on"),
        value => CheckResult::broken(
            CHECK,
            name,
            format!("it is {}, so the kernel passes no packet of a Pod on", value.unwrap_or("not there")),
            format!("set it to 1 and find out who resets it: sysctl -w {}=1", name.replace('/', ".")),
        ),
    }
}

/// A Pod's packet to another node's own address comes in by the underlay and is answered through the tunnel, which the
/// strict check takes for forgery. The kernel uses the higher of the setting of the link and that for all.
fn reverse_path(seen: &Seen, expected: &Expected) -> Vec<CheckResult> {
    const CHECK: &str = "reverse path";
    let tunnels = seen.links.iter().filter(|link| link.is_ours && link.tunnel.is_some());
    let mut links: Vec<&str> = tunnels.map(|link| link.name.as_str()).collect();
    if links.is_empty() {
        return vec![CheckResult::good(
            CHECK,
            "net/ipv4/conf/*/rp_filter",
            "there is no tunnel that it could hurt",
        )];
    }
    links.push(&expected.underlay_link);
    let value = |link: &str| -> u8 {
        let text = seen.settings.get(&format!("net/ipv4/conf/{link}/rp_filter"));
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    };
    let check = |link: &str| {
        let name = format!("net/ipv4/conf/{link}/rp_filter");
        if value("all").max(value(link)) != 1 {
            return CheckResult::good(CHECK, name, "answers that take another way are let in");
        }
        let culprit = if value(link) == 1 { link } else { "all" };
        CheckResult::broken(
            CHECK,
            format!("net/ipv4/conf/{culprit}/rp_filter"),
            format!("it is 1 (strict), so {link} drops packets between Pods and other nodes"),
            format!("set it to 2 (loose): sysctl -w net.ipv4.conf.{link}.rp_filter=2"),
        )
    };
    links.into_iter().map(check).collect()
}

pub(crate) fn features(seen: &Seen) -> Vec<CheckResult> {
    const CHECK: &str = "kernel";
    let judge = |feature: &crate::Feature| match &feature.outcome {
        Ok(()) => CheckResult::good(CHECK, feature.name, "tried in a namespace of its own"),
        Err(why) => CheckResult::broken(
            CHECK,
            feature.name,
            format!("it does not work here: {why}"),
            format!("use a kernel with {}, or load its module", feature.needs),
        ),
    };
    seen.features.iter().map(judge).collect()
}

pub(crate) fn conntrack(seen: &Seen) -> CheckResult {
    const CHECK: &str = "conntrack table";
    const OBJECT: &str = "net/netfilter/nf_conntrack_max";
    match seen.conntrack {
        None => CheckResult::skipped(CHECK, OBJECT, "this namespace shows no number of tracked connections"),
        Some((count, most)) if count.saturating_mul(100) >= most.saturating_mul(NEARLY_FULL_PERCENT) => {
            CheckResult::broken(
                CHECK,
                OBJECT,
                format!("{count} of {most} connections are tracked; beyond that, new ones are dropped"),
                "raise it, and look for what opens so many connections",
            )
        }
        Some((count, most)) => {
            CheckResult::good(CHECK, OBJECT, format!("{count} of {most} connections are tracked"))
        }
    }
}
