//! Lesson 10: NetworkPolicy.

use anyhow::Result;
use types::ServiceName;

use super::{pod, ready_pods, url};
use crate::tour::guide::{Answer, Check, Guide};

/// Lesson 10.
pub(crate) async fn policy(guide: &mut Guide) -> Result<()> {
    let database = ready_pods(guide, &ServiceName::new("policy", "database"), 1).await?;
    let (database, address) = database[0].clone();
    let backend = app(guide, "backend").await?;
    let (frontend, frontend_address) = (app(guide, "frontend").await?, app_address(guide, "frontend").await?);

    let service = "http://database:8080/".to_owned();
    allowed(guide, &backend, service.clone(), "the backend reaches the database on its port").await?;
    denied(guide, &frontend, service, "the frontend does not").await?;
    let other_port = url(address, 9090);
    denied(guide, &backend, other_port, "the backend does not reach the database's other port").await?;
    let outward = url(frontend_address, 8080);
    denied(guide, &database, outward.clone(), "the database reaches nobody: it may not send").await?;
    allowed(guide, &backend, outward, "Pods that no policy selects are as free as before").await
}

async fn app(guide: &Guide, app: &'static str) -> Result<String> {
    guide
        .wait(&format!("a running Pod of {app}"), |snapshot| {
            let pod = find(snapshot, app)?;
            Some(pod.name.name.clone())
        })
        .await
}

async fn app_address(guide: &Guide, app: &'static str) -> Result<std::net::IpAddr> {
    guide
        .wait(&format!("an address of {app}"), |snapshot| find(snapshot, app)?.addresses.first().copied())
        .await
}

fn find<'a>(snapshot: &'a model::Snapshot, app: &str) -> Option<&'a model::Pod> {
    snapshot.pods.values().find(|pod| {
        pod.name.namespace == "policy"
            && pod.labels.get("app").is_some_and(|label| label == app)
            && !pod.addresses.is_empty()
    })
}

async fn allowed(guide: &mut Guide, from: &str, url: String, expect: &str) -> Result<()> {
    let check = Check {
        place: pod("policy", from),
        probe: vec!["http".to_owned(), url.clone()],
        expect: expect.to_owned(),
        test: Box::new(|seen| seen.iter().all(|seen| Answer::of(seen).is_some())),
        why: Some((format!("pod/policy/{from}"), url)),
    };
    guide.check(check).await
}

async fn denied(guide: &mut Guide, from: &str, url: String, expect: &str) -> Result<()> {
    let check = Check {
        place: pod("policy", from),
        probe: vec!["http".to_owned(), url.clone(), "--timeout".to_owned(), "700".to_owned()],
        expect: format!("{expect}: no answer"),
        test: Box::new(|seen| seen.iter().all(|seen| !seen.ok)),
        why: Some((format!("pod/policy/{from}"), url)),
    };
    guide.check(check).await
}
