//! `plan::NodePlan` → ruleset: the fixed rules, filled with elements feature by feature.

use std::collections::BTreeMap;

use types::IpFamily;

use crate::affinity::Pools;
use crate::fixed::fixed_rules;
use crate::sink::Sink;
use crate::value::{Data, Element, Key, Ruleset, Value};
use crate::{podnet, policy, services};

/// The whole of our table for a node plan.
#[must_use]
pub fn render(plan: &plan::NodePlan) -> Ruleset {
    let mut rules = render_without_services(plan);
    put_services(plan, &mut rules);
    rules
}

/// All of it but the elements of Services, which [`put_services`] gives.
#[must_use]
pub fn render_without_services(plan: &plan::NodePlan) -> Ruleset {
    let mut rules = fixed_rules();
    podnet::fill(&mut rules, plan);
    podnet::fill_selves(&mut rules, plan);
    Pools::fill(&mut rules, services::aims(plan));
    policy::fill(&mut rules, &plan.policy);
    rules
}

/// The elements of Services, each once, for whoever need not hold them all: they are nearly all that a large table has.
pub fn put_services(plan: &plan::NodePlan, sink: &mut impl Sink) {
    services::fill(sink, plan);
}

/// Adds one element to the set of this name for this family.
pub(crate) fn put(rules: &mut Ruleset, name: &str, family: IpFamily, key: Key, element: Element) {
    let digit = if family == IpFamily::V4 { '4' } else { '6' };
    let set =
        rules.sets.get_mut(&format!("{name}{digit}")).expect("fixed.nft declares every set that is filled");
    set.elements.insert(key, element);
}

/// An element of a set, without data.
pub(crate) fn member(comment: &str) -> Element {
    Element::commented(Data::None, comment)
}

/// An element of a map to numbers.
pub(crate) fn numbered(number: u32, comment: &str) -> Element {
    Element::commented(Data::Values(vec![Value::Number(number)]), comment)
}

/// Gives names 31-bit numbers that stay the same as other names come and go.
///
/// A number is the FNV-1a hash (32 bit) of the name with the highest bit set; when two names of one plan share it,
/// the later name takes the next free one. So numbers depend on the plan alone, and hardly ever on other names in it.
#[derive(Default)]
pub(crate) struct Numbering {
    taken: BTreeMap<u32, String>,
}

impl Numbering {
    /// The number of this name.
    pub(crate) fn number(&mut self, name: &str) -> u32 {
        let hash = name
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let mut number = hash | 0x8000_0000;
        loop {
            match self.taken.get(&number) {
                Some(owner) if owner != name => number = number.wrapping_add(1) | 0x8000_0000,
                Some(_) => return number,
                None => {
                    self.taken.insert(number, name.to_owned());
                    return number;
                }
            }
        }
    }
}
