//! Lessons 7 and 8: names.

use anyhow::Result;
use types::ServiceName;

use super::{pod, pod_address, ready_pods};
use crate::cmd::probe::Observation;
use crate::tour::guide::{Answer, Check, Guide};

fn answers(seen: &[Observation]) -> bool {
    seen.iter().all(|seen| Answer::of(seen).is_some())
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// A question that must be answered with a record that contains `text`.
fn shows<'a>(namespace: &str, question: &str, text: &'a str, expect: &str) -> Check<'a> {
    Check {
        place: pod(namespace, "client"),
        probe: words(question),
        expect: expect.to_owned(),
        test: Box::new(move |seen| {
            seen.iter().all(|seen| seen.records.iter().any(|record| record.contains(text)))
        }),
        why: None,
    }
}

fn reaches(namespace: &str, url: &str, expect: &str) -> Check<'static> {
    Check {
        place: pod(namespace, "client"),
        probe: words(&format!("http {url}")),
        expect: expect.to_owned(),
        test: Box::new(answers),
        why: Some((format!("pod/{namespace}/client"), url.to_owned())),
    }
}

/// Lesson 7.
pub(crate) async fn external_name(guide: &mut Guide) -> Result<()> {
    ready_pods(guide, &ServiceName::new("externalname", "web"), 1).await?;
    pod_address(guide, "externalname", "client").await?;
    let target = "CNAME web.externalname.svc.cluster.local";
    let expect = "alias is a CNAME of web";
    let question = "dns alias.externalname.svc.cluster.local --type CNAME";
    guide.check(shows("externalname", question, target, expect)).await?;
    guide.check(reaches("externalname", "http://alias/", "the alias leads to the Pods of web")).await?;
    let question = "dns elsewhere.externalname.svc.cluster.local --type CNAME";
    let expect = "elsewhere is a CNAME of a name outside the cluster";
    guide.check(shows("externalname", question, "CNAME www.example.com", expect)).await
}

/// Lesson 8.
pub(crate) async fn dns(guide: &mut Guide) -> Result<()> {
    let pods = ready_pods(guide, &ServiceName::new("dns", "each"), 2).await?;
    pod_address(guide, "dns", "client").await?;
    pod_address(guide, "dns-other", "client").await?;
    guide.check(reaches("dns", "http://web/", "the short name is found in the same namespace")).await?;
    guide
        .check(reaches("dns-other", "http://web.dns/", "name.namespace is found from another namespace"))
        .await?;
    let full = "http://web.dns.svc.cluster.local/";
    guide.check(reaches("dns-other", full, "the full name is found from anywhere")).await?;

    let check = Check {
        place: pod("dns-other", "client"),
        probe: words("http http://web/"),
        expect: "the short name fails in a namespace that has no such Service".to_owned(),
        test: Box::new(|seen| seen.iter().all(|seen| !seen.ok)),
        why: Some(("pod/dns-other/client".to_owned(), "http://web/".to_owned())),
    };
    guide.check(check).await?;

    let kind = if pods.iter().all(|(_, address)| address.is_ipv4()) { "A" } else { "AAAA" };
    let addresses: Vec<String> = pods.iter().map(|(_, address)| format!("{kind} {address}")).collect();
    let check = Check {
        place: pod("dns", "client"),
        probe: words(&format!("dns each.dns.svc.cluster.local --type {kind}")),
        expect: "a headless Service is found at the addresses of all its Pods".to_owned(),
        test: Box::new(move |seen| {
            let has = |address: &String, seen: &Observation| {
                seen.records.iter().any(|record| record.ends_with(address))
            };
            seen.iter().all(|seen| addresses.iter().all(|address| has(address, seen)))
        }),
        why: None,
    };
    guide.check(check).await?;
    let question = "dns _http._tcp.web.dns.svc.cluster.local --type SRV";
    let expect = "a named port is found with its number";
    guide.check(shows("dns", question, " 80 web.dns.svc.cluster.local", expect)).await
}
