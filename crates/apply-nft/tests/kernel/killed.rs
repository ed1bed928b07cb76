//! A converge that is killed at any of its steps: the next process finishes it, and traffic goes on meanwhile.

use netns::world::{self, Ending, killed_at};
use plan::{FrontendScope, NodePlan, SourceAddress};
use sealane_apply_nft::Nft;
use types::IpFamily;

use crate::fixture::{Client, From, Lab, expose, load};
use crate::table::full_plan;

/// More steps than a converge has.
const MOST_STEPS: usize = 500;

/// Goes from one plan to the other, killed at every step; returns how many there were.
fn kill_everywhere(lab: &Lab, (from, to): (&NodePlan, &NodePlan), look: impl Fn(&str)) -> usize {
    let (from, to) = (ruleset::render(from), ruleset::render(to));
    let converge = |nft: &mut Nft, desired| {
        let report = nft.converge(desired);
        assert_eq!(report.failures, []);
        report.written
    };
    let nft = &mut lab.nft();
    for at in 1..MOST_STEPS {
        converge(nft, &from);
        let to_the_end = || i32::from(!Nft::open().unwrap().converge(&to).failures.is_empty());
        let ending = killed_at(at, || lab.in_node(to_the_end)).unwrap();
        look(&format!("killed at {at}"));
        let written = converge(nft, &to);
        if let Ending::Done(status) = ending {
            assert_eq!((status, written), (0, 0));
            return at - 1;
        }
    }
    panic!("it never came to its end");
}

#[test]
fn rules_killed_at_any_step_are_finished_by_the_next_process() {
    world::test(|| {
        let lab = Lab::new(IpFamily::V4);
        let at = &lab.at;
        let all = lab.forward(&[1, 2], SourceAddress::KeptForPods);
        let mut less = lab.plan();
        expose(&mut less, (FrontendScope::ClusterIp, Some(at.cluster_ip), 80), all.clone(), all.clone());
        let mut more = full_plan(&lab);
        expose(&mut more, (FrontendScope::ClusterIp, Some(at.cluster_ip), 80), all.clone(), all);
        // Of the Pod that the fuller plan isolates, nothing is asked here.
        let client = Client::open(&lab, From::Pod(3), at.pods[1], crate::fixture::PORT);
        load(&mut lab.nft(), &less);
        let look = |when: &str| {
            assert_eq!(client.ask().server(), "pod-2", "{when}");
            let server = lab.tcp(From::Outside, at.pods[1], crate::fixture::PORT).server();
            assert_eq!(server, "pod-2", "{when}");
        };
        let steps = kill_everywhere(&lab, (&less, &more), look);
        assert!(steps > 20, "{steps} steps");
        load(&mut lab.nft(), &more);
    });
}
