//! The network configuration from standard input.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use types::{LinkName, Mac};

use crate::CniError;
use crate::invocation::Command;

/// Versions of the specification that we answer in, oldest first.
pub const SUPPORTED_VERSIONS: [&str; 4] = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// What we read of the configuration; what we do not know belongs to the runtime.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NetworkConfig {
    #[serde(default)]
    pub(crate) cni_version: String,
    /// The node's state directory, shared with its agent.
    #[serde(default)]
    pub(crate) state_dir: PathBuf,
    /// How long the address of a Pod that is gone is given to nobody, in seconds.
    #[serde(default = "quarantine_seconds")]
    quarantine_seconds: u64,
    #[serde(default)]
    pub(crate) runtime_config: RuntimeConfig,
    pub(crate) prev_result: Option<PreviousResult>,
    #[serde(rename = "cni.dev/valid-attachments")]
    pub(crate) valid_attachments: Option<Vec<ValidAttachment>>,
}

/// What the runtime adds for capabilities that the configuration list declares.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct RuntimeConfig {
    /// Wished addresses, with or without prefix length.
    #[serde(default)]
    pub(crate) ips: Vec<String>,
    /// The wished link-layer address.
    mac: Option<String>,
}

/// The part of an earlier ADD's result that CHECK compares.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PreviousResult {
    #[serde(default)]
    pub(crate) ips: Vec<PreviousIp>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PreviousIp {
    pub(crate) address: String,
}

/// An attachment that GC must keep.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ValidAttachment {
    #[serde(rename = "containerID")]
    pub(crate) container_id: String,
    pub(crate) ifname: LinkName,
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
        if self.state_dir.as_os_str().is_empty() {
            let reason = "stateDir is missing; it names the state directory of the node's agent".into();
            return Err(CniError::Config { reason });
        }
        Ok(())
    }

    /// The link-layer address that the runtime wishes for.
    pub(crate) fn wished_mac(&self) -> Result<Option<Mac>, CniError> {
        let Some(text) = self.runtime_config.mac.as_deref() else { return Ok(None) };
        let invalid = |what: &str| {
            let reason = format!("runtimeConfig.mac: `{text}` {what}, such as 0a:58:0a:f4:01:05");
            CniError::Config { reason }
        };
        let mac = Mac::try_from(text.to_owned()).map_err(|_| invalid("is not a link-layer address"))?;
        // A group's address cannot be a sender's (IEEE 802-2014, section 8.2).
        if mac.0[0] & 1 == 1 || mac.0 == [0; 6] {
            return Err(invalid("is not the address of one station"));
        }
        Ok(Some(mac))
    }

    /// The address of this family that the runtime wishes for.
    pub(crate) fn wish(&self, family: types::IpFamily) -> Result<Option<IpAddr>, CniError> {
        for text in &self.runtime_config.ips {
            let address = parse_address(text).ok_or_else(|| CniError::Config {
                reason: format!("runtimeConfig.ips: `{text}` is not an address"),
            })?;
            if types::IpFamily::of(address) == family {
                return Ok(Some(address));
            }
        }
        Ok(None)
    }
}

/// An address, with or without a prefix length behind it.
pub(crate) fn parse_address(text: &str) -> Option<IpAddr> {
    text.split('/').next().and_then(|address| address.parse().ok())
}

/// The version to answer in, also when the rest of the configuration is not understood.
pub(crate) fn asked_version(input: &[u8]) -> String {
    let config: Option<serde_json::Value> = serde_json::from_slice(input).ok();
    let asked = config.as_ref().and_then(|config| config["cniVersion"].as_str()).unwrap_or_default();
    let newest = SUPPORTED_VERSIONS[SUPPORTED_VERSIONS.len() - 1];
    SUPPORTED_VERSIONS.into_iter().find(|version| *version == asked).unwrap_or(newest).to_owned()
}
