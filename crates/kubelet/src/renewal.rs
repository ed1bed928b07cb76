//! Files of running containers that change under them: tokens before they end, and what ConfigMaps and Secrets hold.

use std::time::Duration;

use apply_kube::Error;
use engine_kubelet::tokens::Token;
use engine_kubelet::volumes::{self, TokenWish};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use serde_json::json;
use types::NamespacedName;

use crate::container::PodContext;
use crate::rootfs;

/// Pause before a token that could not be renewed is asked for again (kubelet: the next sync of the Pod's volumes).
pub(crate) const RETRY: Duration = Duration::from_secs(10);

impl PodContext {
    /// The token that a volume wants: the one that the Pod has, until it is to be renewed. One that cannot be renewed is
    /// good until it ends.
    pub(crate) async fn token(&self, wish: &TokenWish) -> Option<String> {
        let now = Timestamp::now();
        let held = self.held.token(wish);
        if let Some(token) = held.as_ref().filter(|token| now < token.renew_at) {
            return Some(token.text.clone());
        }
        match self.ask_for_token(wish, now).await {
            Ok(token) => {
                self.held.keep_token(wish.clone(), token.clone());
                Some(token.text)
            }
            Err(error) => {
                tracing::warn!(pod = self.name(), namespace = self.namespace(), %error, "no token for a Pod's volume");
                held.filter(|token| now < token.ends_at).map(|token| token.text)
            }
        }
    }

    async fn ask_for_token(&self, wish: &TokenWish, now: Timestamp) -> Result<Token, Error> {
        let account = self.pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
        let account = NamespacedName::new(self.namespace(), account.unwrap_or_else(|| "default".to_owned()));
        let audiences: Vec<&str> =
            Some(wish.audience.as_str()).filter(|name| !name.is_empty()).into_iter().collect();
        let spec = json!({
            "audiences": audiences,
            "expirationSeconds": wish.seconds,
            "boundObjectRef": {
                "apiVersion": "v1", "kind": "Pod", "name": self.name(), "uid": self.held.uid,
            },
        });
        let answer = self.node.writer.token(&account, &spec).await?;
        let text = |field: &str| answer["status"][field].as_str().unwrap_or_default();
        let ends_at = text("expirationTimestamp").parse().unwrap_or(now);
        Ok(Token::issued(text("token").to_owned(), now, ends_at))
    }

    /// Brings the files of running containers up to date.
    pub(crate) async fn renew_files(&self, containers: Vec<Container>) {
        for container in containers {
            let Ok(held) = self.held.container(&container.name) else { continue };
            let sources = self.sources_now(&container).await;
            // What is missing now leaves the files as they are, as upstream.
            let Ok(now) = volumes::mounts(&self.pod, &container, &sources, &self.place()) else { continue };
            let changed: Vec<_> = volumes::renewed(&held.mounts, &now)
                .into_iter()
                .map(|(old, new)| (old.clone(), new.clone()))
                .collect();
            if changed.is_empty() || !held.is_running {
                continue;
            }
            self.held.remount(&container.name, now);
            // A container that nobody looked into yet has no files to change.
            let Some(root) = self.held.sandbox.get().and_then(|(sandbox, _)| sandbox.made_root()) else {
                continue;
            };
            let written = tokio::task::spawn_blocking(move || rootfs::renew(&root, &changed)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(pod = self.name(), container = container.name, %error, "files were not renewed");
            }
        }
    }
}
