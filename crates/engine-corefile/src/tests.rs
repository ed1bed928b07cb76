//! Corefiles as people have them, line by line.

#![allow(clippy::unwrap_used, reason = "tests")]

use plan::{
    AccessAction, AnswerPart, BlockedAnswer, ExposedNamespaces, Fallthrough, ForwardPolicy, ForwardTransport,
    NameMatcher, OptionChange, OptionData, PodNames, Prefetch, ReverseZones, RewriteRule, RewriteThen,
    SearchPath, TemplatePart, Upstream,
};
use proptest::prelude::*;

use super::*;

/// As kubeadm writes it (kubernetes, `cmd/kubeadm/app/phases/addons/dns/manifests.go`, in our words).
const KUBEADM: &str = "
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
";

fn mk(text: &str) -> Corefile {
    read(&Sources { corefile: text.to_owned(), files: BTreeMap::new() })
}

/// The only block of a text without notes.
fn clean(body: &str) -> DnsBlock {
    let read = mk(&format!(". {{\n{body}\n}}\n"));
    let notes = read.notes().map(|line| format!("{}: {}", line.at, line.verdict)).collect::<Vec<_>>();
    assert_eq!(notes, Vec::<String>::new(), "{body}");
    read.settings.unwrap().blocks.remove(0)
}

