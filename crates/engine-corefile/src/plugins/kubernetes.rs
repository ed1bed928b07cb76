//! `kubernetes`: the cluster's names (CoreDNS, `plugin/kubernetes/setup.go`).

use std::collections::BTreeSet;

use plan::{DnsBlock, DnsKubernetes, ExposedNamespaces, PodNames, ReverseZones};
use types::LabelSelector;

use super::{Context, fallthrough, no_argument, number, only_argument, read_body, unknown};
use crate::parse::{Directive, Statement};
use crate::report::{Place, Report, Verdict};
use crate::zones;

/// CoreDNS's limit of `ttl`, in seconds.
const LONGEST_TTL: u32 = 3600;

pub(super) fn lower(
    directive: &Directive,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<DnsKubernetes> {
    let mut kubernetes = DnsKubernetes {
        at: directive.head.at.to_string(),
        pods: PodNames::Disabled,
        ..DnsKubernetes::default()
    };
    let outcome = set_zones(&directive.head, context, &mut kubernetes);
    let is_taken = report.settle(&directive.head, outcome);
    let has_no_endpoints = directive.body.iter().any(|line| line.name() == "noendpoints");
    read_body(&directive.body, report, |line| match line.name() {
        "zonal" if has_no_endpoints => {
            Err(Verdict::broken("zonal requires the endpoint cache; remove noendpoints"))
        }
        _ => read_line(line, &mut kubernetes),
    });
    is_taken.then_some(kubernetes)
}

fn set_zones(head: &Statement, context: &Context<'_>, kubernetes: &mut DnsKubernetes) -> Result<(), Verdict> {
    let mut named = Vec::new();
    for argument in head.arguments() {
        named.extend(zones::parse(argument).map_err(Verdict::broken)?);
    }
    if named.is_empty() {
        named.extend(context.zones.iter().cloned());
    }
    let is_reverse =
        |zone: &String| zones::is_within(zone, "in-addr.arpa") || zones::is_within(zone, "ip6.arpa");
    let (reverse, forward): (Vec<_>, Vec<_>) = named.into_iter().partition(is_reverse);
    if forward.is_empty() {
        return Err(Verdict::broken("a zone that is not a reverse zone must be named"));
    }
    if forward.iter().any(String::is_empty) {
        *kubernetes =
            DnsKubernetes { at: head.at.to_string(), pods: PodNames::Disabled, ..DnsKubernetes::default() };
        return Err(Verdict::changed("cluster names end in the cluster domain, and not in the root"));
    }
    kubernetes.zones = forward;
    kubernetes.reverse = ReverseZones::Zones(reverse.into_iter().collect());
    Ok(())
}

fn read_line(line: &Statement, kubernetes: &mut DnsKubernetes) -> Result<(), Verdict> {
    match line.name() {
        "pods" => {
            kubernetes.pods = match only_argument(line)? {
                "disabled" => PodNames::Disabled,
                "insecure" => PodNames::Insecure,
                "verified" => PodNames::Verified,
                other => return Err(Verdict::broken(format!("pods are not `{other}`"))),
            }
        }
        "ttl" => {
            let seconds = number(only_argument(line)?)?;
            if seconds > LONGEST_TTL {
                return Err(Verdict::broken(format!("ttl must be in range [0, {LONGEST_TTL}]")));
            }
            kubernetes.ttl_seconds = seconds;
        }
        "fallthrough" => kubernetes.fallthrough = fallthrough(line)?,
        "endpoint_pod_names" => {
            no_argument(line)?;
            kubernetes.endpoint_pod_names = true;
        }
        "zonal" => {
            no_argument(line)?;
            kubernetes.zonal = true;
        }
        "noendpoints" => {
            no_argument(line)?;
            kubernetes.endpoint_names = false;
        }
        "namespaces" => add_namespaces(line, &mut kubernetes.namespaces)?,
        "namespace_labels" => {
            let selector = selector(line)?;
            if matches!(kubernetes.namespaces, ExposedNamespaces::Named(_)) {
                return Err(both_of_namespaces());
            }
            kubernetes.namespaces = ExposedNamespaces::Labelled { selector, matching: BTreeSet::new() };
        }
        "labels" => kubernetes.labels = Some(selector(line)?),
        "ignore" => match line.arguments() {
            [] => return Err(Verdict::Needless { why: "CoreDNS itself ignores it".to_owned() }),
            [what, ..] if what == "empty_service" => kubernetes.ignore_empty = true,
            [what, ..] => return Err(Verdict::broken(format!("unable to parse ignore value: '{what}'"))),
        },
        _ => return Err(of_other_line(line)),
    }
    Ok(())
}

/// `namespaces`, which may be said several times.
fn add_namespaces(line: &Statement, namespaces: &mut ExposedNamespaces) -> Result<(), Verdict> {
    if line.arguments().is_empty() {
        return Err(Verdict::broken("`namespaces` has at least one argument"));
    }
    match namespaces {
        ExposedNamespaces::Named(names) => names.extend(line.arguments().iter().cloned()),
        ExposedNamespaces::All => {
            *namespaces = ExposedNamespaces::Named(line.arguments().iter().cloned().collect());
        }
        ExposedNamespaces::Labelled { .. } => return Err(both_of_namespaces()),
    }
    Ok(())
}

fn both_of_namespaces() -> Verdict {
    Verdict::broken("namespaces and namespace_labels cannot both be set")
}

/// A label selector, with or without spaces.
fn selector(line: &Statement) -> Result<LabelSelector, Verdict> {
    if line.arguments().is_empty() {
        return Err(Verdict::broken(format!("`{}` has at least one argument", line.name())));
    }
    let text = line.arguments().join(" ");
    let what = if line.name() == "labels" { "label selector" } else { "namespace_label selector" };
    LabelSelector::parse(&text)
        .map_err(|why| Verdict::broken(format!("unable to parse {what} value: '{text}': {why}")))
}

/// Lines that are not settings of names.
fn of_other_line(line: &Statement) -> Verdict {
    let needless = |why: &str| Verdict::Needless { why: why.to_owned() };
    match line.name() {
        "multicluster" => Verdict::not_taken("ServiceImports are not read", ""),
        "endpoint" | "tls" | "kubeconfig" => needless("the agent has its own way to the Kubernetes API"),
        "apiserver_qps" | "apiserver_burst" | "apiserver_max_inflight" | "startup_timeout" => {
            needless("the agent watches the Kubernetes API once for everything")
        }
        "resyncperiod" | "upstream" => needless("CoreDNS itself ignores it"),
        _ => unknown(line),
    }
}

/// What the first section says of naming holds for all.
pub(crate) fn tell_of_differences(blocks: &[DnsBlock], report: &mut Report) {
    let mut sections = blocks.iter().filter_map(|block| block.kubernetes.as_ref());
    let Some(first) = sections.next() else { return };
    let naming = |section: &DnsKubernetes| {
        let labels = section.labels.clone();
        (section.ttl_seconds, section.endpoint_pod_names, section.endpoint_names, labels)
    };
    for other in sections.filter(|other| naming(other) != naming(first)) {
        let (file, line) = other.at.rsplit_once(':').unwrap_or_default();
        let at = Place { file: file.to_owned(), line: line.parse().unwrap_or_default() };
        let how =
            format!("`ttl`, `endpoint_pod_names`, `noendpoints` and `labels` of {} hold for all", first.at);
        report.add(at, "kubernetes".to_owned(), Verdict::changed(how));
    }
}
