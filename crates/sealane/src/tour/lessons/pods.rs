//! Lessons 1 and 2: what a Pod's network is.

use anyhow::Result;

use super::{pod, pod_address, url};
use crate::tour::guide::{Answer, Check, Guide, Place};

const PORT: u16 = 8080;

/// Lesson 1.
pub(crate) async fn containers(guide: &mut Guide) -> Result<()> {
    pod_address(guide, "containers", "duo").await?;
    for (from, port, to) in [("web", 9090, "admin"), ("admin", 8080, "web")] {
        let place =
            Place::Pod { pod: types::PodName::new("containers", "duo"), container: Some(from.to_owned()) };
        let check = Check {
            place,
            probe: vec!["http".to_owned(), format!("http://localhost:{port}/")],
            expect: format!("container {to} answers container {from} on localhost"),
            test: Box::new(move |seen| {
                seen.iter().all(|seen| Answer::of(seen).is_some_and(|answer| answer.container == to))
            }),
            why: None,
        };
        guide.check(check).await?;
    }
    Ok(())
}

/// Lesson 2.
pub(crate) async fn pods(guide: &mut Guide) -> Result<()> {
    let client = pod_address(guide, "pods", "client").await?.to_string();
    for (name, place) in [("near", "on the same node"), ("far", "on another node")] {
        let address = pod_address(guide, "pods", name).await?;
        let client = client.clone();
        let check = Check {
            place: pod("pods", "client"),
            probe: vec!["http".to_owned(), url(address, PORT)],
            expect: format!("Pod {name} {place} answers, and sees the client's own address {client}"),
            test: Box::new(move |seen| {
                let is_right = |answer: Answer| answer.pod == name && answer.client == client;
                seen.iter().all(|seen| Answer::of(seen).is_some_and(is_right))
            }),
            why: Some(("pod/pods/client".to_owned(), format!("pod/pods/{name}:{PORT}"))),
        };
        guide.check(check).await?;
    }
    Ok(())
}
