//! `prevResult`: what the plugins before us answered, or for CHECK, all plugins of the list together.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Value, json};
use types::{LinkName, Mac};

use crate::CniError;
use crate::runtime_config::parse_address;

/// The part of a result that we look at, with the whole of it.
#[derive(Clone, Debug)]
pub(crate) struct PreviousResult {
    whole: Value,
    fields: Fields,
}

/// As in versions 0.3.0 to 1.1.0 of the specification.
#[derive(Clone, Debug, Deserialize)]
struct Fields {
    #[serde(default)]
    interfaces: Vec<Interface>,
    #[serde(default)]
    ips: Vec<Ip>,
}

#[derive(Clone, Debug, Deserialize)]
struct Interface {
    name: String,
    mac: Option<String>,
    /// The node's end has none, or an empty one.
    #[serde(default)]
    sandbox: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Ip {
    address: String,
    /// Index in `interfaces`.
    interface: Option<usize>,
}

/// A Pod's link that another plugin made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The Pod's addresses; at least one.
    pub(crate) addresses: Vec<IpAddr>,
    /// The link on the node's side that its packets come through.
    pub(crate) host_link: LinkName,
    pub(crate) host_mac: Option<Mac>,
    pub(crate) pod_mac: Option<Mac>,
}

impl PreviousResult {
    pub(crate) fn parse(whole: &Value) -> Result<Self, CniError> {
        let fields = Fields::deserialize(whole)
            .map_err(|source| CniError::Decode { what: "prevResult".into(), source })?;
        // Fields in the order of their names would be understood, too, and could not be handed on in another version.
        if !whole.is_object() {
            return Err(CniError::Config { reason: "prevResult is not an object".into() });
        }
        Ok(Self { whole: whole.clone(), fields })
    }

    /// Every address in it.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.fields.ips.iter().filter_map(|ip| parse_address(&ip.address))
    }

    /// The link of this name inside the Pod, and its other end.
    pub(crate) fn endpoint(&self, ifname: &LinkName) -> Result<Endpoint, CniError> {
        let unusable = |reason: String| CniError::Config { reason: format!("prevResult.{reason}") };
        let interfaces = || self.fields.interfaces.iter().enumerate();
        let (index, pod) = interfaces()
            .find(|(_, interface)| !interface.sandbox.is_empty() && interface.name == ifname.0)
            .ok_or_else(|| unusable(format!("interfaces: none is {ifname} with a sandbox")))?;
        // A bridge comes before the port that leads to the Pod.
        let (_, host) = interfaces().rfind(|(_, interface)| interface.sandbox.is_empty()).ok_or_else(|| {
            unusable(format!(
                "interfaces: none is on the node's side of {ifname}; what does not pass through the node has neither \
                 policy nor Services"
            ))
        })?;
        let mut addresses = Vec::new();
        for (number, ip) in self.fields.ips.iter().enumerate() {
            if ip.interface.is_none_or(|interface| interface == index) {
                let address = parse_address(&ip.address);
                let invalid =
                    || unusable(format!("ips[{number}].address: `{}` is not an address", ip.address));
                addresses.push(address.ok_or_else(invalid)?);
            }
        }
        if addresses.is_empty() {
            return Err(unusable(format!("ips: none belongs to {ifname}")));
        }
        let mac = |interface: &Interface| Mac::try_from(interface.mac.clone()?).ok();
        Ok(Endpoint {
            addresses,
            host_link: LinkName(host.name.clone()),
            host_mac: mac(host),
            pod_mac: mac(pod),
        })
    }

    /// The whole, unchanged, for whoever comes after us.
    pub(crate) fn in_version(&self, version: &str) -> Value {
        let mut whole = self.whole.clone();
        whole["cniVersion"] = json!(version);
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(result: &Value) -> Result<Endpoint, String> {
        let parsed = PreviousResult::parse(result).unwrap();
        parsed.endpoint(&"eth0".into()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_result_of_a_bridge_names_the_port() {
        let result = json!({
            "interfaces": [
                {"name": "cni0", "mac": "0a:00:00:00:00:01"},
                {"name": "veth1", "mac": "0a:00:00:00:00:02", "sandbox": ""},
                {"name": "eth0", "mac": "0a:00:00:00:00:03", "sandbox": "/run/netns/a"},
            ],
            "ips": [
                {"version": "4", "address": "10.88.0.2/16", "gateway": "10.88.0.1", "interface": 2},
                {"version": "4", "address": "10.88.0.1/16", "interface": 0},
                {"version": "6", "address": "fd00::2/64"},
            ],
        });
        let endpoint = endpoint(&result).unwrap();
        assert_eq!(endpoint.host_link, "veth1".into());
        assert_eq!(endpoint.addresses, ["10.88.0.2".parse::<IpAddr>().unwrap(), "fd00::2".parse().unwrap()]);
        assert_eq!(endpoint.pod_mac, Some(Mac([10, 0, 0, 0, 0, 3])));
    }

    #[test]
    fn a_list_of_fields_is_no_result() {
        let list = json!([
            [{"name": "veth1"}, {"name": "eth0", "sandbox": "/run/netns/a"}],
            [{"address": "10.88.0.2/16"}],
        ]);
        assert!(PreviousResult::parse(&list).unwrap_err().to_string().contains("not an object"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let pod = json!({"name": "eth0", "sandbox": "/run/netns/a"});
        let host = json!({"name": "veth1"});
        let ips = json!([{"address": "10.88.0.2/16"}]);
        for (interfaces, ips, wanted) in [
            (json!([]), &ips, "prevResult.interfaces: none is eth0 with a sandbox"),
            (json!([host]), &ips, "prevResult.interfaces: none is eth0 with a sandbox"),
            (json!([pod]), &ips, "prevResult.interfaces: none is on the node's side of eth0"),
            (json!([host, pod]), &json!([]), "prevResult.ips: none belongs to eth0"),
            (
                json!([host, pod]),
                &json!([{"address": "x"}]),
                "prevResult.ips[0].address: `x` is not an address",
            ),
            (
                json!([host, pod]),
                &json!([{"address": "10.88.0.2/16", "interface": 0}]),
                "prevResult.ips: none belongs to eth0",
            ),
        ] {
            let error = endpoint(&json!({"interfaces": interfaces, "ips": ips})).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
