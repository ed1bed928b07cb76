//! What goes to standard output, in the shape of each version.

use serde::Serialize;
use types::{Attachment, IpFamily, PodLink};

use crate::CniError;

/// The result of ADD.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddResult {
    cni_version: String,
    interfaces: Vec<Interface>,
    ips: Vec<Ip>,
    routes: Vec<Route>,
    dns: Dns,
}

#[derive(Debug, Serialize)]
struct Interface {
    name: String,
    mac: String,
    /// Since 1.1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u32>,
    /// The node's end has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<String>,
}

#[derive(Debug, Serialize)]
struct Ip {
    /// Before 1.0.0 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    address: String,
    gateway: String,
    /// Index in `interfaces`.
    interface: usize,
}

#[derive(Debug, Serialize)]
struct Route {
    dst: String,
    gw: String,
    /// Since 1.1.0; where it is missing, the link's.
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u32>,
}

/// Empty: kubelet writes the Pod's resolver configuration.
#[derive(Debug, Serialize)]
struct Dns {}

/// The answer to VERSION.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VersionAnswer {
    pub(crate) cni_version: String,
    pub(crate) supported_versions: &'static [&'static str],
}

/// The answer of a call that failed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorAnswer {
    cni_version: String,
    code: u32,
    msg: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    details: String,
}

/// Everything that a command can answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    Added(AddResult),
    /// The result of the plugin before us, or of one that we stand in for.
    Passed(serde_json::Value),
    Version(VersionAnswer),
}

impl AddResult {
    pub(crate) fn new(version: &str, attachment: &Attachment, link: &PodLink) -> Self {
        let mtu = (version >= "1.1.0").then_some(link.mtu);
        let host = Interface {
            name: attachment.host_link.to_string(),
            mac: attachment.host_mac.to_string(),
            mtu,
            sandbox: None,
        };
        let pod = Interface {
            name: attachment.ifname.to_string(),
            mac: attachment.pod_mac.to_string(),
            mtu,
            sandbox: Some(attachment.netns.clone()),
        };
        let families = attachment.addresses.iter().map(|address| (address, IpFamily::of(*address)));
        let ips = families.clone().map(|(address, family)| Ip {
            version: (version < "1.0.0").then_some(match family {
                IpFamily::V4 => "4",
                IpFamily::V6 => "6",
            }),
            address: format!("{address}/{}", family.host_prefix_len()),
            gateway: gateway(family),
            interface: 1,
        });
        let is_narrowed = link.path_mtu < link.mtu;
        let routes = families.clone().flat_map(|(_, family)| {
            let default = Route {
                dst: match family {
                    IpFamily::V4 => "0.0.0.0/0".to_owned(),
                    IpFamily::V6 => "::/0".to_owned(),
                },
                gw: gateway(family),
                mtu: (is_narrowed && version >= "1.1.0").then_some(link.path_mtu),
            };
            let local = link.local.iter().filter(move |range| is_narrowed && range.family() == family);
            let local =
                local.map(move |range| Route { dst: range.to_string(), gw: gateway(family), mtu: None });
            std::iter::once(default).chain(local)
        });
        Self {
            cni_version: version.to_owned(),
            interfaces: vec![host, pod],
            ips: ips.collect(),
            routes: routes.collect(),
            dns: Dns {},
        }
    }
}

impl ErrorAnswer {
    pub(crate) fn new(version: &str, error: &CniError) -> Self {
        Self {
            cni_version: version.to_owned(),
            code: error.code(),
            msg: error.to_string(),
            details: error.details(),
        }
    }
}

fn gateway(family: IpFamily) -> String {
    match family {
        IpFamily::V4 => apply_netlink::POD_GATEWAY_V4.to_string(),
        IpFamily::V6 => apply_netlink::POD_GATEWAY_V6.to_string(),
    }
}
