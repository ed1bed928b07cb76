//! What differs between two maps: both are walked together, and what they share is skipped unseen.

use std::cmp::Ordering;
use std::sync::Arc;

use super::Difference;
use super::node::{Entry, Node};

/// A part of a map that is still to be compared.
enum Part<'a, K, V> {
    Node(&'a Arc<Node<K, V>>),
    Entry(&'a Entry<K, V>),
}

/// What is to come of one map, the nearest last.
struct Rest<'a, K, V>(Vec<Part<'a, K, V>>);

/// The differences that are still to come.
pub(super) struct Differences<'a, K, V> {
    old: Rest<'a, K, V>,
    new: Rest<'a, K, V>,
}

impl<'a, K, V> Rest<'a, K, V> {
    fn of(root: Option<&'a Arc<Node<K, V>>>) -> Self {
        Self(root.map(Part::Node).into_iter().collect())
    }

    /// How high the nearest part stands above entries; none at the end.
    fn height(&self) -> Option<u8> {
        Some(match self.0.last()? {
            Part::Entry(_) => 0,
            Part::Node(node) => node.height() + 1,
        })
    }

    /// Replaces the nearest part, a node, by what is in it.
    fn open(&mut self) {
        if let Some(Part::Node(node)) = self.0.pop() {
            match &**node {
                Node::Leaf(entries) => self.0.extend(entries.iter().rev().map(Part::Entry)),
                Node::Inner { children, .. } => self.0.extend(children.iter().rev().map(Part::Node)),
            }
        }
    }

    fn take(&mut self) -> Option<&'a (K, V)> {
        match self.0.pop() {
            Some(Part::Entry(entry)) => Some(&**entry),
            _ => None,
        }
    }
}

impl<'a, K, V> Differences<'a, K, V> {
    pub(super) fn between(old: Option<&'a Arc<Node<K, V>>>, new: Option<&'a Arc<Node<K, V>>>) -> Self {
        Self { old: Rest::of(old), new: Rest::of(new) }
    }

    /// Skips what both share, and opens nodes until an entry is next on each side that has not ended.
    fn settle(&mut self) {
        loop {
            let is_shared = match (self.old.0.last(), self.new.0.last()) {
                (Some(Part::Node(old)), Some(Part::Node(new))) => Arc::ptr_eq(old, new),
                (Some(Part::Entry(old)), Some(Part::Entry(new))) => Arc::ptr_eq(old, new),
                _ => false,
            };
            if is_shared {
                self.old.0.pop();
                self.new.0.pop();
                continue;
            }
            let (old, new) = (self.old.height(), self.new.height());
            if old.unwrap_or(0) == 0 && new.unwrap_or(0) == 0 {
                return;
            }
            // The higher one first: what is in it may be what the other side has next.
            if old >= new {
                self.old.open();
            }
            if new >= old {
                self.new.open();
            }
        }
    }
}

impl<'a, K: Ord, V: PartialEq> Iterator for Differences<'a, K, V> {
    type Item = Difference<'a, K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.settle();
            let order = match (self.old.0.last(), self.new.0.last()) {
                (Some(Part::Entry(old)), Some(Part::Entry(new))) => old.0.cmp(&new.0),
                (Some(_), _) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return None,
            };
            let old = if order.is_le() { self.old.take() } else { None };
            let new = if order.is_ge() { self.new.take() } else { None };
            let (key, _) = old.or(new)?;
            let (old, new) = (old.map(|(_, value)| value), new.map(|(_, value)| value));
            if old != new {
                return Some(Difference { key, old, new });
            }
        }
    }
}
