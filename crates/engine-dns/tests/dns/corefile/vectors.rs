//! Questions and answers by Corefile.

use engine_dns::{Answer, Keep, Limits, Zone, answer, query_record, resume, without_edns};

use super::{ask, plan};
use crate::vectors::{TCP, UDP};
use crate::wire::{decode, query};

const SOA: &str = "SOA ns.dns.cluster.local. hostmaster.cluster.local. min=5";

/// Asks each question and compares its answer; `SOA` in an answer stands for the cluster domain's.
fn check(corefile: &str, vectors: &[(&str, &str)]) {
    let zone = Zone::build(&plan(corefile));
    for (question, expected) in vectors {
        let expected = expected.replace("(SOA)", SOA);
        assert_eq!(ask(&zone, question), expected, "{question} with {corefile}");
    }
}

#[test]
fn kubernetes_with_pods_that_are_taken_at_their_word() {
    check(
        ". {\n kubernetes cluster.local in-addr.arpa ip6.arpa {\n pods insecure\n fallthrough in-addr.arpa ip6.arpa\n }\n forward . 192.0.2.53\n}",
        &[
            ("web.shop.svc.cluster.local A", "NOERROR; web.shop.svc.cluster.local. 5 A 10.96.1.1"),
            ("10-1-2-3.shop.pod.cluster.local A", "NOERROR; 10-1-2-3.shop.pod.cluster.local. 5 A 10.1.2.3"),
            ("10-1-2-3.shop.pod.cluster.local AAAA", "NOERROR; authority cluster.local. 5 (SOA)"),
            (
                "fd00--7.shop.pod.cluster.local AAAA",
                "NOERROR; fd00--7.shop.pod.cluster.local. 5 AAAA fd00::7",
            ),
            (
                "10-1-2-3.nowhere.pod.cluster.local A",
                "NXDOMAIN; authority cluster.local. 5 (SOA); error 0 Namespace nowhere does not exist",
            ),
            (
                "10-1-2.shop.pod.cluster.local A",
                "NXDOMAIN; authority cluster.local. 5 (SOA); error 0 no Pod of Namespace shop has the address 10-1-2",
            ),
            ("shop.pod.cluster.local A", "NOERROR; authority cluster.local. 5 (SOA)"),
            // Reverse names of the cluster are answered, all others asked.
            (
                "1.1.96.10.in-addr.arpa PTR",
                "NOERROR; 1.1.96.10.in-addr.arpa. 5 PTR web.shop.svc.cluster.local.",
            ),
            ("200.200.96.10.in-addr.arpa PTR", "NXDOMAIN"),
            ("1.2.0.192.in-addr.arpa PTR", "NXDOMAIN"),
        ],
    );
}

#[test]
fn kubernetes_without_pods_and_without_fallthrough() {
    check(
        ". {\n kubernetes cluster.local in-addr.arpa\n forward . 192.0.2.53\n}",
        &[
            (
                "10-244-1-5.shop.pod.cluster.local A",
                "NXDOMAIN; authority cluster.local. 5 (SOA); error 0 no Pod of Namespace shop has the address 10-244-1-5",
            ),
            (
                "1.2.0.192.in-addr.arpa PTR",
                "NXDOMAIN; authority in-addr.arpa. 5 (SOA); error 0 192.0.2.1 is in the cluster's ranges, and no Service or endpoint has it",
            ),
            // Its zone is not named, so others are asked.
            ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR", "NXDOMAIN"),
            ("www.example.com A", "NOERROR; www.example.com. 300 A 192.0.2.80"),
        ],
    );
    check(
        "cluster.local {\n kubernetes {\n fallthrough\n }\n forward . 192.0.2.53\n}",
        &[
            ("nothing.shop.svc.cluster.local A", "NXDOMAIN"),
            ("web.shop.svc.cluster.local A", "NOERROR; web.shop.svc.cluster.local. 5 A 10.96.1.1"),
            ("www.example.com A", "REFUSED"),
        ],
    );
}

#[test]
fn names_are_only_those_of_blocks_with_kubernetes() {
    check(
        "cluster.local {\n forward . 192.0.2.53\n}\n. {\n kubernetes cluster.local\n}",
        &[
            ("web.shop.svc.cluster.local A", "NXDOMAIN"),
            ("www.example.com A", "SERVFAIL; error 22 no upstream server is known for this name"),
        ],
    );
}

