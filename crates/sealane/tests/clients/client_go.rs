//! The Go program beside this file: informers, leader election and the rest of what controllers use of client-go.

use crate::bed::can_run;
use crate::lab::Lab;
use crate::tools;

/// Checks whose informers are run a second time without WatchList, as client-go before 0.35 did.
const AGAIN: &str = "informer informer-relists informer-metadata workqueue-controller";

#[test]
fn client_go_does_not_notice() {
    let test = "client_go_does_not_notice";
    let Some(program) = tools::find(test, "client-go").filter(|_| can_run(test)) else { return };
    let lab = Lab::up_again(test);
    lab.prepare("charts", &[("client-go", &program)]);
    let first = lab.shell("client-go $(client-go list)");
    let again = lab.shell(&format!("KUBE_FEATURE_WatchListClient=false client-go {AGAIN}"));
    assert_eq!((first.code, again.code), (Some(0), Some(0)), "{}\n{}", first.out, again.out);
}
