//! Lesson 9: the HTTP entry.

use anyhow::{Context, Result};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::json;
use types::{NamespacedName, ServiceName};

use super::ready_pods;
use crate::cmd::probe::Observation;
use crate::tour::guide::{Answer, Check, Guide, Place};

/// One request to the entry on the host's loopback.
struct Case {
    url: &'static str,
    expect: &'static str,
    test: fn(&Observation) -> bool,
}

const CASES: &[Case] = &[
    Case {
        url: "http://shop.example.com/",
        expect: "plain HTTP is redirected to HTTPS with 308, because the host has TLS",
        test: |seen| seen.status == Some(308) && seen.location.as_deref() == Some("https://shop.example.com"),
    },
    Case {
        url: "https://shop.example.com/",
        expect: "/ goes to shop, with the certificate of the Secret",
        test: |seen| {
            seen.certificate.as_deref() == Some("shop.example.com")
                && is_from(seen, "shop-")
                && has_path(seen, "/")
        },
    },
    Case {
        url: "https://shop.example.com/api/orders",
        expect: "/api goes to api, and the path stays",
        test: |seen| is_from(seen, "api-") && has_path(seen, "/api/orders"),
    },
    Case {
        url: "http://blog.example.com/articles/today",
        expect: "the other host goes to blog, and /articles is cut off by the rewrite",
        test: |seen| is_from(seen, "blog-") && has_path(seen, "/today"),
    },
    Case {
        url: "http://blog.example.com/nowhere",
        expect: "an unknown path is answered with 404",
        test: |seen| seen.status == Some(404),
    },
    Case {
        url: "http://unknown.example.com/",
        expect: "an unknown host is answered with 404",
        test: |seen| seen.status == Some(404),
    },
];

fn is_from(seen: &Observation, prefix: &str) -> bool {
    seen.status == Some(200) && Answer::of(seen).is_some_and(|answer| answer.pod.starts_with(prefix))
}

fn has_path(seen: &Observation, path: &str) -> bool {
    Answer::of(seen).is_some_and(|answer| answer.path == path)
}

/// Lesson 9.
pub(crate) async fn ingress(guide: &mut Guide) -> Result<()> {
    guide.apply_object(&secret()?).await?;
    for service in ["shop", "api", "blog"] {
        ready_pods(guide, &ServiceName::new("ingress", service), 1).await?;
    }
    let name = NamespacedName::new("ingress", "shop");
    let addresses = guide
        .wait("the Ingress's address", |snapshot| {
            let ingress = snapshot.ingresses.get(&name)?;
            let addresses: Vec<_> = ingress.status.iter().map(ToString::to_string).collect();
            (!addresses.is_empty()).then(|| addresses.join(", "))
        })
        .await?;
    guide.record("kubectl -n ingress get ingress shop", "the Ingress has an address", &addresses, true);
    for case in CASES {
        let test = case.test;
        let check = Check {
            place: Place::Host,
            probe: vec!["http".to_owned(), case.url.to_owned()],
            expect: case.expect.to_owned(),
            test: Box::new(move |seen| seen.iter().all(test)),
            why: Some(("outside".to_owned(), case.url.to_owned())),
        };
        guide.check(check).await?;
    }
    Ok(())
}

/// A self-made certificate for shop.example.com, as a TLS Secret.
fn secret() -> Result<serde_json::Value> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["shop.example.com".to_owned()]).context("cannot make a certificate")?;
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": "shop-tls", "namespace": "ingress"},
        "stringData": {"tls.crt": cert.pem(), "tls.key": signing_key.serialize_pem()},
    }))
}
