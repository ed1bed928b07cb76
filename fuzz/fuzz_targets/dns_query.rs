//! Query packets to the cluster's DNS.
#![no_main]

use engine_dns::{Limits, Transport, Zone, answer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| {
    let zone = Zone::build(&plan::DnsPlan { cluster_domain: "cluster.local".to_owned(), ..Default::default() });
    let mut out = Vec::new();
    for transport in [Transport::Udp, Transport::Tcp] {
        let limits = Limits { transport, client: None, udp_payload: 1232, draw: 7 };
        let _ = answer(&zone, packet, limits, &mut out);
    }
});
