//! The network configuration from standard input.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use types::LinkName;

use crate::CniError;
use crate::invocation::Command;
use crate::previous::PreviousResult;
use crate::runtime_config::{self, RuntimeConfig};

/// Versions of the specification that we answer in, oldest first.
pub const SUPPORTED_VERSIONS: [&str; 4] = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// What we read of the configuration; what we do not know belongs to the runtime.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NetworkConfig {
    #[serde(default)]
    pub(crate) cni_version: String,
    /// Which plugin is meant.
    #[serde(rename = "type", default)]
    plugin: String,
    /// The node's state directory, shared with its agent.
    #[serde(default)]
    pub(crate) state_dir: PathBuf,
    /// How long the address of a Pod that is gone is given to nobody, in seconds.
    #[serde(default = "quarantine_seconds")]
    quarantine_seconds: u64,
    #[serde(default, deserialize_with = "runtime_config::in_any_case")]
    pub(crate) runtime_config: RuntimeConfig,
    /// Another plugin of the list makes the link. STATUS has to be told, as it gets no `prevResult`.
    #[serde(default)]
    pub(crate) chained: bool,
    prev_result: Option<Value>,
    #[serde(rename = "cni.dev/valid-attachments", default, deserialize_with = "even_if_null")]
    pub(crate) valid_attachments: Option<Vec<ValidAttachment>>,
}

/// An attachment that GC must keep.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ValidAttachment {
    #[serde(rename = "containerID")]
    pub(crate) container_id: String,
    pub(crate) ifname: LinkName,
}

/// A list that is named and null is an empty one, as Go writes it.
fn even_if_null<'de, D: serde::Deserializer<'de>>(
    input: D,
) -> Result<Option<Vec<ValidAttachment>>, D::Error> {
    let list: Option<Vec<ValidAttachment>> = Option::deserialize(input)?;
    Ok(Some(list.unwrap_or_default()))
}

/// As long as an answer of the cluster's DNS lives (CoreDNS' default `ttl`).
fn quarantine_seconds() -> u64 {
    30
}

impl NetworkConfig {
    /// How long the address of a Pod that is gone is given to nobody.
    pub(crate) fn quarantine(&self) -> Duration {
        Duration::from_secs(self.quarantine_seconds)
    }

    /// Whether a runtime wants only `lo` brought up.
    pub(crate) fn is_loopback(&self) -> bool {
        self.plugin == "loopback"
    }

    /// What plugins before us answered; none when we are the first.
    pub(crate) fn previous(&self) -> Result<Option<PreviousResult>, CniError> {
        self.prev_result.as_ref().map(PreviousResult::parse).transpose()
    }

    pub(crate) fn parse(input: &[u8]) -> Result<Self, CniError> {
        let config: Self = serde_json::from_slice(input)
            .map_err(|source| CniError::Decode { what: "network configuration".into(), source })?;
        Ok(config)
    }

    /// Whether this command exists in the version asked, and has what it needs.
    pub(crate) fn require_support(&self, command: Command) -> Result<(), CniError> {
        let oldest = match command {
            Command::Add | Command::Del | Command::Version => "0.3.1",
            Command::Check => "0.4.0",
            Command::Gc | Command::Status => "1.1.0",
        };
        // In our list, the order of texts is the order of versions.
        let supported: Vec<_> = SUPPORTED_VERSIONS.into_iter().filter(|version| *version >= oldest).collect();
        if !supported.contains(&self.cni_version.as_str()) {
            return Err(CniError::Version {
                asked: self.cni_version.clone(),
                command: command.name(),
                supported: supported.join(", "),
            });
        }
        if self.state_dir.as_os_str().is_empty() && !self.is_loopback() {
            let reason = "stateDir is missing; it names the state directory of the node's agent".into();
            return Err(CniError::Config { reason });
        }
        Ok(())
    }
}

/// The version to answer in, also when the rest of the configuration is not understood.
pub(crate) fn asked_version(input: &[u8]) -> String {
    let config: Option<serde_json::Value> = serde_json::from_slice(input).ok();
    let asked = config.as_ref().and_then(|config| config["cniVersion"].as_str()).unwrap_or_default();
    let newest = SUPPORTED_VERSIONS[SUPPORTED_VERSIONS.len() - 1];
    SUPPORTED_VERSIONS.into_iter().find(|version| *version == asked).unwrap_or(newest).to_owned()
}
