//! Services that another proxy serves: its rules come after ours, and our table lets their addresses be.

use netns::world;
use types::{IpFamily, NamespacedName};

use crate::fixture::{Answer, From, Lab, PORT, load};
use crate::table::nft;

/// SD18: another program's table translates an address that our plan only knows of.
fn is_left_to_the_other(lab: &Lab) {
    let at = &lab.at;
    let (ip, to) = match at.unused_ip.is_ipv4() {
        true => ("ip", format!("{}:{PORT}", at.pods[1])),
        false => ("ip6", format!("[{}]:{PORT}", at.pods[1])),
    };
    let chain = |hook| {
        format!(
            "chain {hook} {{\ntype nat hook {hook} priority -90\n{ip} daddr {} tcp dport 80 dnat {ip} to {to}\n}}\n",
            at.unused_ip
        )
    };
    let rules = format!("table inet other {{\n{}{}}}", chain("prerouting"), chain("output"));
    if nft(lab, &[&rules]).is_none() {
        println!("sealane-skip: another proxy serves: no program `nft`");
        return;
    }
    let mut table = lab.nft();
    let mut plan = lab.plan();
    load(&mut table, &plan);
    let everybody = [From::Pod(1), From::Node, From::Outside];
    for from in everybody {
        let answer = lab.tcp(from, at.unused_ip, 80);
        assert!(!matches!(answer, Answer::Reached { .. }), "while no Service has the address: {answer:?}");
    }
    let service = NamespacedName::new("default", "foreign");
    plan.services.served_elsewhere.insert(at.unused_ip, [service].into());
    load(&mut table, &plan);
    for from in everybody {
        assert_eq!(lab.tcp(from, at.unused_ip, 80).server(), "pod-2", "{from:?}");
    }
    plan.services.served_elsewhere.remove(&at.unused_ip);
    load(&mut table, &plan);
    let answer = lab.tcp(From::Pod(1), at.unused_ip, 80);
    assert_eq!(answer, Answer::Silence, "the Service is gone");
}

#[test]
fn services_of_another_proxy_are_left_to_it() {
    world::test(|| is_left_to_the_other(&Lab::new(IpFamily::V4)));
}

#[test]
fn services_of_another_proxy_are_left_to_it_over_ipv6() {
    world::test(|| is_left_to_the_other(&Lab::new(IpFamily::V6)));
}
