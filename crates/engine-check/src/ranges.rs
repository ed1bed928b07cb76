//! Ranges that must not meet: those of Pods and Services with each other and with what the node has already.

use types::Prefix;

use crate::{CheckResult, Expected, Seen};

const CHECK: &str = "address ranges";

pub(crate) fn check(seen: &Seen, expected: &Expected) -> Vec<CheckResult> {
    let mut results = Vec::new();
    for pods in &expected.pod_cidrs {
        for services in expected.service_cidrs.iter().filter(|services| services.overlaps(*pods)) {
            results.push(CheckResult::broken(
                CHECK,
                format!("{pods}, {services}"),
                "the Pod range and the Service range overlap",
                "give the cluster ranges that have no address in common",
            ));
        }
    }
    let named = |what: &'static str| move |range: &Prefix| (what, *range);
    let ranges: Vec<(&str, Prefix)> = (expected.pod_cidrs.iter().map(named("Pod")))
        .chain(expected.service_cidrs.iter().map(named("Service")))
        .collect();
    for (what, range) in &ranges {
        results.extend(routes(seen, what, *range));
        results.extend(addresses(seen, what, *range));
    }
    let is_met = !results.is_empty();
    results.extend(expected.unknown_services.iter().map(|family| {
        let object = format!("{family} range of Services");
        CheckResult::skipped(CHECK, object, "it is not known here; name it with --service-cidr")
    }));
    if !is_met {
        let object = ranges.iter().map(|(_, range)| range.to_string()).collect::<Vec<_>>().join(", ");
        results.push(CheckResult::good(CHECK, object, "no route or address of the node is in them"));
    }
    results
}

/// Routes of others into a range. A default route is no such thing, nor one of the kernel's for a link of ours.
fn routes<'a>(seen: &'a Seen, what: &'a str, range: Prefix) -> impl Iterator<Item = CheckResult> + 'a {
    let is_our_link = |name: &str| seen.links.iter().any(|link| link.is_ours && link.name == name);
    let foreign = seen.routes.iter().filter(move |route| {
        let is_default = route.destination.len() == 0;
        !route.is_ours && !is_default && route.destination.overlaps(range) && !is_our_link(&route.link)
    });
    foreign.map(move |route| {
        CheckResult::broken(
            CHECK,
            format!("route {} dev {}", route.destination, route.link),
            format!("it leads addresses of the {what} range {range} elsewhere"),
            "remove the route, or give the cluster another range",
        )
    })
}

fn addresses<'a>(seen: &'a Seen, what: &'a str, range: Prefix) -> impl Iterator<Item = CheckResult> + 'a {
    let held = seen
        .links
        .iter()
        .filter(|link| !link.is_ours)
        .flat_map(|link| link.addresses.iter().map(move |address| (link.name.as_str(), *address)));
    held.filter(move |(_, address)| range.contains(address.address)).map(move |(link, address)| {
        CheckResult::broken(
            CHECK,
            format!("address {address} of {link}"),
            format!("it is in the {what} range {range}"),
            "give the link another address, or the cluster another range",
        )
    })
}
