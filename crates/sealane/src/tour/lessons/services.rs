//! Lessons 3 to 6 and 11: Services and the Pods behind them.

use std::collections::BTreeSet;

use anyhow::Result;
use types::{PodName, ServiceName};

use super::{node_addresses, node_port_of, pod, pod_address, ready_pods, url};
use crate::cmd::probe::Observation;
use crate::tour::guide::{Answer, Check, Guide, Place};

/// Attempts that make it near certain that each of three Pods is met: all miss one with a chance of 3·(2/3)^30.
const DRAWS: u32 = 30;

fn http(url: &str, count: u32) -> Vec<String> {
    let mut words = vec!["http".to_owned(), url.to_owned()];
    if count > 1 {
        words.extend(["--count".to_owned(), count.to_string()]);
    }
    words
}

/// Whether every attempt was answered, and exactly by these Pods.
fn answered_by(seen: &[Observation], wanted: &BTreeSet<String>) -> bool {
    let answers: Option<Vec<_>> = seen.iter().map(Answer::of).collect();
    answers.is_some_and(|answers| {
        answers.into_iter().map(|answer| answer.pod).collect::<BTreeSet<_>>() == *wanted
    })
}

fn names(pods: &[(String, std::net::IpAddr)]) -> BTreeSet<String> {
    pods.iter().map(|(name, _)| name.clone()).collect()
}

/// Lesson 3.
pub(crate) async fn service(guide: &mut Guide) -> Result<()> {
    let web = ServiceName::new("service", "web");
    let why = Some(("pod/service/client".to_owned(), "http://web/".to_owned()));
    let from = || pod("service", "client");
    pod_address(guide, "service", "client").await?;

    let before = ready_pods(guide, &web, 1).await?;
    let wanted = names(&before);
    guide
        .check(Check {
            place: from(),
            probe: http("http://web/", 3),
            expect: format!("the Service is answered by its one Pod {}", before[0].0),
            test: Box::new(move |seen| answered_by(seen, &wanted)),
            why: why.clone(),
        })
        .await?;

    guide.delete_pod(&PodName::new("service", before[0].0.clone())).await?;
    let gone = before[0].0.clone();
    let after = guide
        .wait("the replacement of the deleted Pod", |snapshot| {
            let slices = snapshot.endpoint_slices.values();
            let slices = slices.filter(|slice| slice.service.as_ref() == Some(&web));
            let mut ready = slices.flat_map(|slice| &slice.endpoints).filter(|endpoint| endpoint.ready);
            let other = ready.find(|endpoint| endpoint.pod.as_ref().is_some_and(|pod| pod.name != gone))?;
            Some((other.pod.as_ref()?.name.clone(), other.address))
        })
        .await?;
    guide.record(
        &format!("kubectl -n service delete pod {gone}"),
        "its replacement has another address",
        &format!("{} had {}, {} has {}", before[0].0, before[0].1, after.0, after.1),
        before[0].1 != after.1,
    );
    let wanted = BTreeSet::from([after.0.clone()]);
    guide
        .check(Check {
            place: from(),
            probe: http("http://web/", 3),
            expect: format!("the same Service is answered by the replacement {}", after.0),
            test: Box::new(move |seen| answered_by(seen, &wanted)),
            why: why.clone(),
        })
        .await?;

    guide.scale(&web, 3).await?;
    let wanted = names(&ready_pods(guide, &web, 3).await?);
    let all = wanted.iter().cloned().collect::<Vec<_>>().join(", ");
    let command = "kubectl -n service scale deployment web --replicas=3";
    guide.record(command, "three Pods are ready", &all, wanted.len() == 3);
    guide
        .check(Check {
            place: from(),
            probe: http("http://web/", DRAWS),
            expect: "all three Pods answer".to_owned(),
            test: Box::new(move |seen| answered_by(seen, &wanted)),
            why,
        })
        .await
}

