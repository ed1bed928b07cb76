//! Elements on their way: from a plan into a ruleset, or past it and straight into messages.
//!
//! A full load has tens of thousands of elements. Whoever only sends them need not hold them all as a sorted value first.

use types::IpFamily;

use crate::value::{Data, Element, Key, Ruleset, Value};

/// An element of a set that has a twin for the other family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its set, without the digit of the family.
    pub set: &'static str,
    /// The family.
    pub family: IpFamily,
    /// The key, or the lower end of each field's range.
    pub first: &'a [Value],
    /// The upper ends, inclusive; only in interval sets.
    pub last: Option<&'a [Value]>,
    /// What a map's element leads to; nothing in a set.
    pub data: &'a [Value],
    /// Which object it is there for; empty for none.
    pub comment: &'a str,
}

/// Whoever takes elements.
pub trait Sink {
    /// Takes one more.
    fn put(&mut self, entry: &Entry<'_>);
}

impl Entry<'_> {
    /// The digit at the end of the set's name.
    #[must_use]
    pub fn digit(&self) -> char {
        if self.family == IpFamily::V4 { '4' } else { '6' }
    }
}

impl Sink for Ruleset {
    fn put(&mut self, entry: &Entry<'_>) {
        let set = self.sets.get_mut(&format!("{}{}", entry.set, entry.digit()));
        let set = set.expect("fixed.nft declares every set that is filled");
        let key = Key { first: entry.first.to_vec(), last: entry.last.map(<[Value]>::to_vec) };
        let data = match entry.data {
            [] => Data::None,
            values => Data::Values(values.to_vec()),
        };
        set.elements.insert(key, Element { data, comment: entry.comment.to_owned() });
    }
}
