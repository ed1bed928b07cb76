//! Names and addresses as in a hosts file (CoreDNS, `plugin/hosts/hosts.go`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use plan::DnsHosts;

use super::Outcome;
use crate::decoded::{Decoded, Item};
use crate::extended_error::ExtendedError;
use crate::reverse::parse_reverse;
use crate::zones::{Through, Zones};
use crate::{Name, RecordData, RecordType};

/// The entries of a block.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    at: String,
    zones: Zones,
    names: BTreeMap<Name, Vec<IpAddr>>,
    addresses: BTreeMap<IpAddr, Vec<Name>>,
    ttl: u32,
    through: Through,
}

impl Hosts {
    pub(super) fn of(hosts: &DnsHosts) -> Self {
        let name =
            |(name, addresses): (&String, &Vec<IpAddr>)| Some((Name::parse(name).ok()?, addresses.clone()));
        let address = |(address, names): (&IpAddr, &Vec<String>)| {
            (*address, names.iter().filter_map(|name| Name::parse(name).ok()).collect())
        };
        Self {
            at: hosts.at.clone(),
            zones: Zones::of(&hosts.zones),
            names: hosts.names.iter().filter_map(name).collect(),
            addresses: hosts.addresses.iter().map(address).collect(),
            ttl: hosts.ttl_seconds,
            through: Through::of(&hosts.fallthrough),
        }
    }

    pub(super) fn at(&self) -> &str {
        &self.at
    }

    pub(super) fn answer(&self, name: &[u8], kind: RecordType) -> Outcome {
        if kind == RecordType::PTR {
            let names = parse_reverse(name).and_then(|address| self.addresses.get(&address));
            let records = names.into_iter().flatten().map(|target| RecordData::Ptr(target.clone()));
            let items = self.items(name, records);
            // An address without entry is looked for further on, whatever `fallthrough` says.
            return if items.is_empty() { Outcome::Next } else { found(items) };
        }
        if !self.zones.contains(name) {
            return Outcome::Next;
        }
        let Some(addresses) = self.names.get(name) else {
            return match self.through.lets(name) {
                true => Outcome::Next,
                // CoreDNS: there is no SOA record that a denial would need.
                false => Outcome::Fail(ExtendedError::other(format!("no entry in {} (hosts)", self.at))),
            };
        };
        let records = addresses.iter().filter_map(|address| match (address, kind) {
            (IpAddr::V4(address), RecordType::A) => Some(RecordData::A(*address)),
            (IpAddr::V6(address), RecordType::AAAA) => Some(RecordData::Aaaa(*address)),
            _ => None,
        });
        found(self.items(name, records))
    }

    fn items(&self, name: &[u8], records: impl Iterator<Item = RecordData>) -> Vec<Item> {
        records.filter_map(|data| Item::new(name, self.ttl, &data)).collect()
    }
}

fn found(items: Vec<Item>) -> Outcome {
    let sections = [items, Vec::new(), Vec::new()];
    Outcome::Answer(Box::new(Decoded { is_authoritative: true, sections, ..Decoded::default() }))
}
