//! Cluster addresses and node ports in use, and the choice of free ones.
//!
//! The lower band of each range is left to explicit requests (KEP-3070 and KEP-3668).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;
use types::{IpFamily, Prefix};

use crate::store::StoreConfig;
use engine_kinds::object::{self, integer, list};

/// A Service, by namespace and name.
pub(crate) type Holder = (String, String);

/// What the Services of a store hold.
#[derive(Debug)]
pub(crate) struct Allocations {
    /// At most one of each family; the first is the primary family's.
    configured: Vec<Prefix>,
    /// Those of ServiceCIDRs.
    added: Vec<Prefix>,
    node_ports: (u16, u16),
    addresses: BTreeMap<IpAddr, Holder>,
    /// Those of which there is an IPAddress.
    noted: BTreeSet<IpAddr>,
    /// Those whose holder or IPAddress has changed, since somebody asked.
    due: BTreeSet<IpAddr>,
    /// Port → how many ports of its Service use it (one per protocol).
    ports: BTreeMap<u16, u32>,
}

impl Allocations {
    pub(crate) fn new(config: &StoreConfig) -> Self {
        Self {
            configured: config.service_cidrs.clone(),
            added: Vec::new(),
            node_ports: config.node_port_range,
            addresses: BTreeMap::new(),
            noted: BTreeSet::new(),
            due: BTreeSet::new(),
            ports: BTreeMap::new(),
        }
    }

    /// Takes over the ranges of the ServiceCIDRs that are ready.
    pub(crate) fn set_ranges(&mut self, ranges: impl Iterator<Item = Prefix>) {
        self.added = ranges.filter(|range| !self.configured.contains(range)).collect();
    }

    /// The families of the cluster, the primary one first.
    pub(crate) fn families(&self) -> impl Iterator<Item = IpFamily> + '_ {
        self.configured.iter().map(|range| range.family())
    }

    fn ranges(&self, family: IpFamily) -> impl Iterator<Item = Prefix> + '_ {
        self.configured.iter().chain(&self.added).copied().filter(move |range| range.family() == family)
    }

    /// Who holds an address.
    pub(crate) fn holder(&self, address: IpAddr) -> Option<&Holder> {
        self.addresses.get(&address)
    }

    /// Notes that an IPAddress is there, or gone.
    pub(crate) fn note(&mut self, address: IpAddr, is_there: bool) {
        let changed = if is_there { self.noted.insert(address) } else { self.noted.remove(&address) };
        self.due.extend(changed.then_some(address));
    }

    /// An address whose IPAddress is to be looked at.
    pub(crate) fn next_due(&mut self) -> Option<IpAddr> {
        self.due.pop_first()
    }

    fn is_free(&self, address: IpAddr) -> bool {
        !self.addresses.contains_key(&address) && !self.noted.contains(&address)
    }

    /// Records what a Service holds.
    pub(crate) fn claim(&mut self, service: Option<&Value>) {
        let Some(service) = service else { return };
        let holder = (object::namespace(service).to_owned(), object::name(service).to_owned());
        for address in cluster_ips(service) {
            self.addresses.insert(address, holder.clone());
            if self.noted.contains(&address) {
                self.due.remove(&address);
            } else {
                self.due.insert(address);
            }
        }
        for port in node_ports(service) {
            *self.ports.entry(port).or_default() += 1;
        }
    }

    /// Forgets what a Service held.
    pub(crate) fn release(&mut self, service: Option<&Value>) {
        let Some(service) = service else { return };
        for address in cluster_ips(service) {
            self.addresses.remove(&address);
            self.due.insert(address);
        }
        for port in node_ports(service) {
            if let Some(count) = self.ports.get_mut(&port) {
                *count -= 1;
                if *count == 0 {
                    self.ports.remove(&port);
                }
            }
        }
    }

    /// Why `address` cannot be had; `None` when it can.
    pub(crate) fn address_refusal(&self, address: IpAddr) -> Option<String> {
        let family = IpFamily::of(address);
        if self.ranges(family).next().is_none() {
            return Some(format!("{family} is not configured on this cluster"));
        }
        let is_edge =
            |range: &Prefix| address == range.first() || (address.is_ipv4() && address == range.last());
        let mut holding = self.ranges(family).filter(|range| range.contains(address)).peekable();
        let Some(first) = holding.peek().copied() else {
            // Upstream: `ErrMismatchedNetwork` of `pkg/registry/core/service/ipallocator`.
            return Some("the provided network does not match the current range".to_owned());
        };
        if holding.all(|range| is_edge(&range)) {
            return Some(format!(
                "the provided IP ({address}) is not in the valid range. The range of valid IPs is {first}"
            ));
        }
        (!self.is_free(address)).then(|| "provided IP is already allocated".to_owned())
    }

    /// A free address of this family: of the first range that has one, from its upper band if it can be.
    pub(crate) fn free_address(&self, family: IpFamily, draw: u64) -> Option<IpAddr> {
        self.ranges(family).find_map(|range| {
            let size = range.size().min(u128::from(u32::MAX));
            // The network address and, for IPv4, the broadcast address are not given out.
            let last = size - if family == IpFamily::V4 { 2.min(size) } else { 1 };
            let band = address_band(size);
            let probe = |first, last| self.probe_addresses(range, (first, last), draw);
            probe(band + 1, last).or_else(|| probe(1, band.min(last)))
        })
    }

    fn probe_addresses(&self, range: Prefix, (first, last): (u128, u128), draw: u64) -> Option<IpAddr> {
        let count = (last + 1).checked_sub(first).filter(|count| *count > 0)?;
        let start = u128::from(draw) % count;
        (0..count)
            .filter_map(|step| range.nth(first + (start + step) % count))
            .find(|address| self.is_free(*address))
    }

    /// Why `port` cannot be had; `None` when it can.
    pub(crate) fn port_refusal(&self, port: i64) -> Option<String> {
        let (low, high) = self.node_ports;
        match u16::try_from(port).ok().filter(|port| (low..=high).contains(port)) {
            None => Some(format!(
                "provided port is not in the valid range. The range of valid ports is {low}-{high}"
            )),
            Some(port) => {
                self.ports.contains_key(&port).then(|| "provided port is already allocated".to_owned())
            }
        }
    }

    /// A free node port not among `taken`; the upper band first.
    pub(crate) fn free_port(&self, taken: &BTreeSet<i64>, draw: u64) -> Option<u16> {
        let (low, high) = self.node_ports;
        let size = u32::from(high) - u32::from(low) + 1;
        let dynamic = u32::from(low) + port_band(size);
        let free = |port: &u16| !self.ports.contains_key(port) && !taken.contains(&i64::from(*port));
        let probe = |first: u32, last: u32| {
            let count = (last + 1).checked_sub(first).filter(|count| *count > 0)?;
            let start = u32::try_from(draw % u64::from(count)).expect("less than a u32");
            (0..count)
                .map(|step| u16::try_from(first + (start + step) % count).expect("inside the range"))
                .find(free)
        };
        probe(dynamic, u32::from(high)).or_else(|| probe(u32::from(low), dynamic.saturating_sub(1)))
    }
}