/// CoreDNS, `plugin/kubernetes/zonal_test.go`, in our words, and what its README says beyond that.
#[test]
fn kubernetes_with_names_of_topology_zones() {
    let nowhere = "error 0 no ready endpoint of Service shop/shard is in zone us-west-2c; there are some in corp.example.com, us-west-2a, us-west-2b";
    let nodata = format!("NOERROR; authority cluster.local. 5 (SOA); {nowhere}");
    let all = |name: &str| {
        let ips = ["10.244.1.10", "10.244.2.10", "10.244.2.11", "10.244.3.10"];
        ips.iter().fold("NOERROR".to_owned(), |text, ip| format!("{text}; {name}. 5 A {ip}"))
    };
    let prefer = "us-west-2c.prefer._zone.shard.shop.svc.cluster.local";
    let pin = |kind: &str| format!("us-west-2c.pin._zone.shard.shop.svc.cluster.local {kind}");
    check(
        ". {\n kubernetes cluster.local {\n zonal\n }\n}",
        &[
            // The endpoints in the zone and no others, whichever the directive.
            (
                "us-west-2a.pin._zone.shard.shop.svc.cluster.local A",
                "NOERROR; us-west-2a.pin._zone.shard.shop.svc.cluster.local. 5 A 10.244.1.10",
            ),
            (
                "us-west-2b.pin._zone.shard.shop.svc.cluster.local A",
                "NOERROR; us-west-2b.pin._zone.shard.shop.svc.cluster.local. 5 A 10.244.2.10; \
                 us-west-2b.pin._zone.shard.shop.svc.cluster.local. 5 A 10.244.2.11",
            ),
            (
                "us-west-2a.prefer._zone.shard.shop.svc.cluster.local A",
                "NOERROR; us-west-2a.prefer._zone.shard.shop.svc.cluster.local. 5 A 10.244.1.10",
            ),
            (
                "US-west-2A.Pin._ZONE.shard.shop.svc.cluster.local A",
                "NOERROR; US-west-2A.Pin._ZONE.shard.shop.svc.cluster.local. 5 A 10.244.1.10",
            ),
            // The names of zones may have dots; an address of the other family is none.
            (
                "corp.example.com.pin._zone.shard.shop.svc.cluster.local AAAA",
                "NOERROR; corp.example.com.pin._zone.shard.shop.svc.cluster.local. 5 AAAA fd00:10:244::a",
            ),
            (
                "corp.example.com.prefer._zone.shard.shop.svc.cluster.local A",
                "NOERROR; authority cluster.local. 5 (SOA)",
            ),
            // A zone without endpoints: none of any type, or all.
            (&pin("A"), &nodata),
            (&pin("AAAA"), &nodata),
            (&pin("SRV"), &nodata),
            (&pin("TXT"), &nodata),
            (&format!("{prefer} A"), &all(prefer)),
            (&format!("{prefer} TXT"), "NOERROR; authority cluster.local. 5 (SOA)"),
            (
                "example.com.prefer._zone.shard.shop.svc.cluster.local A",
                &all("example.com.prefer._zone.shard.shop.svc.cluster.local"),
            ),
            (
                "corp.example.com.pin._zone.db.shop.svc.cluster.local A",
                "NOERROR; authority cluster.local. 5 (SOA); \
                 error 0 no ready endpoint of Service shop/db is in zone corp.example.com, nor in any other",
            ),
            // SRV records of the zone; an endpoint's name has an address in another zone, too, that is not added.
            (
                "us-west-2a.pin._zone.shard.shop.svc.cluster.local SRV",
                "NOERROR; us-west-2a.pin._zone.shard.shop.svc.cluster.local. 5 SRV 0 100 9042 s.shard.shop.svc.cluster.local.; \
                 additional s.shard.shop.svc.cluster.local. 5 A 10.244.1.10",
            ),
            (
                "us-west-2b.prefer._zone.shard.shop.svc.cluster.local SRV",
                "NOERROR; us-west-2b.prefer._zone.shard.shop.svc.cluster.local. 5 SRV 0 50 9042 s.shard.shop.svc.cluster.local.; \
                 us-west-2b.prefer._zone.shard.shop.svc.cluster.local. 5 SRV 0 50 9042 t.shard.shop.svc.cluster.local.; \
                 additional s.shard.shop.svc.cluster.local. 5 A 10.244.2.10; \
                 additional t.shard.shop.svc.cluster.local. 5 A 10.244.2.11",
            ),
            (
                &format!("{prefer} SRV"),
                &format!(
                    "NOERROR; {prefer}. 5 SRV 0 50 9042 s.shard.shop.svc.cluster.local.; \
                     {prefer}. 5 SRV 0 50 9042 t.shard.shop.svc.cluster.local.; \
                     additional s.shard.shop.svc.cluster.local. 5 A 10.244.1.10; \
                     additional s.shard.shop.svc.cluster.local. 5 A 10.244.2.10; \
                     additional t.shard.shop.svc.cluster.local. 5 A 10.244.2.11"
                ),
            ),
            // The Service's own names are as ever.
            ("shard.shop.svc.cluster.local A", &all("shard.shop.svc.cluster.local")),
            ("t.shard.shop.svc.cluster.local A", "NOERROR; t.shard.shop.svc.cluster.local. 5 A 10.244.2.11"),
        ],
    );
}

#[test]
fn names_of_topology_zones_are_those_of_headless_services() {
    check(
        ". {\n kubernetes cluster.local {\n zonal\n }\n}",
        &[
            // A headless Service without any endpoint has no name of its own, and nothing in any zone.
            (
                "waiting.shop.svc.cluster.local A",
                "NXDOMAIN; authority cluster.local. 5 (SOA); \
                 error 0 Service shop/waiting is headless and has no ready endpoint, so its name does not exist",
            ),
            (
                "us-west-2a.pin._zone.waiting.shop.svc.cluster.local A",
                "NOERROR; authority cluster.local. 5 (SOA); \
                 error 0 no ready endpoint of Service shop/waiting is in zone us-west-2a, nor in any other",
            ),
            (
                "us-west-2a.prefer._zone.waiting.shop.svc.cluster.local A",
                "NOERROR; authority cluster.local. 5 (SOA); \
                 error 0 no ready endpoint of Service shop/waiting is in zone us-west-2a, nor in any other",
            ),
            // What there is no name for.
            (
                "us-west-2a.pin._zone.ghost.shop.svc.cluster.local A",
                "NXDOMAIN; authority cluster.local. 5 (SOA); error 0 Service ghost does not exist in Namespace shop",
            ),
            (
                "us-west-2a.pin._zone.shard.nowhere.svc.cluster.local A",
                "NXDOMAIN; authority cluster.local. 5 (SOA); error 0 Namespace nowhere does not exist",
            ),
            (
                "us-west-2a.pin._zone.web.shop.svc.cluster.local A",
                "NXDOMAIN; authority cluster.local. 5 (SOA); \
                 error 0 Service shop/web is not headless, and only headless Services have names of a zone",
            ),
            (
                "us-west-2a.prefer._zone.alias.shop.svc.cluster.local A",
                "NXDOMAIN; authority cluster.local. 5 (SOA); \
                 error 0 Service shop/alias is not headless, and only headless Services have names of a zone",
            ),
            (
                "us-west-2a.florp._zone.shard.shop.svc.cluster.local A",
                "NXDOMAIN; authority cluster.local. 5 (SOA); error 0 not the form of any name of the cluster domain",
            ),
            (
                "us-west-2a.pin.zone.shard.shop.svc.cluster.local A",
                "NXDOMAIN; authority cluster.local. 5 (SOA); error 0 not the form of any name of the cluster domain",
            ),
            (
                "us-west-2a.pin._zone.shard.shop.pod.cluster.local A",
                "NXDOMAIN; authority cluster.local. 5 (SOA); error 0 not the form of any name of the cluster domain",
            ),
            // There are names below these (RFC 8020).
            ("_zone.shard.shop.svc.cluster.local A", "NOERROR; authority cluster.local. 5 (SOA)"),
            ("pin._zone.shard.shop.svc.cluster.local A", "NOERROR; authority cluster.local. 5 (SOA)"),
        ],
    );
}