/// Lesson 4.
pub(crate) async fn ports(guide: &mut Guide) -> Result<()> {
    ready_pods(guide, &ServiceName::new("ports", "web"), 2).await?;
    let cases = [
        ("http://web/", 8080, "port 80 leads to targetPort 8080, a number"),
        ("http://web:8000/", 8080, "port 8000 leads to targetPort http, the name of container port 8080"),
        ("http://web:9000/", 9090, "port 9000 leads to targetPort metrics, the name of container port 9090"),
    ];
    for (url, port, expect) in cases {
        let check = Check {
            place: pod("ports", "client"),
            probe: http(url, 1),
            expect: expect.to_owned(),
            test: Box::new(move |seen| {
                seen.iter().all(|seen| Answer::of(seen).is_some_and(|answer| answer.port == port))
            }),
            why: Some(("pod/ports/client".to_owned(), url.to_owned())),
        };
        guide.check(check).await?;
    }
    Ok(())
}

/// Lesson 5.
pub(crate) async fn node_port(guide: &mut Guide) -> Result<()> {
    let chosen = ServiceName::new("nodeport", "chosen");
    let automatic = ServiceName::new("nodeport", "automatic");
    let pods = names(&ready_pods(guide, &chosen, 1).await?);
    let nodes = node_addresses(guide).await?;
    let ports = [(30080, "chosen"), (node_port_of(guide, &automatic).await?, "automatic")];
    for (port, how) in ports {
        for (node, address) in &nodes {
            let wanted = pods.clone();
            let check = Check {
                place: Place::Outside,
                probe: http(&url(*address, port), 1),
                expect: format!("the {how} port {port} answers on {node}"),
                test: Box::new(move |seen| answered_by(seen, &wanted)),
                why: Some(("outside".to_owned(), url(*address, port))),
            };
            guide.check(check).await?;
        }
    }
    Ok(())
}

/// Lesson 6.
pub(crate) async fn load_balancer(guide: &mut Guide) -> Result<()> {
    let web = ServiceName::new("loadbalancer", "web");
    let wanted = names(&ready_pods(guide, &web, 2).await?);
    let address = guide
        .wait("the load balancer's address", |snapshot| {
            snapshot.services.get(&web)?.status.first().map(|ingress| ingress.address)
        })
        .await?;
    guide.record(
        "kubectl -n loadbalancer get service web",
        "the Service has an external address",
        &address.to_string(),
        true,
    );
    guide
        .check(Check {
            place: Place::Outside,
            probe: http(&url(address, 80), DRAWS),
            expect: format!("{address} is answered by both Pods"),
            test: Box::new(move |seen| answered_by(seen, &wanted)),
            why: Some(("outside".to_owned(), url(address, 80))),
        })
        .await
}

/// Lesson 11.
pub(crate) async fn readiness(guide: &mut Guide) -> Result<()> {
    let web = ServiceName::new("readiness", "web");
    let why = || Some(("pod/readiness/client".to_owned(), "http://web/".to_owned()));
    let pods = ready_pods(guide, &web, 2).await?;
    let both = names(&pods);
    let wanted = both.clone();
    guide
        .check(Check {
            place: pod("readiness", "client"),
            probe: http("http://web/", DRAWS),
            expect: "both Pods answer".to_owned(),
            test: Box::new(move |seen| answered_by(seen, &wanted)),
            why: why(),
        })
        .await?;

    let (sick, address) = pods[0].clone();
    guide.reach().set_ready(address, false).await?;
    let rest = ready_pods(guide, &web, 1).await?;
    guide.record(
        &guide.reach().set_ready_command(address, false),
        &format!("the readiness probe of {sick} fails, and one ready endpoint is left"),
        &format!("{} is left", rest[0].0),
        rest[0].0 != sick,
    );
    let wanted = names(&rest);
    guide
        .check(Check {
            place: pod("readiness", "client"),
            probe: http("http://web/", DRAWS),
            expect: format!("only {} answers; {sick} is running but gets no traffic", rest[0].0),
            test: Box::new(move |seen| answered_by(seen, &wanted)),
            why: why(),
        })
        .await?;

    guide.reach().set_ready(address, true).await?;
    let back = ready_pods(guide, &web, 2).await?.len() == 2;
    let command = guide.reach().set_ready_command(address, true);
    guide.record(&command, "the probe succeeds again, and two endpoints are ready", "two are ready", back);
    guide
        .check(Check {
            place: pod("readiness", "client"),
            probe: http("http://web/", DRAWS),
            expect: "both Pods answer again".to_owned(),
            test: Box::new(move |seen| answered_by(seen, &both)),
            why: why(),
        })
        .await
}
