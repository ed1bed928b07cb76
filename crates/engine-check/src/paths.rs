//! Links between the nodes: MTU, the tunnel's port, and links of others in the way.

use crate::{CheckResult, Expected, Link, Seen};

/// What VXLAN adds over IPv4 and over IPv6 (RFC 7348).
const OVERHEAD: (u32, u32) = (50, 70);
/// The tunnel's UDP port; the same constant as in `compile`'s `podnet.rs`.
const PORT: u16 = 8472;

pub(crate) fn check(seen: &Seen, expected: &Expected) -> Vec<CheckResult> {
    let mut results = vec![underlay(seen, expected)];
    results.extend(
        seen.links
            .iter()
            .filter(|link| link.is_ours && link.tunnel.is_some())
            .map(|tunnel| mtu(seen, expected, tunnel)),
    );
    results.push(port(seen));
    results.extend(in_the_way(seen));
    results
}

fn underlay(seen: &Seen, expected: &Expected) -> CheckResult {
    const CHECK: &str = "underlay";
    let name = &expected.underlay_link;
    let remedy = "name the link that faces the other nodes with --underlay-link";
    match seen.links.iter().find(|link| link.name == *name) {
        None => CheckResult::broken(CHECK, name, "there is no such link", remedy),
        Some(link) if !link.is_up => CheckResult::broken(CHECK, name, "it is down", "bring it up"),
        Some(link) if link.addresses.is_empty() => {
            CheckResult::broken(CHECK, name, "it has no address", remedy)
        }
        Some(link) => {
            let held: Vec<_> = link.addresses.iter().map(ToString::to_string).collect();
            CheckResult::good(CHECK, name, format!("{}, MTU {}", held.join(", "), link.mtu))
        }
    }
}

fn mtu(seen: &Seen, expected: &Expected, tunnel: &Link) -> CheckResult {
    const CHECK: &str = "MTU";
    let underlay =
        seen.links.iter().find(|link| link.name == expected.underlay_link).map_or(0, |link| link.mtu);
    let overhead = if tunnel.tunnel.is_some_and(|(_, is_v6)| is_v6) { OVERHEAD.1 } else { OVERHEAD.0 };
    let most = underlay.saturating_sub(overhead);
    let (name, mtu) = (&tunnel.name, tunnel.mtu);
    let of_pods = match &seen.network {
        Ok(Some(network)) => network.link.path_mtu,
        _ => mtu,
    };
    if mtu > most {
        return CheckResult::broken(
            CHECK,
            name,
            format!(
                "packets of {mtu} bytes do not fit into the underlay's {underlay} with the tunnel's {overhead}"
            ),
            format!("set the link to {most}, or raise the MTU of {}", expected.underlay_link),
        );
    }
    if of_pods > mtu {
        return CheckResult::broken(
            CHECK,
            name,
            format!("Pods send packets of {of_pods} bytes into a tunnel of {mtu}"),
            "see why the agent does not set the link's MTU: its log, and sealane status",
        );
    }
    CheckResult::good(CHECK, name, format!("{mtu} bytes, with {overhead} of the tunnel, fit into {underlay}"))
}

fn port(seen: &Seen) -> CheckResult {
    const CHECK: &str = "tunnel port";
    let object = format!("UDP port {PORT}");
    let has_port = |link: &&Link| link.tunnel.is_some_and(|(port, _)| port == PORT);
    if let Some(foreign) = seen.links.iter().filter(has_port).find(|link| !link.is_ours) {
        return CheckResult::broken(
            CHECK,
            object,
            format!("link {} of another network has it", foreign.name),
            "remove the other network, such as flannel, and its link",
        );
    }
    let is_ours = seen.links.iter().any(|link| has_port(&link));
    if seen.udp_ports.contains(&PORT) && !is_ours {
        return CheckResult::broken(
            CHECK,
            object,
            "a process has it, so there can be no tunnel",
            format!("end the process: ss -lunp 'sport = {PORT}'"),
        );
    }
    CheckResult::good(CHECK, object, if is_ours { "the tunnel has it" } else { "it is free" })
}

/// Links with a name of ours that are not ours: the agent leaves them alone and cannot work.
fn in_the_way(seen: &Seen) -> impl Iterator<Item = CheckResult> + '_ {
    let foreign = seen.links.iter().filter(|link| link.name.starts_with("sealane") && !link.is_ours);
    foreign.map(|link| {
        let message = "it has a name of ours and not our alias, so the agent cannot make its own";
        CheckResult::broken("foreign link", &link.name, message, "rename or delete it")
    })
}