#[test]
fn names_of_topology_zones_are_those_of_blocks_that_say_so() {
    check(
        "cluster.local {\n kubernetes\n}\n. {\n kubernetes cluster.local {\n zonal\n }\n}",
        &[
            (
                "us-west-2a.pin._zone.shard.shop.svc.cluster.local A",
                "NXDOMAIN; authority cluster.local. 5 (SOA); \
                 error 0 names of a zone are not answered: the section kubernetes of the Corefile does not say `zonal`",
            ),
            (
                "_zone.shard.shop.svc.cluster.local A",
                "NXDOMAIN; authority cluster.local. 5 (SOA); error 0 Service shop/shard has no ready endpoint named _zone",
            ),
        ],
    );
    check(
        "cluster.local {\n kubernetes {\n zonal\n fallthrough\n }\n forward . 192.0.2.53\n}",
        &[
            // A Service that is not there may be elsewhere; an empty zone is not.
            ("us-west-2a.pin._zone.ghost.shop.svc.cluster.local A", "NXDOMAIN"),
            (
                "us-west-2c.pin._zone.db.shop.svc.cluster.local A",
                "NOERROR; authority cluster.local. 5 (SOA); \
                 error 0 no ready endpoint of Service shop/db is in zone us-west-2c, nor in any other",
            ),
        ],
    );
    check(
        ". {\n kubernetes cluster.local clusterset.example {\n zonal\n }\n}",
        &[(
            "us-west-2a.pin._zone.shard.shop.svc.clusterset.example SRV",
            "NOERROR; us-west-2a.pin._zone.shard.shop.svc.clusterset.example. 5 SRV 0 100 9042 s.shard.shop.svc.clusterset.example.; \
             additional s.shard.shop.svc.clusterset.example. 5 A 10.244.1.10",
        )],
    );
}

#[test]
fn kubernetes_with_some_namespaces() {
    let hidden = "names of Namespace shop are not answered: the section kubernetes of the Corefile says of which they are";
    let nxdomain = format!("NXDOMAIN; authority cluster.local. 5 (SOA); error 0 {hidden}");
    check(
        ". {\n kubernetes cluster.local in-addr.arpa {\n pods insecure\n namespaces default nowhere\n }\n}",
        &[
            ("web.default.svc.cluster.local A", "NOERROR; web.default.svc.cluster.local. 5 A 10.96.9.9"),
            ("web.shop.svc.cluster.local A", &nxdomain),
            ("_http._tcp.web.shop.svc.cluster.local SRV", &nxdomain),
            ("db-0.db.shop.svc.cluster.local A", &nxdomain),
            ("alias.shop.svc.cluster.local CNAME", &nxdomain),
            ("shop.svc.cluster.local A", &nxdomain),
            ("10-1-2-3.shop.pod.cluster.local A", &nxdomain),
            (
                "10-1-2-3.default.pod.cluster.local A",
                "NOERROR; 10-1-2-3.default.pod.cluster.local. 5 A 10.1.2.3",
            ),
            ("default.svc.cluster.local A", "NOERROR; authority cluster.local. 5 (SOA)"),
            ("svc.cluster.local A", "NOERROR; authority cluster.local. 5 (SOA)"),
            (
                "web.nowhere.svc.cluster.local A",
                "NXDOMAIN; authority cluster.local. 5 (SOA); error 0 Namespace nowhere does not exist",
            ),
            (
                "9.9.96.10.in-addr.arpa PTR",
                "NOERROR; 9.9.96.10.in-addr.arpa. 5 PTR web.default.svc.cluster.local.",
            ),
            // Neither the address of a Service nor that of an endpoint leads to a name that there is not.
            (
                "1.1.96.10.in-addr.arpa PTR",
                "NXDOMAIN; authority in-addr.arpa. 5 (SOA); \
                 error 0 10.96.1.1 is in the cluster's ranges, and no Service or endpoint has it",
            ),
            (
                "7.1.244.10.in-addr.arpa PTR",
                "NXDOMAIN; authority in-addr.arpa. 5 (SOA); \
                 error 0 10.244.1.7 is in the cluster's ranges, and no Service or endpoint has it",
            ),
        ],
    );
}