/// Notes as `line: verdict`.
fn notes(text: &str) -> Vec<String> {
    mk(text).notes().map(|line| format!("{}: {}", line.at.line, line.verdict)).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn what_kubeadm_writes_is_taken_whole() {
    let read = mk(KUBEADM);
    assert_eq!(read.notes().collect::<Vec<_>>(), Vec::<&Line>::new());
    assert_eq!(read.lines.len(), 18, "every line is told of");
    let block = &read.settings.unwrap().blocks[0];
    assert_eq!(block.at, "Corefile:2");
    assert_eq!(block.zones, set(&[""]));
    let kubernetes = block.kubernetes.as_ref().unwrap();
    assert_eq!(kubernetes.zones, ["cluster.local"]);
    assert_eq!(kubernetes.reverse, ReverseZones::Zones(set(&["in-addr.arpa", "ip6.arpa"])));
    assert_eq!((kubernetes.pods, kubernetes.ttl_seconds), (PodNames::Insecure, 30));
    assert_eq!(kubernetes.fallthrough, Fallthrough::Zones(set(&["in-addr.arpa", "ip6.arpa"])));
    assert_eq!(block.forwards[0].to, [Upstream::Node]);
    assert_eq!(block.forwards[0].max_concurrent, 1000);
    let cache = block.cache.as_ref().unwrap();
    assert_eq!(
        (cache.success.max_ttl_seconds, cache.denial.max_ttl_seconds, cache.stale_seconds),
        (30, 30, 0)
    );
}

#[test]
fn which_names_of_the_cluster_there_are() {
    let kubernetes =
        |lines: &str| clean(&format!("kubernetes cluster.local {{\n{lines}\n}}")).kubernetes.unwrap();
    let plain = kubernetes("");
    assert_eq!((plain.namespaces, plain.labels), (ExposedNamespaces::All, None));
    assert!(plain.endpoint_names && !plain.ignore_empty);
    let named = kubernetes("namespaces shop ops\nnamespaces web");
    assert_eq!(named.namespaces, ExposedNamespaces::Named(set(&["ops", "shop", "web"])));
    let selected = kubernetes(
        "labels environment in (staging, qa),application=nginx\nnamespace_labels istio-injection=enabled",
    );
    let labels = selected.labels.unwrap().to_string();
    assert_eq!(labels, "application=nginx,environment in (staging,qa)");
    let ExposedNamespaces::Labelled { selector, .. } = selected.namespaces else { panic!("by labels") };
    assert_eq!(selector.to_string(), "istio-injection=enabled");
    assert!(!kubernetes("noendpoints").endpoint_names);
    assert!(kubernetes("ignore empty_service").ignore_empty);
    let text = ". {\n kubernetes cluster.local {\n namespaces\n labels\n labels a!=b\n noendpoints now\n ignore all\n \
                namespaces shop\n namespace_labels a\n }\n}";
    assert_eq!(
        notes(text),
        [
            "3: cannot be read: `namespaces` has at least one argument",
            "4: cannot be read: `labels` has at least one argument",
            "5: cannot be read: unable to parse label selector value: 'a!=b': \"!=\" is not a valid label selector operator",
            "6: cannot be read: `noendpoints` has no argument",
            "7: cannot be read: unable to parse ignore value: 'all'",
            "9: cannot be read: namespaces and namespace_labels cannot both be set",
        ]
    );
    let text = ". {\n kubernetes cluster.local {\n labels a\n }\n}\nb {\n kubernetes cluster.local\n}";
    assert_eq!(
        notes(text),
        [
            "7: taken with another meaning: `ttl`, `endpoint_pod_names`, `noendpoints` and `labels` of Corefile:2 hold for all"
        ]
    );
}

#[test]
fn names_of_topology_zones_are_asked_for() {
    assert!(clean("kubernetes cluster.local {\n zonal\n}").kubernetes.unwrap().zonal);
    assert!(!clean("kubernetes cluster.local").kubernetes.unwrap().zonal);
    assert_eq!(
        notes(". {\n kubernetes cluster.local {\n zonal always\n }\n}"),
        ["3: cannot be read: `zonal` has no argument"]
    );
    let both = ". {\n kubernetes cluster.local {\n zonal\n noendpoints\n }\n}";
    assert_eq!(notes(both), ["3: cannot be read: zonal requires the endpoint cache; remove noendpoints"]);
    assert!(!mk(both).settings.unwrap().blocks[0].kubernetes.as_ref().unwrap().zonal);
}

#[test]
fn imports_take_keys_of_both_config_maps_and_snippets() {
    let corefile = "(shared) {\n errors\n forward . 192.0.2.1\n}\n.:53 {\n import shared\n import custom/*.override\n \
                    hosts /etc/coredns/NodeHosts {\n ttl 60\n fallthrough\n }\n}\nimport custom/*.server\n";
    let files = [
        ("a.override", "log\n"),
        ("corp.server", "corp.example:53 {\n forward . 192.0.2.9\n}\n"),
        ("NodeHosts", "# nodes\n10.0.0.1 node-a Node-A.example\nnonsense\n"),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    let read = read(&Sources { corefile: corefile.to_owned(), files });
    assert_eq!(read.notes().count(), 0, "{:?}", read.lines);
    let blocks = read.settings.unwrap().blocks;
    assert_eq!(blocks.len(), 2);
    assert_eq!(blocks[1].zones, set(&["corp.example"]));
    assert_eq!(blocks[1].at, "corp.server:1");
    assert_eq!(blocks[0].logs.len(), 1);
    let hosts = blocks[0].hosts.as_ref().unwrap();
    assert_eq!(hosts.names["node-a.example"], ["10.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!((hosts.ttl_seconds, &hosts.fallthrough), (60, &Fallthrough::All));
}

#[test]
fn a_text_that_is_no_corefile_gives_no_settings_and_the_line() {
    for (text, told) in [
        (". {\n errors\n", "1: cannot be read: the block's closing brace is missing"),
        (". {\n hosts {\n", "2: cannot be read: the directive's closing brace is missing"),
        (". {\n}\n}\n", "3: cannot be read: a server block begins with its zones"),
        (
            ". {\n import nothing\n}\n",
            "2: cannot be read: no key nothing in ConfigMap coredns or coredns-custom, and no snippet of this name",
        ),
        ("(a) {\n import a\n}\n. {\n import a\n}\n", "2: cannot be read: imports lead to each other"),
        ("(a) {\n errors\n", "1: cannot be read: the snippet's closing brace is missing"),
    ] {
        assert_eq!(notes(text), [told], "{text}");
        assert_eq!(mk(text).settings, None, "{text}");
    }
    // An empty one is none either; nothing is wrong with it.
    assert_eq!(mk(""), Corefile { settings: None, lines: Vec::new() });
}

#[test]
fn server_blocks_have_the_zones_that_can_be_served() {
    let read = mk("dns://Example.ORG:53, example.net {\n}\n10.1.0.0/15 {\n}\n2001:db8::/32 {\n}\n");
    let zones = read.settings.unwrap().blocks.into_iter().map(|block| block.zones).collect::<Vec<_>>();
    let expected = [
        set(&["example.org", "example.net"]),
        set(&["0.10.in-addr.arpa", "1.10.in-addr.arpa"]),
        set(&["8.b.d.0.1.0.0.2.ip6.arpa"]),
    ];
    assert_eq!(zones[0], expected[0]);
    assert_eq!(zones[2], expected[2]);
    assert_eq!(zones[1], expected[1]);
    let text = "tls://. {\n errors\n}\n.:5353 {\n}\nok {\n}\nOK. {\n}\n{$ZONE} {\n}\n";
    assert_eq!(
        notes(text),
        [
            "1: not taken: clients are served over plain DNS, not over tls",
            "2: not taken: its server block is not taken",
            "4: not taken: clients are served on port 53 alone, not on port 5353",
            "8: cannot be read: another server block has zone ok",
            "10: not taken: the environment variable ZONE of CoreDNS's Pods is not known here; write its value instead",
        ]
    );
    assert_eq!(mk(text).settings.unwrap().blocks.len(), 1);
    let single = mk("example.org\nforward . 192.0.2.1\nerrors\n").settings.unwrap();
    assert_eq!(single.blocks[0].forwards.len(), 1, "braces are not needed for one block");
}

#[test]
fn forward_has_all_its_options() {
    let block = clean(
        "forward Corp.Example. 192.0.2.1 192.0.2.2:5353 [2001:db8::1]:53 tls://9.9.9.9%dns.quad9.net tls://1.1.1.1 {
            except lab.corp.example
            policy sequential
            max_fails 3
            health_check 1s500ms no_rec domain Health.Example.
            expire 20s
            max_connect_attempts 2
            max_idle_conns 5
            failfast_all_unhealthy_upstreams
            next NXDOMAIN
            next NOERROR Refused
            next_on_nodata
            max_concurrent 100
            force_tcp
            tls
            tls_servername one.example
            failover ServFail REFUSED
        }\nforward . /etc/resolv.conf {\n prefer_udp\n policy round_robin\n}",
    );
    let forward = &block.forwards[0];
    assert_eq!(forward.from, "corp.example");
    let tls = |address: &str, name: &str| Upstream::Tls {
        address: address.parse().unwrap(),
        server_name: Some(name.to_owned()),
    };
    let plain = |address: &str| Upstream::Plain(address.parse().unwrap());
    assert_eq!(
        forward.to,
        [
            plain("192.0.2.1:53"),
            plain("192.0.2.2:5353"),
            plain("[2001:db8::1]:53"),
            tls("9.9.9.9:853", "dns.quad9.net"),
            tls("1.1.1.1:853", "one.example")
        ]
    );
    assert_eq!(forward.except, set(&["lab.corp.example"]));
    assert_eq!((forward.policy, forward.transport), (ForwardPolicy::Sequential, ForwardTransport::Tcp));
    assert_eq!((forward.max_fails, forward.health_check_millis, forward.max_concurrent), (3, 1500, 100));
    assert_eq!(forward.failover, [2, 5].into());
    assert_eq!(
        (forward.health_check_name.as_str(), forward.health_check_recursion),
        ("health.example", false)
    );
    assert_eq!((forward.idle_millis, forward.max_attempts, forward.fails_fast), (Some(20_000), 2, true));
    assert_eq!((&forward.next, forward.next_on_nodata), (&[0, 3, 5].into(), true));
    assert_eq!(block.forwards[1].policy, ForwardPolicy::RoundRobin);
    assert_eq!(block.forwards[1].next, [].into());
    assert_eq!(
        notes(
            ". {\n forward . nowhere\n forward . /run/dns.conf\n forward .\n forward . 192.0.2.1 {\n next\n what\n failover NOERROR\n health_check 1s domain\n expire long\n }\n}"
        ),
        [
            "2: cannot be read: `nowhere` is not an IP address or file",
            "3: not taken: the file /run/dns.conf is in no ConfigMap; name the servers, or /etc/resolv.conf for those of the node",
            "4: cannot be read: the servers are missing",
            "6: cannot be read: the response codes are missing",
            "7: cannot be read: unknown property `what`",
            "8: cannot be read: NoError cannot be used in failover",
            "9: cannot be read: the domain is missing",
            "10: cannot be read: `long` is no duration",
        ]
    );
}

#[test]
fn forward_has_its_files() {
    let files = |line: &str| {
        let read = mk(&format!(". {{\n forward . tls://192.0.2.1 {{\n {line}\n }}\n}}"));
        let forward = read.settings.unwrap().blocks[0].forwards[0].clone();
        let client = forward.tls_client.map(|client| format!("{} {}", client.certificate, client.key));
        let told = read.lines.iter().find(|told| told.text == line).unwrap().verdict.to_string();
        (client, forward.tls_ca_file, told)
    };
    let changed =
        "taken with another meaning: the files are those of each node or Pod that this server runs on";
    let (client, ca) = (|| Some("/c.pem /k.pem".to_owned()), || Some("/ca.pem".to_owned()));
    assert_eq!(files("tls"), (None, None, "taken".to_owned()));
    assert_eq!(files("tls /ca.pem"), (None, ca(), changed.to_owned()));
    assert_eq!(files("tls /c.pem /k.pem"), (client(), None, changed.to_owned()));
    assert_eq!(files("tls /c.pem /k.pem /ca.pem"), (client(), ca(), changed.to_owned()));
    let told = |line: &str| {
        let (client, ca, told) = files(line);
        assert_eq!((client, ca), (None, None));
        told
    };
    assert_eq!(told("tls ca.pem"), "not taken: it is not known below which directory; write whole paths");
    assert_eq!(told("tls /a /b /c /d"), "cannot be read: `tls` has at most three arguments");
}

#[test]
fn hosts_are_names_addresses_and_options() {
    let block = clean(
        "hosts {\n 10.0.0.1 a.example A.example b.example # both\n fd00::1 a.example\n no_reverse\n fallthrough example\n}",
    );
    let hosts = block.hosts.unwrap();
    let addresses = |name: &str| hosts.names[name].iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(addresses("a.example"), ["10.0.0.1", "fd00::1"]);
    assert_eq!(addresses("b.example"), ["10.0.0.1"]);
    assert!(hosts.addresses.is_empty());
    assert_eq!((hosts.ttl_seconds, hosts.fallthrough), (3600, Fallthrough::Zones(set(&["example"]))));
    let hosts = clean("hosts {\n 10.0.0.1 a b\n}").hosts.unwrap();
    assert_eq!(hosts.addresses[&"10.0.0.1".parse::<std::net::IpAddr>().unwrap()], ["a", "b"]);
    assert_eq!(
        notes("example {\n hosts /etc/hosts.d/x {\n nonsense a\n 10.0.0.1\n ttl 0\n }\n}"),
        [
            "2: not taken: the file /etc/hosts.d/x is in no ConfigMap; write its entries here, or as key x of ConfigMap coredns",
            "3: cannot be read: `nonsense` is no IP address",
            "4: cannot be read: the address has no name",
            "5: cannot be read: ttl must be in range [1, 65535]",
        ]
    );
    // A name outside the block's zones is not answered.
    let read = mk("example {\n hosts {\n 10.0.0.1 a.example a.other\n }\n}").settings.unwrap();
    assert_eq!(read.blocks[0].hosts.as_ref().unwrap().names.keys().collect::<Vec<_>>(), ["a.example"]);
}

#[test]
fn what_is_ours_is_told_and_is_nobodys_problem() {
    let read = mk(". {\n log {\n sample 100\n }\n blocklist {\n ads.example\n }\n}");
    let own = read.lines.iter().filter(|line| matches!(line.verdict, Verdict::Own { .. }));
    assert_eq!(
        own.map(|line| format!("{}: {}", line.text, line.verdict)).collect::<Vec<_>>(),
        [
            "sample 100: taken, though CoreDNS does not know it: one in so many of these queries is written",
            "blocklist: taken, though CoreDNS does not know it: names that nobody gets an address for",
        ]
    );
    assert_eq!(read.notes().count(), 0);
    assert_eq!(
        notes(". {\n log {\n sample 0\n sample\n sample 2 3\n }\n}"),
        [
            "3: cannot be read: `0` is not a number that is possible here",
            "4: cannot be read: `sample` has exactly one argument",
            "5: cannot be read: `sample` has exactly one argument",
        ]
    );
}

#[test]
fn cache_has_its_numbers() {
    let cache = clean(
        "cache 20 {\n success 5000 60 2\n denial 100 10\n prefetch 5 2m 20%\n serve_stale 30m verify\n servfail 1s\n}",
    );
    let cache = cache.cache.unwrap();
    let numbers =
        |limits: plan::CacheLimits| (limits.capacity, limits.max_ttl_seconds, limits.min_ttl_seconds);
    assert_eq!(numbers(cache.success), (5000, 60, 2));
    assert_eq!(numbers(cache.denial), (100, 10, 5));
    assert_eq!(cache.prefetch, Some(Prefetch { amount: 5, pause_seconds: 120, percent: 20 }));
    assert_eq!((cache.stale_seconds, cache.stale_at_once, cache.failure_seconds), (1800, false, 1));
    assert_eq!((&cache.zones, cache.keep_ttl), (&set(&[""]), false));
    let cache = clean("cache {\n disable denial\n serve_stale\n}").cache.unwrap();
    assert_eq!((&cache.no_denial, &cache.no_success), (&set(&[""]), &set(&[])));
    assert_eq!(cache.success.max_ttl_seconds, 3600);
    assert!(cache.stale_at_once);
    let cache = clean(
        "cache example.org 10.0.0.0/8 {\n keepttl\n disable success A.example.org b.example.org\n disable success c.example.org\n success 9\n}",
    );
    let cache = cache.cache.unwrap();
    assert_eq!(cache.zones, set(&["example.org", "10.in-addr.arpa"]));
    assert_eq!((&cache.no_success, cache.keep_ttl), (&set(&["c.example.org"]), true));
    assert_eq!(clean("errors").cache, None);
    assert_eq!(
        notes(". {\n cache 0\n}\na {\n cache 10 b {\n keepttl on\n disable all c\n servfail 10m\n }\n}"),
        [
            "2: cannot be read: a time to live is a positive number of seconds",
            "6: cannot be read: `keepttl` has no argument",
            "7: cannot be read: cache type for disable must be \"success\" or \"denial\"",
            "8: cannot be read: caching SERVFAIL responses over 5 minutes is not permitted",
        ]
    );
}

#[test]
fn rewrites_are_rules_in_order() {
    let rules = clean(
        "rewrite name old.example new.example
         rewrite continue name suffix .eu.example .example answer auto
         rewrite stop {\n name regex (.*)\\.a\\.example {1}.b.example
            answer name (.*)\\.b\\.example {1}.a.example
            answer value (.*)\\.b\\.example {1}.a.example\n }
         rewrite type ANY HINFO
         rewrite ttl suffix example 30-
         rewrite rcode substring example SERVFAIL NXDOMAIN",
    )
    .rewrites;
    let rule = |index: usize| rules[index].rule.clone();
    assert_eq!(
        rule(0),
        RewriteRule::Name {
            matcher: NameMatcher::Exact("old.example.".to_owned()),
            replacement: "new.example.".to_owned(),
            auto: true,
            answers: Vec::new()
        }
    );
    assert_eq!(rules[1].then, RewriteThen::Continue);
    let RewriteRule::Name { matcher, replacement, auto, answers } = rule(2) else { panic!("a name rule") };
    assert_eq!(matcher, NameMatcher::Regex("(.*)\\.a\\.example".to_owned()));
    assert_eq!((replacement.as_str(), auto), ("{1}.b.example.", false));
    assert_eq!(
        answers.iter().map(|answer| answer.part).collect::<Vec<_>>(),
        [AnswerPart::Name, AnswerPart::Value]
    );
    assert_eq!(rule(3), RewriteRule::Type { from: 255, to: 13 });
    let matcher = NameMatcher::Suffix("example.".to_owned());
    assert_eq!(rule(4), RewriteRule::Ttl { matcher, min: 30, max: 2_147_483_647 });
    let matcher = NameMatcher::Substring("example.".to_owned());
    assert_eq!(rule(5), RewriteRule::Rcode { matcher, from: 2, to: 3 });
    for (line, told) in [
        ("rewrite name regex ( x", "cannot be read: invalid regex matching pattern: ("),
        ("rewrite name regex a.b {1}.c", "cannot be read: {1}.c. uses more groups than a.b has"),
        (
            "rewrite name like a b",
            "cannot be read: only exact, prefix, suffix, substring, and regex name matching, received: like",
        ),
        (
            "rewrite edns0 local replace 0xffee x",
            "not taken: EDNS options of clients go no further, so there is none to be replaced; write `set`",
        ),
        ("rewrite edns0 nsid set", "not taken: clients do not see upstream servers' names for themselves"),
        (
            "rewrite edns0 local set 9 {server_ip}",
            "not taken: {server_ip} is not known when a question is looked up; {qname}, {qtype}, {client_ip} and {protocol} are",
        ),
        ("rewrite edns0 local set 070 x", "cannot be read: `070` is no code of an option"),
        ("rewrite edns0 local set 7 0x123", "cannot be read: `0x123` are no hexadecimal digits"),
        ("rewrite edns0 subnet set 33 0", "cannot be read: invalid bit mask length 33"),
        ("rewrite edns0 local drop 7", "cannot be read: invalid action: \"drop\""),
        ("rewrite class CH IN", "not taken: only questions of class IN are answered"),
        ("rewrite cname a b", "not taken: targets of aliases are not changed"),
        ("rewrite ttl example.com -", "cannot be read: invalid TTL '-' for a ttl rule"),
        ("rewrite answer name a b", "cannot be read: response rewrites must begin with a name rule"),
        ("rewrite", "cannot be read: no rule type specified for rewrite"),
    ] {
        assert_eq!(notes(&format!(". {{\n {line}\n}}")), [format!("2: {told}")]);
    }
}

#[test]
fn rewrites_of_options_are_rules_as_well() {
    let rules = clean(
        "rewrite edns0 local set 0xffee 0x61626364
         rewrite continue edns0 local append 65518 {client_ip} revert
         rewrite edns0 subnet set 24 0x38
         rewrite EDNS0 nsid Unset",
    );
    let bytes = |text: &str| OptionData::Bytes(text.as_bytes().to_vec());
    let expected = [
        (0xffee, OptionChange::Set(bytes("abcd"))),
        (65518, OptionChange::Append(OptionData::Client)),
        (8, OptionChange::Set(OptionData::Subnet { ipv4: 24, ipv6: 56 })),
        (3, OptionChange::Unset),
    ];
    let rules = rules.rewrites;
    assert_eq!(rules.len(), expected.len());
    for (rule, (code, change)) in rules.into_iter().zip(expected) {
        assert_eq!(rule.rule, RewriteRule::Option { code, change }, "{}", rule.at);
    }
}

#[test]
fn templates_are_taken_whole_or_not() {
    let text = "template IN A example {\n match ^ip-(?P<a>[0-9]*)-(.*)[.]example[.]$\n \
                answer \"{{ .Name }} 60 IN {{ .Type }} 10.0.{{ .Group.a }}.{{ index .Match 2 -}} \"\n rcode NOERROR\n fallthrough\n}";
    let template = clean(text).templates.remove(0);
    assert_eq!((template.kind, template.zones), (Some(1), set(&["example"])));
    let text = |text: &str| TemplatePart::Text(text.to_owned());
    let group = |name: &str| TemplatePart::Group(name.to_owned());
    let parts = vec![
        TemplatePart::Name,
        text(" 60 IN "),
        TemplatePart::Type,
        text(" 10.0."),
        group("a"),
        text("."),
        group("2"),
    ];
    assert_eq!(template.answer, [parts]);
    assert_eq!(clean("template ANY ANY {\n rcode NXDOMAIN\n ederror 15 no\n}").templates[0].kind, None);
    let read = mk(". {\n template IN A {\n answer \"{{ .Remote }}\"\n }\n}");
    assert!(read.settings.as_ref().unwrap().blocks[0].templates.is_empty());
    assert_eq!(read.notes().count(), 2);
}

#[test]
fn guards_are_rules_and_lists() {
    let block = clean(
        "acl example {\n block type A AAAA net 10.0.0.0/8 192.0.2.1\n allow net *\n filter\n drop type *\n}
         blocklist 0.0.0.0 :: {\n Ads.example\n a.example b.example\n}
         blocklist {\n c.example\n}
         log example.org {\n class denial error\n sample 100\n}\nlog",
    );
    let rules = &block.access[0].rules;
    assert_eq!(
        rules.iter().map(|rule| rule.action).collect::<Vec<_>>(),
        [AccessAction::Block, AccessAction::Allow, AccessAction::Filter, AccessAction::Drop]
    );
    assert_eq!((rules[0].kinds.len(), rules[0].clients.len(), rules[3].kinds.len()), (2, 2, 0));
    assert_eq!(block.blocklists[0].names, set(&["ads.example", "a.example", "b.example"]));
    assert!(matches!(&block.blocklists[0].answer, BlockedAnswer::Addresses(list) if list.len() == 2));
    assert_eq!(block.blocklists[1].answer, BlockedAnswer::NxDomain);
    assert_eq!(block.logs[0].classes.len(), 2);
    assert!(block.logs[1].classes.is_empty());
    assert_eq!(block.logs.iter().map(|log| log.one_in.get()).collect::<Vec<_>>(), [100, 1]);
    let read = mk(". {\n acl {\n block net 10.0.0.0/8\n block net nonsense\n }\n}");
    assert!(read.settings.as_ref().unwrap().blocks[0].access.is_empty(), "no half of it");
    assert_eq!(read.notes().count(), 2);
}

#[test]
fn autopath_is_for_pods_and_unknown_plugins_are_named() {
    let read = mk(". {\n autopath @kubernetes\n}");
    assert_eq!(read.settings.unwrap().blocks[0].search_path, SearchPath::Server);
    let told = notes(". {\n autopath /etc/resolv.conf\n dns64\n unheard_of {\n of\n }\n bufsize 4096\n}");
    assert_eq!(
        told,
        [
            "2: not taken: the search path of /etc/resolv.conf is not that of any Pod; write `autopath @kubernetes`",
            "3: not taken: the plugin dns64 is not here: no address is made of another",
            "4: not taken: no plugin unheard_of is known; leave it out",
            "5: not taken: nor is its directive",
            "7: taken with another meaning: a datagram has at most 1232 bytes",
        ]
    );
}

#[test]
fn words_are_told_as_caddy_does() {
    let block = clean("log \"{common}\" # and the rest\n\"errors\"\nforward . 192.0.2.1#gone");
    assert_eq!(block.forwards[0].to.len(), 1);
    let template = clean("template IN TXT {\n answer \"a. 1 IN TXT \\\"x\\\"\"\n}").templates.remove(0);
    assert_eq!(template.answer[0], [TemplatePart::Text("a. 1 IN TXT \"x\"".to_owned())]);
}

proptest! {
    #[test]
    fn nothing_panics(text in any::<String>(), file in any::<String>()) {
        let files = BTreeMap::from([("x".to_owned(), file)]);
        let read = read(&Sources { corefile: text, files });
        prop_assert!(read.lines.is_sorted());
    }

    #[test]
    fn no_sequence_of_words_panics(
        words in proptest::collection::vec(
            prop_oneof![
                Just("{"), Just("}"), Just("\n"), Just("("), Just("(a)"), Just("import"), Just("a"), Just("x*"), Just("."),
                Just("kubernetes"), Just("forward"), Just("hosts"), Just("cache"), Just("rewrite"), Just("name"),
                Just("regex"), Just("answer"), Just("auto"), Just("template"), Just("IN"), Just("A"), Just("acl"),
                Just("block"), Just("net"), Just("type"), Just("log"), Just("class"), Just("10.0.0.0/9"), Just("::/3"),
                Just("tls://1.1.1.1%a:8"), Just("{{"), Just("}}"), Just("{$X}"), Just("-1"), Just("5s"), Just("ttl"),
                Just("prefetch"), Just("%"), Just("\"")
            ],
            0..60,
        )
    ) {
        let corefile = words.join(" ");
        let files = BTreeMap::from([("x".to_owned(), corefile.clone())]);
        let read = read(&Sources { corefile, files });
        prop_assert!(read.lines.is_sorted());
    }
}
