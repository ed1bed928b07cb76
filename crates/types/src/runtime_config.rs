//! What a container runtime wishes for one attachment besides its addresses (the CNI conventions' `runtimeConfig`).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Port, Protocol};

/// The longest packet that the kernel builds out of several (`GSO_LEGACY_MAX_SIZE` of `linux/netdevice.h`), with room for
/// its link-layer header; it is also longer than any MTU.
pub const BIGGEST_PACKET: u32 = 65_536 + 64;

/// Bursts from here on are what runtimes send when nobody named one: 2³¹ − 1 and 2³² − 1 bits (`toCNIBandWidth` of
/// containerd's `sandbox_run.go`, ocicni's `types.go`).
const NO_BURST: u64 = (1 << 31) - 1;

/// A port of the node that leads to an attachment (capability `portMappings`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// Port of the node.
    pub host_port: Port,
    /// Port of the container.
    pub container_port: Port,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The one address of the node that it is open on; all when there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host_ip: Option<IpAddr>,
}

/// How fast an attachment may be (capability `bandwidth`), seen from the Pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bandwidth {
    /// To the Pod.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ingress: Option<Rate>,
    /// From the Pod.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub egress: Option<Rate>,
}

/// A limit in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// In the long run, in bytes per second.
    pub bytes_per_second: u64,
    /// What may pass at once after a pause, in bytes.
    pub burst: u32,
}

impl PortMapping {
    /// Whether both want the same port of the same address.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let addresses_meet = match (self.host_ip, other.host_ip) {
            (Some(one), Some(another)) => one == another,
            _ => true,
        };
        (self.host_port, self.protocol) == (other.host_port, other.protocol) && addresses_meet
    }
}

impl Bandwidth {
    /// Whether there is no limit at all.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

impl Rate {
    /// From bits, as runtimes count.
    ///
    /// Without a burst it is a tenth of a second's worth. It never is less than one packet of the largest size, which
    /// otherwise would not get through at all.
    #[must_use]
    pub fn of_bits(bits_per_second: u64, burst_bits: Option<u64>) -> Self {
        let bytes_per_second = (bits_per_second / 8).max(1);
        let burst = match burst_bits {
            Some(bits) if bits < NO_BURST => bits / 8,
            _ => bytes_per_second / 10,
        };
        let burst = u32::try_from(burst).unwrap_or(u32::MAX / 2).clamp(BIGGEST_PACKET, u32::MAX / 2);
        Self { bytes_per_second, burst }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_what_was_asked_and_admits_every_packet() {
        assert_eq!(Rate::of_bits(8_000_000, Some(8_000_000)).burst, 1_000_000);
        assert_eq!(Rate::of_bits(8_000_000, Some(8)).burst, BIGGEST_PACKET);
        assert_eq!(Rate::of_bits(80_000_000, Some(u64::from(u32::MAX))).burst, 1_000_000);
        assert_eq!(Rate::of_bits(80_000_000, None).burst, 1_000_000);
        assert_eq!(Rate::of_bits(1_000_000_000_000_000, None).burst, u32::MAX / 2);
        assert_eq!(Rate::of_bits(1_000, None), Rate { bytes_per_second: 125, burst: BIGGEST_PACKET });
    }

    #[test]
    fn ports_meet_on_a_common_address() {
        let mapping = |port: u16, host_ip: Option<&str>| PortMapping {
            host_port: Port::new(port).unwrap(),
            container_port: Port::new(80).unwrap(),
            protocol: Protocol::Tcp,
            host_ip: host_ip.map(|text| text.parse().unwrap()),
        };
        assert!(mapping(1, None).meets(&mapping(1, Some("192.0.2.1"))));
        assert!(!mapping(1, Some("192.0.2.2")).meets(&mapping(1, Some("192.0.2.1"))));
        assert!(!mapping(1, None).meets(&mapping(2, None)));
    }
}