/// CoreDNS, `plugin/kubernetes/handler_ignore_emptyservice_test.go`, in our words, and what its code says beyond that.
#[test]
fn kubernetes_without_empty_services() {
    let empty = "NXDOMAIN; authority cluster.local. 5 (SOA); error 0 Service shop/idle has no ready endpoint, \
                 and the section kubernetes of the Corefile says `ignore empty_service`";
    check(
        ". {\n kubernetes cluster.local in-addr.arpa {\n ignore empty_service\n }\n}",
        &[
            ("idle.shop.svc.cluster.local A", empty),
            ("idle.shop.svc.cluster.local AAAA", empty),
            ("_http._tcp.idle.shop.svc.cluster.local SRV", empty),
            ("web.shop.svc.cluster.local A", "NOERROR; web.shop.svc.cluster.local. 5 A 10.96.1.1"),
            ("db.shop.svc.cluster.local AAAA", "NOERROR; db.shop.svc.cluster.local. 5 AAAA fd00:10:244::7"),
            (
                "out.shop.svc.cluster.local CNAME",
                "NOERROR; out.shop.svc.cluster.local. 5 CNAME www.example.com.",
            ),
            // Its address has its name all the same.
            (
                "2.1.96.10.in-addr.arpa PTR",
                "NOERROR; 2.1.96.10.in-addr.arpa. 5 PTR idle.shop.svc.cluster.local.",
            ),
        ],
    );
    check(
        ". {\n kubernetes cluster.local {\n ignore empty_service\n fallthrough\n }\n forward . 192.0.2.53\n}",
        &[("idle.shop.svc.cluster.local A", "NXDOMAIN")],
    );
}

#[test]
fn the_cluster_has_several_zones() {
    check(
        ". {\n kubernetes cluster.local clusterset.example\n forward . 192.0.2.53\n}",
        &[
            ("web.shop.svc.clusterset.example A", "NOERROR; web.shop.svc.clusterset.example. 5 A 10.96.1.1"),
            ("web.shop.svc.cluster.local A", "NOERROR; web.shop.svc.cluster.local. 5 A 10.96.1.1"),
            (
                "_http._tcp.web.shop.svc.clusterset.example SRV",
                "NOERROR; _http._tcp.web.shop.svc.clusterset.example. 5 SRV 0 100 80 web.shop.svc.clusterset.example.; \
                 additional web.shop.svc.clusterset.example. 5 A 10.96.1.1; \
                 additional web.shop.svc.clusterset.example. 5 AAAA fd00:10:96::101",
            ),
            (
                "nothing.shop.svc.clusterset.example A",
                "NXDOMAIN; authority clusterset.example. 5 SOA ns.dns.clusterset.example. hostmaster.cluster.local. min=5; \
                 error 0 Service nothing does not exist in Namespace shop",
            ),
            (
                "alias.shop.svc.clusterset.example A",
                "NOERROR; alias.shop.svc.clusterset.example. 5 CNAME web.shop.svc.cluster.local.; \
                 web.shop.svc.cluster.local. 5 A 10.96.1.1",
            ),
            (
                "clusterset.example NS",
                "NOERROR; clusterset.example. 5 NS ns.dns.clusterset.example.; additional ns.dns.clusterset.example. 5 A 10.96.0.10",
            ),
        ],
    );
}

#[test]
fn hosts_answer_before_the_cluster_and_others() {
    check(
        ". {\n hosts {\n 192.0.2.7 one.example\n 192.0.2.8 one.example two.example\n 2001:db8::7 one.example\n \
         192.0.2.9 web.shop.svc.cluster.local\n ttl 60\n fallthrough\n }\n kubernetes cluster.local\n forward . 192.0.2.53\n}",
        &[
            ("one.example A", "NOERROR; one.example. 60 A 192.0.2.7; one.example. 60 A 192.0.2.8"),
            ("One.Example AAAA", "NOERROR; One.Example. 60 AAAA 2001:db8::7"),
            // The name exists, so there is no fallthrough: no record, and no SOA either.
            ("two.example AAAA", "NOERROR"),
            ("two.example MX", "NOERROR"),
            (
                "8.2.0.192.in-addr.arpa PTR",
                "NOERROR; 8.2.0.192.in-addr.arpa. 60 PTR one.example.; 8.2.0.192.in-addr.arpa. 60 PTR two.example.",
            ),
            ("9.9.0.192.in-addr.arpa PTR", "NXDOMAIN"),
            ("web.shop.svc.cluster.local A", "NOERROR; web.shop.svc.cluster.local. 60 A 192.0.2.9"),
            ("www.example.com A", "NOERROR; www.example.com. 300 A 192.0.2.80"),
        ],
    );
    check(
        "example {\n hosts {\n 192.0.2.7 one.example\n no_reverse\n }\n}",
        &[
            ("two.example A", "SERVFAIL; error 0 no entry in Corefile:2 (hosts)"),
            ("one.example A", "NOERROR; one.example. 3600 A 192.0.2.7"),
        ],
    );
    check(
        ". {\n hosts {\n 192.0.2.7 www.example.com\n fallthrough example.com\n }\n forward . 192.0.2.53\n}",
        &[
            ("api.example.com A", "NOERROR; api.example.com. 300 A 192.0.2.81"),
            ("backend.example.net A", "SERVFAIL; error 0 no entry in Corefile:2 (hosts)"),
        ],
    );
}

