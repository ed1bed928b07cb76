//! Services as a table of the kernel has them: what an operator reads, and a check of `render`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use types::IpFamily;

use crate::connections::End;
use crate::fixed::{EXTERNAL_SLOTS, class, step};
use crate::value::{Data, Key, Ruleset, Set, Value};

/// Where clients may aim at, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontendOverview {
    /// Address and port; port 0 stands for every port that has no entry of its own.
    pub frontend: End,
    /// IP protocol number; 0 for every protocol, with port 0.
    pub protocol: u8,
    /// The Service (or Pod), its port and the kind of address, as the entry's comment has them.
    pub comment: String,
    /// For clients on the node itself.
    pub internal: Way,
    /// For all others.
    pub external: Way,
    /// Whether only clients of certain ranges are let in.
    pub guarded: bool,
    /// Whether clients find the backend that they had before.
    pub remembers: bool,
}

/// What becomes of new connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Each goes to one of these, every slot with the same chance.
    Slots(Vec<End>),
    /// Silently dropped.
    Dropped,
    /// The client is told that nobody is there.
    Refused,
}

/// Every frontend in our table, in the order of addresses and ports.
#[must_use]
pub fn overview(rules: &Ruleset) -> Vec<FrontendOverview> {
    let mut found = Vec::new();
    for (family, digit) in [(IpFamily::V4, '4'), (IpFamily::V6, '6')] {
        let table = Table { rules, digit };
        let mut of_family: Vec<_> = table.frontends().chain(table.refused()).collect();
        let known: BTreeSet<IpAddr> = of_family.iter().map(|frontend| frontend.frontend.0).collect();
        of_family.extend(table.unserved().filter(|frontend| !known.contains(&frontend.frontend.0)));
        of_family.sort_by_key(|frontend| (frontend.frontend, frontend.protocol));
        debug_assert!(of_family.iter().all(|found| IpFamily::of(found.frontend.0) == family));
        found.extend(of_family);
    }
    found
}

/// The sets of one family.
struct Table<'a> {
    rules: &'a Ruleset,
    digit: char,
}

impl<'a> Table<'a> {
    fn set(&self, name: &str) -> Option<&'a Set> {
        self.rules.sets.get(&format!("{name}{}", self.digit))
    }

    fn number(&self, set: &str, key: &Key) -> Option<u32> {
        match &self.set(set)?.elements.get(key)?.data {
            Data::Values(values) => match values[..] {
                [Value::Number(number)] => Some(number),
                _ => None,
            },
            _ => None,
        }
    }

    fn frontends(&self) -> impl Iterator<Item = FrontendOverview> + '_ {
        self.set("frontend").into_iter().flat_map(|set| &set.elements).filter_map(|(key, element)| {
            let (frontend, protocol) = aim_of(key)?;
            let entry = self.number("frontend", key)?;
            let guarded = entry == class::GUARD;
            let side = |at| match entry {
                class::GUARD | class::SPLIT => self.number("step", &with(key, at)),
                entry => Some(entry),
            };
            let after = self.number("after", key).unwrap_or(class::AFTER);
            Some(FrontendOverview {
                frontend,
                protocol,
                comment: element.comment.clone(),
                internal: self.way(key, side(step::INTERNAL)?),
                external: self.way(key, side(step::EXTERNAL)?),
                guarded,
                remembers: after & class::REMEMBER != 0,
            })
        })
    }

    fn refused(&self) -> impl Iterator<Item = FrontendOverview> + '_ {
        let refused = self.set("refused").into_iter().flat_map(|set| &set.elements);
        // Those that refuse one kind of client alone are frontends, too.
        let whole = refused.filter(|(key, _)| self.number("frontend", key).is_none());
        whole.filter_map(|(key, element)| {
            let (frontend, protocol) = aim_of(key)?;
            Some(refusing(frontend, protocol, &element.comment))
        })
    }

    /// ClusterIPs none of whose ports leads anywhere.
    fn unserved(&self) -> impl Iterator<Item = FrontendOverview> + '_ {
        let addresses = self.set("clusterips").into_iter().flat_map(|set| &set.elements);
        addresses.filter_map(|(key, element)| match key.first[..] {
            [Value::Address(address)] => Some(refusing((address, 0), 0, &element.comment)),
            _ => None,
        })
    }

    fn way(&self, key: &Key, entry: u32) -> Way {
        let balance = match entry {
            class::AFFINE_INTERNAL => self.number("step", &with(key, step::INTERNAL_BALANCE)),
            class::AFFINE_EXTERNAL => self.number("step", &with(key, step::EXTERNAL_BALANCE)),
            entry => Some(entry),
        };
        match balance {
            Some(class::DROP) => Way::Dropped,
            Some(number) => match number & 0xffff_0000 {
                class::INTERNAL | class::HASH => Way::Slots(self.slots(key, 0, number & 0xffff)),
                class::EXTERNAL | class::HASH_EXTERNAL => {
                    Way::Slots(self.slots(key, EXTERNAL_SLOTS, number & 0xffff))
                }
                _ => Way::Refused,
            },
            None => Way::Refused,
        }
    }

    fn slots(&self, key: &Key, first: u32, count: u32) -> Vec<End> {
        let backends = self.set("backends");
        let slot = |slot| match &backends?.elements.get(&with(key, slot))?.data {
            Data::Values(values) => match values[..] {
                [Value::Address(address), Value::Port(port)] => Some((address, port)),
                _ => None,
            },
            _ => None,
        };
        (first..first + count).filter_map(slot).collect()
    }
}

fn refusing(frontend: End, protocol: u8, comment: &str) -> FrontendOverview {
    FrontendOverview {
        frontend,
        protocol,
        comment: comment.to_owned(),
        internal: Way::Refused,
        external: Way::Refused,
        guarded: false,
        remembers: false,
    }
}

fn aim_of(key: &Key) -> Option<(End, u8)> {
    match key.first[..] {
        [Value::Address(address), Value::Protocol(protocol), Value::Port(port)] => {
            Some(((address, port), protocol))
        }
        _ => None,
    }
}

fn with(key: &Key, number: u32) -> Key {
    let mut values = key.first.clone();
    values.push(Value::Number(number));
    Key::exact(values)
}
