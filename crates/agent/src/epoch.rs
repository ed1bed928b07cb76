//! The order in which one plan becomes visible: never a name whose rules are not there.
//!
//! New rules go in before the names that lead to them, and names that go away do so before their rules. Between two
//! plans the DNS server therefore answers with [`common_names`]: what holds under both.

use std::collections::BTreeSet;
use std::net::IpAddr;

use plan::{DnsPlan, DnsService, DnsServiceKind};

/// The names of `old` that `new` has too, each with the addresses that both give it; everything else as in `old`.
pub(crate) fn common_names(old: &DnsPlan, new: &DnsPlan) -> DnsPlan {
    let mut common = old.clone();
    for service in new.services.changes_since(&old.services) {
        match service.old.and_then(|old| common_service(old, service.new?)) {
            Some(in_common) if service.old != Some(&in_common) => {
                common.services.insert(service.key.clone(), in_common);
            }
            Some(_) => {}
            None => drop(common.services.remove(service.key)),
        }
    }
    for pod in new.pods.changes_since(&old.pods).filter(|pod| pod.new.is_none()) {
        common.pods.remove(pod.key);
    }
    common
}

fn common_service(old: &DnsService, new: &DnsService) -> Option<DnsService> {
    let kind = match (&old.kind, &new.kind) {
        (
            DnsServiceKind::ClusterIp { addresses: old, ports },
            DnsServiceKind::ClusterIp { addresses: new, ports: new_ports },
        ) => DnsServiceKind::ClusterIp {
            addresses: old.intersection(new).copied().collect(),
            ports: ports.iter().filter(|port| new_ports.contains(port)).cloned().collect(),
        },
        (DnsServiceKind::Headless { zones: old }, DnsServiceKind::Headless { zones: new }) => {
            let in_both = |(zone, addresses): (&String, &BTreeSet<IpAddr>)| {
                let both: BTreeSet<_> = new.get(zone)?.intersection(addresses).copied().collect();
                (!both.is_empty()).then(|| (zone.clone(), both))
            };
            DnsServiceKind::Headless { zones: old.iter().filter_map(in_both).collect() }
        }
        (old, new) if old == new => old.clone(),
        _ => return None,
    };
    let endpoints =
        old.endpoints.iter().filter(|endpoint| new.endpoints.contains(endpoint)).cloned().collect();
    Some(DnsService { kind, endpoints })
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::DnsEndpoint;
    use types::ServiceName;

    fn mk_address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn mk_cluster_ip(last: u8) -> DnsService {
        let addresses = BTreeSet::from([mk_address(last)]);
        DnsService { kind: DnsServiceKind::ClusterIp { addresses, ports: Vec::new() }, endpoints: Vec::new() }
    }

    fn mk_headless(last: &[u8]) -> DnsService {
        let endpoints = last
            .iter()
            .map(|last| DnsEndpoint {
                hostname: format!("h{last}"),
                address: mk_address(*last),
                ports: Vec::new(),
            })
            .collect();
        DnsService { kind: DnsServiceKind::headless(), endpoints }
    }

    fn mk_plan(services: &[(&str, DnsService)]) -> DnsPlan {
        let services =
            services.iter().map(|(name, service)| (ServiceName::new("shop", *name), service.clone()));
        DnsPlan { services: services.collect(), ..DnsPlan::default() }
    }

    #[test]
    fn between_two_plans_only_what_holds_under_both_is_answered() {
        let old = mk_plan(&[
            ("gone", mk_cluster_ip(1)),
            ("kept", mk_cluster_ip(2)),
            ("pods", mk_headless(&[3, 4])),
        ]);
        let new =
            mk_plan(&[("kept", mk_cluster_ip(2)), ("new", mk_cluster_ip(9)), ("pods", mk_headless(&[4, 5]))]);
        let expected = mk_plan(&[("kept", mk_cluster_ip(2)), ("pods", mk_headless(&[4]))]);
        assert_eq!(common_names(&old, &new), expected);
    }

    #[test]
    fn additions_alone_change_nothing_before_their_rules() {
        let old = mk_plan(&[("kept", mk_cluster_ip(2))]);
        let new = mk_plan(&[("kept", mk_cluster_ip(2)), ("new", mk_cluster_ip(9))]);
        assert_eq!(common_names(&old, &new), old);
    }

    #[test]
    fn an_endpoint_that_changes_its_zone_is_in_none_in_between() {
        let in_zones = |zones: &[(&str, &[u8])]| {
            let mut service = mk_headless(&[3, 4]);
            let addresses = |last: &[u8]| last.iter().map(|last| mk_address(*last)).collect();
            let zones = zones.iter().map(|(zone, last)| ((*zone).to_owned(), addresses(last))).collect();
            service.kind = DnsServiceKind::Headless { zones };
            mk_plan(&[("pods", service)])
        };
        let (old, new) = (in_zones(&[("a", &[3, 4])]), in_zones(&[("a", &[3]), ("b", &[4])]));
        assert_eq!(common_names(&old, &new), in_zones(&[("a", &[3])]));
    }

    #[test]
    fn a_service_that_changes_its_kind_is_not_answered_in_between() {
        let old = mk_plan(&[("web", mk_cluster_ip(2))]);
        let new = mk_plan(&[("web", mk_headless(&[3]))]);
        assert_eq!(common_names(&old, &new), mk_plan(&[]));
    }
}