#[test]
fn names_are_rewritten_and_back() {
    check(
        ". {
            rewrite name shop.example web.shop.svc.cluster.local
            rewrite name suffix .cluster.example .svc.cluster.local answer auto
            rewrite name prefix old. api. answer auto
            rewrite name regex (.*)\\.short\\.example {1}.shop.svc.cluster.local answer auto
            rewrite stop {
                name regex (.*)-east\\.example\\.com {1}.example.net
                answer name (.*)\\.example\\.net {1}-east.example.com
                answer value (.*)\\.example\\.net {1}-east.example.com
            }
            rewrite name substring middle.example example.com
            rewrite name suffix .silent.example .example.com
            kubernetes cluster.local
            forward . 192.0.2.53
        }",
        &[
            ("shop.example A", "NOERROR; shop.example. 5 A 10.96.1.1"),
            ("Shop.Example A", "NOERROR; Shop.Example. 5 A 10.96.1.1"),
            ("shop.example TXT", "NOERROR; authority cluster.local. 5 (SOA)"),
            ("web.shop.cluster.example A", "NOERROR; web.shop.cluster.example. 5 A 10.96.1.1"),
            // The values of answers come back as well.
            (
                "alias.shop.cluster.example A",
                "NOERROR; alias.shop.cluster.example. 5 CNAME web.shop.cluster.example.; web.shop.cluster.example. 5 A 10.96.1.1",
            ),
            (
                "_http._tcp.web.shop.cluster.example SRV",
                "NOERROR; _http._tcp.web.shop.cluster.example. 5 SRV 0 100 80 web.shop.cluster.example.; \
                 additional web.shop.cluster.example. 5 A 10.96.1.1; additional web.shop.cluster.example. 5 AAAA fd00:10:96::101",
            ),
            ("old.example.com A", "NOERROR; old.example.com. 300 A 192.0.2.81"),
            ("web.short.example A", "NOERROR; web.short.example. 5 A 10.96.1.1"),
            (
                "long.name.that.is.longer-east.example.com A",
                "NOERROR; long.name.that.is.longer-east.example.com. 300 CNAME backend-east.example.com.",
            ),
            ("backend-east.example.com A", "NOERROR; backend-east.example.com. 300 A 192.0.2.90"),
            // Without `answer`, only the question is changed back.
            ("www.middle.example A", "NOERROR; www.example.com. 300 A 192.0.2.80"),
            ("www.silent.example A", "NOERROR; www.example.com. 300 A 192.0.2.80"),
            (
                "nothing.short.example A",
                "NXDOMAIN; authority cluster.local. 5 (SOA); error 0 Service nothing does not exist in Namespace shop",
            ),
        ],
    );
}

#[test]
fn rules_go_on_or_stop_and_change_types_times_and_codes() {
    check(
        ". {
            rewrite continue name first.example second.example
            rewrite name second.example www.example.com
            rewrite name www.example.com never.example
            rewrite type ANY A
            rewrite continue ttl suffix cluster.local 30-60
            rewrite rcode suffix svc.cluster.local NXDOMAIN NOERROR
            rewrite ttl exact api.example.com -10
            rewrite rcode odd.example.com SERVFAIL NXDOMAIN
            kubernetes cluster.local
            forward . 192.0.2.53
        }",
        &[
            ("first.example A", "NOERROR; first.example. 300 A 192.0.2.80"),
            ("second.example A", "NOERROR; second.example. 300 A 192.0.2.80"),
            ("backend.example.net ANY", "NOERROR; backend.example.net. 300 A 192.0.2.90"),
            ("web.shop.svc.cluster.local A", "NOERROR; web.shop.svc.cluster.local. 30 A 10.96.1.1"),
            (
                "nothing.shop.svc.cluster.local A",
                "NOERROR; authority cluster.local. 30 (SOA); error 0 Service nothing does not exist in Namespace shop",
            ),
            ("api.example.com A", "NOERROR; api.example.com. 10 A 192.0.2.81"),
            ("odd.example.com A", "NXDOMAIN"),
        ],
    );
    check(
        ". {\n rewrite name regex (.*) {1}{1}{1}{1}{1}{1}{1}{1}\n forward . 192.0.2.53\n}",
        &[(
            "a.name.that.is.rather.long.example.com A",
            "SERVFAIL; error 0 a rewrite made a name that cannot be",
        )],
    );
}

#[test]
fn templates_make_records_of_names() {
    check(
        ". {
            template IN A ip.example {
                match ^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)-([0-9]+)-([0-9]+)[.]ip[.]example[.]$
                answer \"{{ .Name }} 60 {{ .Class }} {{ .Type }} {{ .Group.a }}.{{ .Group.b }}.{{ index .Match 3 }}.{{ index .Match 4 }}\"
                fallthrough
            }
            template IN MX ip.example {
                answer \"{{ .Name }} IN MX 10 mail.{{ .Zone }}\"
                additional \"mail.{{ .Zone }} 60 IN A 192.0.2.25\"
                authority \"{{ .Zone }} 60 IN NS ns.{{ .Zone }}\"
            }
            template ANY ANY gone.example {
                rcode NXDOMAIN
                authority \"gone.example 60 IN SOA ns.gone.example x.gone.example 1 2 3 4 5\"
                ederror 15 \"gone for good\"
            }
            template IN TXT strict.example {
                match ^only[.]strict[.]example[.]$
                answer \"{{ .Name }} 60 IN TXT \\\"a b\\\"\"
            }
            template IN AAAA bad.example {
                answer \"{{ .Name }} IN AAAA nonsense\"
            }
            template IN CNAME,A x {
            }
            kubernetes cluster.local
            forward . 192.0.2.53
        }"
        .replace("            template IN CNAME,A x {\n            }\n", "")
        .as_str(),
        &[
            ("ip-10-0-0-1.ip.example A", "NOERROR; ip-10-0-0-1.ip.example. 60 A 10.0.0.1"),
            ("ip-999-0-0-1.ip.example A", "SERVFAIL; error 0 Corefile:2 (template) gives no record"),
            ("other.ip.example A", "NXDOMAIN"),
            ("a.ip.example MX", "NOERROR; a.ip.example. 3600 TYPE15 [00, 0a, 04, 6d, 61, 69, 6c, c0, 0e]; authority ip.example. 60 NS ns.ip.example.; additional mail.ip.example. 60 A 192.0.2.25"),
            ("a.gone.example A", "NXDOMAIN; authority gone.example. 60 SOA ns.gone.example. x.gone.example. min=5; error 15 gone for good"),
            ("only.strict.example TXT", "NOERROR; only.strict.example. 60 TXT a b"),
            ("not.strict.example TXT", "SERVFAIL; error 0 matches no pattern of Corefile:17 (template)"),
            ("not.strict.example A", "NXDOMAIN"),
            ("bad.example AAAA", "SERVFAIL; error 0 Corefile:21 (template) gives no record"),
            ("web.shop.svc.cluster.local A", "NOERROR; web.shop.svc.cluster.local. 5 A 10.96.1.1"),
        ],
    );
}

