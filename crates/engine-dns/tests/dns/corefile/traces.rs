//! Who has a say about a question, for people.

use engine_dns::{RecordType, TraceEnd, Zone, trace};

use super::plan;
use crate::vectors::address;

const COREFILE: &str = ". {
    acl {
        filter type TXT
    }
    blocklist {
        ads.example
    }
    rewrite name shop.example web.shop.svc.cluster.local
    rewrite ttl suffix example.com 10
    template IN A ip.example {
        answer \"{{ .Name }} IN A 192.0.2.3\"
    }
    hosts {
        192.0.2.7 printer.example
        fallthrough
    }
    kubernetes cluster.local clusterset.example
    forward . 192.0.2.53 tls://192.0.2.54%dns.example
}";

/// Hops and end of each name that is asked, one line each.
fn told(name: &str, kind: RecordType, client: Option<&str>) -> Vec<String> {
    let zone = Zone::build(&plan(COREFILE));
    let client = client.map(|text| (address(text), "shop"));
    let traces = trace(&zone, name, kind, client).unwrap();
    let mut lines = Vec::new();
    for trace in traces {
        lines.push(trace.name.to_string());
        let hops = trace.hops.iter().filter(|hop| !hop.text.starts_with("the server block"));
        lines.extend(hops.map(|hop| format!("  {}: {}", hop.at, hop.text)));
        lines.push(match trace.end {
            TraceEnd::Answered(response) => format!("  {} {}", response.rcode, response.answers.join(", ")),
            TraceEnd::Asked(servers) => format!("  ask {}", servers.join(", ")),
            TraceEnd::Silence => "  silence".to_owned(),
        });
    }
    lines
}

#[test]
fn every_step_names_its_line() {
    let a = |name: &str| told(name, RecordType::A, None);
    assert_eq!(
        a("shop.example"),
        [
            "shop.example",
            "  Corefile:8: rewritten to web.shop.svc.cluster.local A",
            "  Corefile:17: Service shop/web spec.clusterIPs",
            "  0 shop.example 5 A 10.96.1.1"
        ]
    );
    assert_eq!(a("x.ads.example"), ["x.ads.example", "  Corefile:5: on a block list", "  3 "]);
    assert_eq!(
        told("web.shop.svc.cluster.local", RecordType::TXT, None)[1..],
        ["  Corefile:3: acl: filter", "  0 "]
    );
    assert_eq!(
        a("a.ip.example")[1..],
        ["  Corefile:10: a template is for it", "  0 a.ip.example 3600 A 192.0.2.3"]
    );
    assert_eq!(a("printer.example")[1], "  Corefile:13: a hosts entry is for it, or none may be elsewhere");
    assert_eq!(
        a("web.shop.svc.clusterset.example")[1..],
        [
            "  : a zone of the cluster beside the cluster domain: web.shop.svc.cluster.local",
            "  Corefile:17: Service shop/web spec.clusterIPs",
            "  0 web.shop.svc.clusterset.example 5 A 10.96.1.1"
        ]
    );
    assert_eq!(
        a("www.example.com")[1..],
        [
            "  Corefile:9: a rewrite changes the answer",
            "  Corefile:17: not in cluster.local: asked of the upstream servers",
            "  ask 192.0.2.53:53, tls://192.0.2.54:853 (dns.example)"
        ]
    );
}

#[test]
fn pods_search_and_others_do_not() {
    let lines = told("web.default", RecordType::A, Some("10.244.1.5"));
    let asked = lines.iter().filter(|line| !line.starts_with(' ')).collect::<Vec<_>>();
    assert_eq!(asked, ["web.default.shop.svc.cluster.local", "web.default.svc.cluster.local"]);
    assert_eq!(lines.last().unwrap(), "  0 web.default.svc.cluster.local 5 A 10.96.9.9");
    assert_eq!(told("web.default", RecordType::A, None)[0], "web.default");
}
