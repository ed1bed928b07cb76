//! Hosts and paths of requests to the HTTP entry.
#![no_main]

use engine_http::{RequestHead, RouteTable, Scheme, route};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|head: (&str, &str)| {
    let (host, path) = head;
    let (table, _) = RouteTable::build(&plan::GatewayPlan::default());
    let _ = route(&table, &RequestHead::get(Scheme::Http, host, path), 0);
});