#[test]
fn clients_are_let_in_or_not() {
    check(
        ". {
            acl corp.example {
                allow net 10.244.1.5
                block
            }
            acl {
                filter type TXT
                drop net 192.0.2.0/24
                block type AAAA net fd00::/8 10.244.2.0/24
            }
            kubernetes cluster.local
            forward . 192.0.2.53
        }",
        &[
            ("web.corp.example A from 10.244.1.5", "NOERROR; web.corp.example. 300 A 192.0.2.99"),
            ("web.corp.example TXT from 10.244.1.5", "NOERROR"),
            ("web.corp.example A from 10.244.1.6", "REFUSED; error 15 blocked by Corefile:4 (acl)"),
            (
                "web.shop.svc.cluster.local TXT from 10.244.1.6",
                "NOERROR; error 17 filtered by Corefile:7 (acl)",
            ),
            ("web.shop.svc.cluster.local A from 192.0.2.1", "silence"),
            (
                "web.shop.svc.cluster.local AAAA from 10.244.2.9",
                "REFUSED; error 15 blocked by Corefile:9 (acl)",
            ),
            (
                "web.shop.svc.cluster.local A from 10.244.2.9",
                "NOERROR; web.shop.svc.cluster.local. 5 A 10.96.1.1",
            ),
            ("web.shop.svc.cluster.local AAAA from fd00::1", "REFUSED; error 15 blocked by Corefile:9 (acl)"),
            // Nobody knows who asks: rules for some clients are not for this one.
            ("web.shop.svc.cluster.local A", "NOERROR; web.shop.svc.cluster.local. 5 A 10.96.1.1"),
        ],
    );
}

#[test]
fn block_lists_keep_names_from_everybody() {
    check(
        ". {
            blocklist {
                ads.example
            }
            blocklist 0.0.0.0 :: {
                tracker.example ads.example
            }
            forward . 192.0.2.53
        }",
        &[
            ("ads.example A", "NXDOMAIN; error 15 on the block list of Corefile:2"),
            ("deep.below.ads.example TXT", "NXDOMAIN; error 15 on the block list of Corefile:2"),
            ("loads.example A", "NXDOMAIN"),
            (
                "x.tracker.example A",
                "NOERROR; x.tracker.example. 60 A 0.0.0.0; error 15 on the block list of Corefile:5",
            ),
            (
                "tracker.example AAAA",
                "NOERROR; tracker.example. 60 AAAA ::; error 15 on the block list of Corefile:5",
            ),
            ("tracker.example TXT", "NOERROR; error 15 on the block list of Corefile:5"),
            ("www.example.com A", "NOERROR; www.example.com. 300 A 192.0.2.80"),
        ],
    );
}

#[test]
fn extended_errors_fit_or_are_left_out() {
    let zone = Zone::build(&plan(". {\n kubernetes cluster.local\n}"));
    for length in 1..60 {
        let name = [["x".repeat(length).as_str(); 3].join("."), "nothing.shop.svc.cluster.local".to_owned()]
            .join(".");
        for edns in [None, Some(512)] {
            let packet = query(&name, 1, edns);
            let mut out = Vec::new();
            assert_eq!(answer(&zone, &packet, UDP, &mut out), Answer::Respond);
            let response = decode(&out);
            assert!(out.len() <= 512 && !response.is_truncated());
            assert_eq!((response.rcode, response.authority.len()), (3, 1));
            assert!(edns.is_some() || response.errors.is_empty());
        }
    }
}

#[test]
fn extended_errors_tell_why() {
    check(
        ". {\n kubernetes cluster.local\n forward . 192.0.2.53\n}",
        &[
            (
                "db.default.svc.cluster.local A",
                "NXDOMAIN; authority cluster.local. 5 (SOA); \
                 error 0 Service db does not exist in Namespace default; there is one in shop: ask for db.shop",
            ),
            (
                "waiting.shop.svc.cluster.local A",
                "NXDOMAIN; authority cluster.local. 5 (SOA); \
                 error 0 Service shop/waiting is headless and has no ready endpoint, so its name does not exist",
            ),
            (
                "_what._tcp.web.shop.svc.cluster.local SRV",
                "NXDOMAIN; authority cluster.local. 5 (SOA); \
                 error 0 Service shop/web has no port _what._tcp (the form is _name._protocol)",
            ),
        ],
    );
}