/// Addresses left to explicit requests: min(max(16, size/16), 256), none in tiny ranges (KEP-3070).
fn address_band(size: u128) -> u128 {
    if size <= 16 { 0 } else { (size / 16).clamp(16, 256) }
}

/// Ports left to explicit requests: min(max(16, size/32), 128), none in tiny ranges (KEP-3668).
fn port_band(size: u32) -> u32 {
    if size <= 16 { 0 } else { (size / 32).clamp(16, 128) }
}

/// The cluster addresses of a Service.
pub(crate) fn cluster_ips(service: &Value) -> impl Iterator<Item = IpAddr> + '_ {
    list(service, "/spec/clusterIPs").iter().filter_map(|address| address.as_str()?.parse().ok())
}

/// The node ports of a Service, its health check port included.
fn node_ports(service: &Value) -> impl Iterator<Item = u16> + '_ {
    list(service, "/spec/ports")
        .iter()
        .filter_map(|port| integer(port, "/nodePort"))
        .chain(integer(service, "/spec/healthCheckNodePort"))
        .filter_map(|port| u16::try_from(port).ok())
        .filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mk_allocations(cidr: &str) -> Allocations {
        Allocations::new(&StoreConfig {
            service_cidrs: vec![cidr.parse().unwrap()],
            node_port_range: (30000, 32767),
            keep_journal: false,
        })
    }

    #[test]
    fn automatic_choices_begin_above_the_band() {
        let allocations = mk_allocations("10.96.0.0/16");
        assert_eq!(allocations.free_address(IpFamily::V4, 0), Some("10.96.1.1".parse().unwrap()));
        assert_eq!(allocations.free_port(&BTreeSet::new(), 0), Some(30086));
        assert_eq!(address_band(256), 16);
        assert_eq!(address_band(4096), 256);
        assert_eq!(address_band(16), 0);
    }

    #[test]
    fn full_upper_band_falls_back_to_the_lower() {
        let mut allocations = mk_allocations("10.0.0.0/24");
        for draw in 0..254 {
            let address = allocations.free_address(IpFamily::V4, draw).unwrap();
            assert_eq!(allocations.address_refusal(address), None);
            allocations.claim(Some(&json!({"spec": {"clusterIPs": [address.to_string()]}})));
        }
        assert_eq!(allocations.free_address(IpFamily::V4, 0), None);
        allocations.release(Some(&json!({"spec": {"clusterIPs": ["10.0.0.3"]}})));
        assert_eq!(allocations.free_address(IpFamily::V4, 7), Some("10.0.0.3".parse().unwrap()));
    }

    #[test]
    fn refusals_say_why() {
        let mut allocations = mk_allocations("10.96.0.0/16");
        let service = json!({"spec": {"clusterIPs": ["10.96.0.9"], "ports": [{"nodePort": 30001}]}});
        allocations.claim(Some(&service));
        let refusal = allocations.address_refusal("10.96.0.9".parse().unwrap()).unwrap();
        assert_eq!(refusal, "provided IP is already allocated");
        let refusal = allocations.address_refusal("10.97.0.9".parse().unwrap()).unwrap();
        assert!(refusal.ends_with("does not match the current range"), "{refusal}");
        let refusal = allocations.address_refusal("10.96.0.0".parse().unwrap()).unwrap();
        assert!(refusal.ends_with("The range of valid IPs is 10.96.0.0/16"), "{refusal}");
        assert!(allocations.port_refusal(30001).unwrap().contains("already allocated"));
        assert!(allocations.port_refusal(80).unwrap().contains("30000-32767"));
        assert_eq!(allocations.port_refusal(30002), None);
    }
}
