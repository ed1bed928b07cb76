//! `runtimeConfig`: what the runtime adds for the capabilities that the configuration declares.
//!
//! The fields are those of the CNI project's `CONVENTIONS.md`, in any case: Go programs read them so, and containerd
//! writes `HostPort` and `IngressRate` (`PortMapping` and `BandWidth` in go-cni have no names for JSON).

use std::net::IpAddr;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use types::{Bandwidth, Mac, Port, PortMapping, Rate};

use crate::CniError;

/// As it came; values are looked at by the command that needs them, so that DEL never fails of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) struct RuntimeConfig {
    /// Wished addresses, with or without prefix length.
    ips: Option<Vec<String>>,
    /// The wished link-layer address.
    mac: Option<String>,
    #[serde(rename = "portmappings")]
    port_mappings: Option<Vec<MappingWish>>,
    bandwidth: Option<BandwidthWish>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct MappingWish {
    #[serde(rename = "hostport")]
    host_port: i64,
    #[serde(rename = "containerport")]
    container_port: i64,
    protocol: String,
    #[serde(rename = "hostip")]
    host_ip: String,
}

/// In bits per second, and bits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct BandwidthWish {
    #[serde(rename = "ingressrate")]
    ingress_rate: i64,
    #[serde(rename = "ingressburst")]
    ingress_burst: i64,
    #[serde(rename = "egressrate")]
    egress_rate: i64,
    #[serde(rename = "egressburst")]
    egress_burst: i64,
}

/// Reads it with names in any case.
pub(crate) fn in_any_case<'de, D: Deserializer<'de>>(input: D) -> Result<RuntimeConfig, D::Error> {
    let given = Value::deserialize(input)?;
    serde_json::from_value(lower_case(given)).map_err(serde::de::Error::custom)
}

fn lower_case(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter();
            let lowered = fields.map(|(name, value)| (name.to_ascii_lowercase(), lower_case(value)));
            Value::Object(lowered.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(lower_case).collect()),
        other => other,
    }
}

impl RuntimeConfig {
    /// The addresses that the runtime wishes for.
    pub(crate) fn addresses(&self) -> Result<Vec<IpAddr>, CniError> {
        let texts = self.ips.iter().flatten().enumerate();
        let parse = |(index, text): (usize, &String)| {
            parse_address(text)
                .ok_or_else(|| invalid(&format!("ips[{index}]"), &format!("`{text}` is not an address")))
        };
        texts.map(parse).collect()
    }

    /// The link-layer address that the runtime wishes for.
    pub(crate) fn mac(&self) -> Result<Option<Mac>, CniError> {
        let Some(text) = self.mac.as_deref() else { return Ok(None) };
        let refuse = |what: &str| invalid("mac", &format!("`{text}` {what}, such as 0a:58:0a:f4:01:05"));
        let mac = Mac::try_from(text.to_owned()).map_err(|_| refuse("is not a link-layer address"))?;
        // A group's address cannot be a sender's (IEEE 802-2014, section 8.2).
        if mac.0[0] & 1 == 1 || mac.0 == [0; 6] {
            return Err(refuse("is not the address of one station"));
        }
        Ok(Some(mac))
    }

    /// Ports of the node that lead to the container.
    pub(crate) fn port_mappings(&self) -> Result<Vec<PortMapping>, CniError> {
        let mut mappings: Vec<PortMapping> = Vec::new();
        for (index, wish) in self.port_mappings.iter().flatten().enumerate() {
            let at = |field: &str| format!("portMappings[{index}].{field}");
            let mapping = wish.parse(&at)?;
            if mappings.iter().any(|other| other.meets(&mapping)) {
                let port = format!("{}/{} is mapped twice", mapping.host_port, mapping.protocol);
                return Err(invalid(&at("hostPort"), &port));
            }
            mappings.push(mapping);
        }
        Ok(mappings)
    }

    /// How fast the container may be.
    pub(crate) fn bandwidth(&self) -> Result<Bandwidth, CniError> {
        let Some(wish) = &self.bandwidth else { return Ok(Bandwidth::default()) };
        Ok(Bandwidth {
            ingress: rate("ingress", wish.ingress_rate, wish.ingress_burst)?,
            egress: rate("egress", wish.egress_rate, wish.egress_burst)?,
        })
    }

    /// What only the plugin that makes the link can do.
    pub(crate) fn refuse_for_foreign_links(&self) -> Result<(), CniError> {
        let has_limit = self.bandwidth()?.is_unlimited();
        let wishes = [
            ("runtimeConfig.ips", self.ips.as_ref().is_some_and(|ips| !ips.is_empty())),
            ("runtimeConfig.mac", self.mac.is_some()),
            ("runtimeConfig.bandwidth", !has_limit),
        ];
        match wishes.into_iter().find(|(_, is_there)| *is_there) {
            None => Ok(()),
            Some((field, _)) => {
                let reason = "the link is that of a plugin before us; declare the capability for that one";
                Err(CniError::UnsupportedField { field, reason })
            }
        }
    }
}