#[test]
fn queries_are_written_down_by_zone_and_class() {
    let corefile = ". {\n log shop.svc.cluster.local {\n class denial\n }\n log example.com\n kubernetes cluster.local\n forward . 192.0.2.53\n}";
    let zone = Zone::build(&plan(corefile));
    let client = Some(crate::vectors::address("10.244.1.5"));
    let limits = Limits { client, draw: u64::MAX, ..UDP };
    for (name, is_written) in [
        ("web.shop.svc.cluster.local", false),
        ("nothing.shop.svc.cluster.local", true),
        ("nothing.default.svc.cluster.local", false),
    ] {
        let packet = query(name, 1, None);
        let mut out = Vec::new();
        assert_eq!(answer(&zone, &packet, limits, &mut out), Answer::Respond);
        let record = query_record(&zone, limits, &packet, &out);
        assert_eq!(record.is_some(), is_written, "{name}");
        if let Some(record) = record {
            assert_eq!(
                (record.name.to_string().as_str(), record.client, record.rcode),
                (name, client, Some(3))
            );
        }
    }
    let record = query_record(&zone, limits, &query("www.example.com", 1, None), &[]);
    assert_eq!(record.unwrap().rcode, None, "nothing was said");
    let none = Zone::build(&plan(". {\n forward . 192.0.2.53\n}"));
    assert_eq!(query_record(&none, limits, &query("www.example.com", 1, None), &[]), None);
}

#[test]
fn one_query_in_so_many_is_written_and_says_so() {
    let corefile = ". {\n log shop.svc.cluster.local {\n sample 100\n }\n log svc.cluster.local {\n class denial\n sample 7\n }\n log\n kubernetes cluster.local\n}";
    let zone = Zone::build(&plan(corefile));
    // Draws of equal distance: of any so many in a row, about one in the rule's number is written.
    const DRAWS: u64 = 70_000;
    for (name, one_in, expected) in [
        ("web.shop.svc.cluster.local", 100, DRAWS / 100),
        ("nothing.shop.svc.cluster.local", 100, DRAWS / 100),
        ("nothing.default.svc.cluster.local", 7, DRAWS / 7),
        ("cluster.local", 1, DRAWS),
    ] {
        let packet = query(name, 1, None);
        let mut out = Vec::new();
        assert_eq!(answer(&zone, &packet, UDP, &mut out), Answer::Respond);
        let draws = (0..DRAWS).map(|draw| draw * (u64::MAX / DRAWS));
        let record = |draw| query_record(&zone, Limits { draw, ..UDP }, &packet, &out);
        let records = draws.filter_map(record).collect::<Vec<_>>();
        let number = records.len() as u64;
        assert!((expected..=expected + 1).contains(&number), "{name}: {number} of {DRAWS}");
        assert!(records.iter().all(|record| record.one_in.get() == one_in), "{name}");
        assert_eq!(record(u64::MAX).is_some(), one_in == 1, "{name}");
    }
}

#[test]
fn what_is_kept_goes_by_the_name_that_a_client_asks_for() {
    let corefile = ". {
        cache example.com example.org {
            disable denial old.example.com
            disable success example.org
        }
        autopath @kubernetes
        rewrite name www.example.org www.example.com
        rewrite name printer.example www.example.com
        kubernetes cluster.local
        forward . 192.0.2.53
    }";
    let zone = Zone::build(&plan(corefile));
    let keep = |success, denial| Some(Keep { success, denial });
    let limits = Limits { client: Some(crate::vectors::address("10.244.1.5")), ..UDP };
    for (name, expected) in [
        ("www.example.com", keep(true, true)),
        ("a.OLD.example.com", keep(true, false)),
        ("www.example.net", None),
        // Both are asked as www.example.com.
        ("www.example.org", keep(false, true)),
        ("printer.example", None),
        // An alias of the cluster, and a step of a search path, lead to a name of their own.
        ("out.shop.svc.cluster.local", keep(true, true)),
        ("www.example.com.shop.svc.cluster.local", keep(true, true)),
    ] {
        let Answer::Ask(ask) = answer(&zone, &query(name, 1, None), limits, &mut Vec::new()) else {
            panic!("{name} is answered here");
        };
        assert_eq!(ask.keep, expected, "{name}");
    }
    let zone = Zone::build(&plan(". {\n forward . 192.0.2.53\n}"));
    let Answer::Ask(ask) = answer(&zone, &query("www.example.com", 1, None), UDP, &mut Vec::new()) else {
        panic!("it is answered here");
    };
    assert_eq!(ask.keep, None, "without a cache");
}

