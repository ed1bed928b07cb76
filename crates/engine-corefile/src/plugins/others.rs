//! Directives that have little or nothing to say here, and those that are not taken over.

use crate::parse::Directive;
use crate::report::{Report, Verdict};

/// Directives whose effect is there without being asked for.
const NEEDLESS: [(&str, &str); 12] = [
    ("errors", "failures are written to the log always"),
    ("health", "the agent's own address tells whether it is well, at /healthz"),
    ("ready", "the agent's own address tells whether it is ready, at /readyz"),
    ("prometheus", "the agent's own address has the metrics, at /metrics"),
    ("loop", "this server never asks itself"),
    ("reload", "changes are seen at once"),
    ("cancel", "queries for others end in time always"),
    ("debug", "a failure of one query is not the end of the process"),
    ("multisocket", "how many sockets there are is the server's own"),
    ("timeouts", "how long a connection may be idle is the server's own"),
    ("root", "there are no files"),
    ("pprof", "it is a tool for CoreDNS's developers"),
];
/// Directives that change answers, and are not taken over.
const NOT_TAKEN: [(&str, &str); 31] = [
    ("any", "a question for ANY is answered as one for a type that has no record"),
    ("auto", "there are no zone files"),
    ("azure", "it needs an account"),
    ("bind", "the server has the cluster DNS address on every node"),
    ("chaos", "the server does not tell of itself"),
    ("clouddns", "it needs an account"),
    ("dns64", "no address is made of another"),
    ("dnssec", "nothing is signed here"),
    ("dnstap", "there is no dnstap socket"),
    ("erratic", "it is a tool for tests"),
    ("etcd", "names come from the Kubernetes API alone"),
    ("file", "there are no zone files"),
    ("geoip", "there is no database of places"),
    ("grpc", "upstream servers are asked over DNS and DNS over TLS"),
    ("header", "the flags of answers are the server's own"),
    ("k8s_external", "only names of the cluster's zones are made of Services"),
    ("local", "names of the local host are asked of upstream servers"),
    ("metadata", "nothing here asks for it"),
    ("minimal", "additional records are sent as far as they fit"),
    ("nomad", "names come from the Kubernetes API alone"),
    ("nsid", "the server does not tell of itself"),
    ("on", "nothing is started"),
    ("quic", "clients are served over plain DNS"),
    ("route53", "it needs an account"),
    ("secondary", "no zone is fetched"),
    ("sign", "nothing is signed here"),
    ("tls", "clients are served over plain DNS"),
    ("trace", "there is no tracing of queries"),
    ("transfer", "no zone is handed out"),
    ("tsig", "nothing is signed here"),
    ("view", "a server block is for all clients"),
];

/// Tells of a directive that no other file is about.
pub(super) fn tell(directive: &Directive, report: &mut Report) {
    let name = directive.head.name();
    let of =
        |list: &[(&str, &'static str)]| list.iter().find(|(other, _)| *other == name).map(|(_, why)| *why);
    let verdict = match (name, directive.head.arguments()) {
        ("loadbalance", []) => Verdict::Needless { why: "records begin at a random place always".to_owned() },
        ("loadbalance", [policy, ..]) if policy == "round_robin" => {
            Verdict::Needless { why: "records begin at a random place always".to_owned() }
        }
        ("loadbalance", _) => Verdict::not_taken(
            "records begin at a random place, without weights",
            "use the annotation sealane.dev/weights of a Service",
        ),
        ("bufsize", _) => Verdict::changed("a datagram has at most 1232 bytes"),
        ("whoami", _) => Verdict::not_taken("a question that nothing answers is SERVFAIL", ""),
        _ => match (of(&NEEDLESS), of(&NOT_TAKEN)) {
            (Some(why), _) => Verdict::Needless { why: why.to_owned() },
            (None, Some(why)) => Verdict::not_taken(format!("the plugin {name} is not here: {why}"), ""),
            (None, None) => Verdict::not_taken(format!("no plugin {name} is known"), "leave it out"),
        },
    };
    let is_needless = matches!(verdict, Verdict::Needless { .. });
    report.tell(&directive.head, verdict);
    for line in &directive.body {
        let verdict = match is_needless {
            true => Verdict::Needless { why: "so is its directive".to_owned() },
            false => Verdict::not_taken("nor is its directive", ""),
        };
        report.tell(line, verdict);
    }
}

/// Whether `autopath` is taken: only the one that knows Pods is.
pub(super) fn autopath(directive: &Directive, report: &mut Report) -> bool {
    let outcome = match directive.head.arguments() {
        [.., last] if last == "@kubernetes" => Err(Verdict::changed(
            "a name that may be an endpoint's of an existing Service, and one of a Pod with a search path of its own, is \
             left to the client to search",
        )),
        [.., file] => Err(Verdict::not_taken(
            format!("the search path of {file} is not that of any Pod"),
            "write `autopath @kubernetes`",
        )),
        [] => Err(Verdict::broken("no resolv-conf specified")),
    };
    report.settle(&directive.head, outcome)
}
