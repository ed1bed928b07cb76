//! Query packets to the cluster's DNS, by itself and with steps before and after its look-ups.
#![no_main]

use std::net::IpAddr;
use std::sync::LazyLock;

use engine_corefile::{Sources, read};
use engine_dns::{Limits, Transport, Zone, answer};
use libfuzzer_sys::fuzz_target;

const COREFILE: &str = ". {
    acl {
        filter type TXT
    }
    blocklist 0.0.0.0 {
        a
    }
    rewrite name substring b c.d answer auto
    rewrite name regex (.*)\\.e (1).svc.cluster.local answer auto
    autopath @kubernetes
    template IN ANY f {
        match ^(.*)$
        answer \"{{ .Name }} IN CNAME {{ index .Match 1 }}\"
        fallthrough
    }
    hosts {
        10.0.0.1 g
        fallthrough
    }
    kubernetes cluster.local h in-addr.arpa {
        pods insecure
        zonal
    }
    forward . 192.0.2.1
}";

/// Made once: that takes a thousand times as long as an answer.
static ZONES: LazyLock<[Zone; 2]> = LazyLock::new(|| {
    let settings = read(&Sources { corefile: COREFILE.to_owned(), ..Sources::default() }).settings;
    let mut plan = plan::DnsPlan { cluster_domain: "cluster.local".to_owned(), ..Default::default() };
    let address = IpAddr::from([10, 244, 0, 1]);
    let zones = [("a.b".to_owned(), [address].into())].into();
    let endpoint = plan::DnsEndpoint { hostname: "a".to_owned(), address, ports: Vec::new() };
    let service = plan::DnsService { kind: plan::DnsServiceKind::Headless { zones }, endpoints: vec![endpoint] };
    plan.services.insert(types::ServiceName::new("a", "a"), service);
    let with_steps = plan::DnsPlan { settings: settings.unwrap_or_default().into(), ..plan.clone() };
    [Zone::build(&plan), Zone::build(&with_steps)]
});

fuzz_target!(|packet: &[u8]| {
    let mut out = Vec::new();
    for zone in &*ZONES {
        for transport in [Transport::Udp, Transport::Tcp] {
            let limits = Limits { transport, client: None, udp_payload: 1232, draw: 7 };
            let _ = answer(zone, packet, limits, &mut out);
        }
    }
});