impl MappingWish {
    fn parse(&self, at: &impl Fn(&str) -> String) -> Result<PortMapping, CniError> {
        let port = |field: &str, number: i64| {
            Port::try_from(number)
                .map_err(|_| invalid(&at(field), &format!("{number} is not a port, 1 to 65535")))
        };
        let protocol = match self.protocol.to_uppercase() {
            // As the `portmap` plugin and the API have it.
            text if text.is_empty() => types::Protocol::Tcp,
            text => text
                .parse()
                .map_err(|error: types::ProtocolError| invalid(&at("protocol"), &error.to_string()))?,
        };
        let host_ip = match self.host_ip.as_str() {
            "" => None,
            text => {
                let address: IpAddr = text
                    .parse()
                    .map_err(|_| invalid(&at("hostIP"), &format!("`{text}` is not an address")))?;
                Some(address).filter(|address| !address.is_unspecified())
            }
        };
        Ok(PortMapping {
            host_port: port("hostPort", self.host_port)?,
            container_port: port("containerPort", self.container_port)?,
            protocol,
            host_ip,
        })
    }
}

/// As the `bandwidth` plugin (`validateRateAndBurst`), but that a burst may be left out.
fn rate(direction: &str, bits_per_second: i64, burst: i64) -> Result<Option<Rate>, CniError> {
    let at = |field: &str| format!("bandwidth.{direction}{field}");
    match (u64::try_from(bits_per_second), u64::try_from(burst)) {
        (Err(_), _) => Err(invalid(&at("Rate"), &format!("{bits_per_second} is negative"))),
        (_, Err(_)) => Err(invalid(&at("Burst"), &format!("{burst} is negative"))),
        (Ok(0), Ok(0)) => Ok(None),
        (Ok(0), Ok(_)) => Err(invalid(&at("Rate"), "is required, because the burst is set")),
        (Ok(rate), Ok(burst)) => Ok(Some(Rate::of_bits(rate, (burst > 0).then_some(burst)))),
    }
}

fn invalid(field: &str, why: &str) -> CniError {
    CniError::Config { reason: format!("runtimeConfig.{field}: {why}") }
}

/// An address, with or without a prefix length behind it.
pub(crate) fn parse_address(text: &str) -> Option<IpAddr> {
    text.split('/').next().and_then(|address| address.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: Value) -> RuntimeConfig {
        in_any_case(value).unwrap()
    }

    #[test]
    fn ports_are_read_as_runtimes_write_them() {
        let config = parse(json!({"portMappings": [
            {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": ""},
            {"hostPort": 8080, "containerPort": 53, "protocol": "UDP", "hostIP": "0.0.0.0"},
            {"hostPort": 8081, "containerPort": 80, "hostIP": "192.0.2.1"},
        ]}));
        let mappings = config.port_mappings().unwrap();
        let shown = |index: usize| serde_json::to_value(&mappings[index]).unwrap();
        assert_eq!(shown(0), json!({"hostPort": 8080, "containerPort": 80, "protocol": "TCP"}));
        assert_eq!(shown(1), json!({"hostPort": 8080, "containerPort": 53, "protocol": "UDP"}));
        assert_eq!(shown(2)["hostIp"], "192.0.2.1");
        assert_eq!(parse(json!({"portMappings": null})).port_mappings().unwrap(), []);
    }

    #[test]
    fn fields_are_read_as_containerd_writes_them() {
        let config = parse(json!({
            "portMappings": [{"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": "192.0.2.1"}],
            "bandwidth": {"IngressRate": 8_000_000, "IngressBurst": 4_294_967_295_u64, "EgressRate": 0, "EgressBurst": 0},
        }));
        let mapping = serde_json::to_value(&config.port_mappings().unwrap()[0]).unwrap();
        let wanted = json!({"hostPort": 8080, "containerPort": 80, "protocol": "TCP", "hostIp": "192.0.2.1"});
        assert_eq!(mapping, wanted);
        let bandwidth = config.bandwidth().unwrap();
        assert_eq!(bandwidth.ingress, Some(Rate::of_bits(8_000_000, Some(4_294_967_295))));
        assert_eq!(bandwidth.egress, None);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        let mapping = |change: Value| {
            let mut mapping = json!({"hostPort": 8080, "containerPort": 80, "protocol": "tcp"});
            for (name, value) in change.as_object().unwrap() {
                mapping[name] = value.clone();
            }
            json!({"portMappings": [mapping]})
        };
        let twice = json!({"hostPort": 1, "containerPort": 2});
        for (config, wanted) in [
            (
                mapping(json!({"hostPort": 0})),
                "runtimeConfig.portMappings[0].hostPort: 0 is not a port, 1 to 65535",
            ),
            (mapping(json!({"containerPort": 65536})), "portMappings[0].containerPort: 65536 is not a port"),
            (mapping(json!({"protocol": "icmp"})), "portMappings[0].protocol: `ICMP` is not a protocol"),
            (mapping(json!({"hostIP": "x"})), "portMappings[0].hostIP: `x` is not an address"),
            (json!({"portMappings": [twice, twice]}), "portMappings[1].hostPort: 1/TCP is mapped twice"),
            (json!({"bandwidth": {"ingressRate": -1}}), "bandwidth.ingressRate: -1 is negative"),
            (json!({"bandwidth": {"egressBurst": 8}}), "bandwidth.egressRate: is required"),
            (json!({"ips": ["10.0.0.1", "y"]}), "runtimeConfig.ips[1]: `y` is not an address"),
        ] {
            let config = parse(config);
            let error =
                config.port_mappings().err().or(config.bandwidth().err()).or(config.addresses().err());
            let error = error.unwrap();
            assert_eq!(error.code(), 7);
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }
}