#[test]
fn the_next_forward_is_asked_when_a_reply_is_not_wanted() {
    let corefile = ". {
        forward example.com 192.0.2.1 {
            next NXDOMAIN SERVFAIL
        }
        forward example.net 192.0.2.2 {
            next NXDOMAIN
        }
        forward . 192.0.2.3 {
            except a.example.com
            next_on_nodata
        }
        forward . 192.0.2.4 {
            next NXDOMAIN
        }
        rewrite name printer.example www.example.com
        kubernetes cluster.local
    }";
    let zone = Zone::build(&plan(corefile));
    // Replies that come in turn: a response code, and how many records; and which forwards are asked.
    for (name, replies, asked) in [
        ("www.example.com", &[(0, 1)][..], &[0][..]),
        ("www.example.com", &[(3, 0), (0, 1)], &[0, 2]),
        ("www.example.com", &[(2, 0), (3, 0)], &[0, 2]),
        ("www.example.com", &[(5, 0)], &[0]),
        ("www.example.com", &[(3, 0), (0, 0), (3, 0)], &[0, 2, 3]),
        ("www.a.example.com", &[(3, 0), (3, 0)], &[0, 3]),
        ("www.example.net", &[(0, 0)], &[1]),
        ("www.example.net", &[(3, 0), (0, 0), (0, 0)], &[1, 2, 3]),
        ("www.example.org", &[(0, 0), (0, 1)], &[2, 3]),
        ("printer.example", &[(3, 0), (0, 1)], &[0, 2]),
        ("out.shop.svc.cluster.local", &[(3, 0), (0, 1)], &[0, 2]),
    ] {
        let packet = query(name, 1, None);
        let mut out = Vec::new();
        let mut step = answer(&zone, &packet, UDP, &mut out);
        let mut seen = Vec::new();
        while let Answer::Ask(ask) = step {
            let (rcode, records) = replies[seen.len()];
            seen.push(ask.to.forward);
            let mut reply = without_edns(&ask.query);
            reply[2] |= 0x80;
            (reply[3], reply[7]) = (rcode, records);
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1].repeat(records.into()));
            step = resume(&packet, ask, Some(&reply), UDP, &mut out);
        }
        assert_eq!((step, seen.as_slice()), (Answer::Respond, asked), "{name} {replies:?}");
        assert_eq!(out[3] & 15, replies.last().unwrap().0, "{name}: the last one's word");
    }
    // Without any reply nobody else is asked.
    let packet = query("www.example.com", 1, None);
    let mut out = Vec::new();
    let Answer::Ask(ask) = answer(&zone, &packet, UDP, &mut out) else { panic!("it is answered here") };
    assert_eq!(resume(&packet, ask, None, UDP, &mut out), Answer::Respond);
    assert_eq!(out[3] & 15, 2);
}

#[test]
fn rewrites_add_options_to_what_upstream_servers_are_asked() {
    // The options of the question that a name leads to, as bytes in hexadecimal digits.
    let options = |rules: &str, name: &str, limits: Limits| {
        let zone = Zone::build(&plan(&format!(
            ". {{\n {rules}\n kubernetes cluster.local\n forward . 192.0.2.53\n}}"
        )));
        // A client's own option, a cookie, goes no further.
        let mut packet = query(name, 1, Some(1232));
        let length = packet.len();
        packet[length - 1] = 12;
        packet.extend([0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
        let Answer::Ask(ask) = answer(&zone, &packet, limits, &mut Vec::new()) else {
            panic!("{name} is answered here");
        };
        let opt = ask.query.windows(5).rposition(|bytes| bytes == [0, 0, 41, 4, 208]).unwrap();
        let tail = &ask.query[opt + 9..];
        let length = usize::from(u16::from_be_bytes([tail[0], tail[1]]));
        assert_eq!(tail.len(), length + 2, "the OPT record is whole, and the end");
        tail[2..].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let from = |text: &str| Limits { client: Some(crate::vectors::address(text)), ..UDP };
    let (four, six) = (from("10.244.131.5"), from("2001:db8:1234:5678::9"));
    let name = "www.example.com";
    for (rules, limits, expected) in [
        ("rewrite name a.example b.example", four, ""),
        ("rewrite edns0 local set 0xffee 0x61626364", four, "ffee000461626364"),
        ("rewrite edns0 local set 65001 ab", four, "fde900026162"),
        ("rewrite edns0 local set 65001 {client_ip}", four, "fde900040af48305"),
        ("rewrite edns0 local set 65001 {client_ip}", six, "fde9001020010db8123456780000000000000009"),
        ("rewrite edns0 local set 65001 {client_ip}", UDP, ""),
        ("rewrite edns0 local set 65001 {qtype}", four, "fde900020001"),
        ("rewrite edns0 local set 65001 {protocol}", TCP, "fde90003746370"),
        ("rewrite edns0 subnet set 20 52", four, "0008000700011400 0af480"),
        ("rewrite edns0 subnet set 24 52", six, "0008000b0002340020010db8123450"),
        ("rewrite edns0 subnet set 0 0", four, "0008000400010000"),
        // The first rule that is for the question is the last one looked at, unless it says otherwise.
        ("rewrite edns0 local set 7 a\n rewrite edns0 local set 8 b", four, "0007000161"),
        ("rewrite edns0 local set 7 {client_ip}\n rewrite edns0 local set 8 b", UDP, "0008000162"),
        ("rewrite continue edns0 local set 7 a\n rewrite edns0 local set 7 b", four, "0007000162"),
        (
            "rewrite continue edns0 local set 7 a\n rewrite edns0 local append 7 b",
            four,
            "00070001610007000162",
        ),
        ("rewrite continue edns0 local set 7 a\n rewrite edns0 local append 7 {qtype}", four, "0007000161"),
        ("rewrite continue edns0 local set 7 a\n rewrite edns0 local unset 7", four, ""),
    ] {
        let expected = expected.replace(' ', "");
        assert_eq!(options(rules, name, limits), expected, "{rules}");
        // What an alias leads to is asked with them, too.
        assert_eq!(options(rules, "out.shop.svc.cluster.local", limits), expected, "{rules}");
    }
    // All of it at once, as CoreDNS 1.14.0 was seen to ask.
    let all = "rewrite continue edns0 local set 0xffee 0x61626364
        rewrite continue edns0 local append 0xffee x
        rewrite continue edns0 local set 65001 {client_ip}
        rewrite continue edns0 local append 65001 {qtype}
        rewrite continue edns0 local set 65002 {protocol}
        rewrite edns0 subnet set 20 52
        rewrite edns0 local set 65003 never";
    let seen = "ffee000461626364ffee000178fde900047f000001fdea000375647000080007000114007f0000";
    assert_eq!(options(all, name, from("127.0.0.1")), seen);
    let renamed = "rewrite continue name www.example.com b.example\n rewrite edns0 local set 7 {qname}";
    assert_eq!(options(renamed, name, four), "0007000a622e6578616d706c652e");
}
