//! A sorted map whose copies share what is equal in them: a copy is free, and a change after it copies one path.
//!
//! It is a B+ tree of reference-counted nodes. Who compares two copies of it skips whatever they share, so the
//! difference of two states of a large cluster costs what has changed, not what is there.

mod difference;
mod node;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use node::{Entry, Node};

/// A sorted map that is cheap to copy and to compare with a copy of itself.
pub struct SharedMap<K, V> {
    /// None is empty.
    root: Option<Arc<Node<K, V>>>,
    len: usize,
}

/// How one key differs between two maps.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference<'a, K, V> {
    /// The key.
    pub key: &'a K,
    /// Its value in the older map.
    pub old: Option<&'a V>,
    /// Its value in the newer map; never equal to the older one.
    pub new: Option<&'a V>,
}

impl<K, V> SharedMap<K, V> {
    /// An empty map.
    #[must_use]
    pub const fn new() -> Self {
        Self { root: None, len: 0 }
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Everything, in the order of keys.
    pub fn iter(&self) -> Iter<'_, K, V> {
        let mut iter = Iter { nodes: Vec::new(), entries: [].iter() };
        iter.enter(self.root.as_slice());
        iter
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// The values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Whether both are the same copy, which needs no comparison of what is in them.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.root, &other.root) {
            (None, None) => true,
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            _ => false,
        }
    }
}

impl<K: Ord, V> SharedMap<K, V> {
    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        Some(&self.root.as_deref()?.find(key)?.1)
    }

    /// Whether the key is there.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Everything from the first key on that is not below this one, in order.
    pub fn iter_from<Q: Ord + ?Sized>(&self, key: &Q) -> Iter<'_, K, V>
    where
        K: Borrow<Q>,
    {
        let mut iter = Iter { nodes: Vec::new(), entries: [].iter() };
        iter.enter_at(self.root.as_slice(), key);
        iter
    }

    /// Sets the value of a key; the entry that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<Arc<(K, V)>> {
        let entry: Entry<K, V> = Arc::new((key, value));
        let Some(root) = &mut self.root else {
            self.root = Some(Arc::new(Node::Leaf(vec![entry])));
            self.len = 1;
            return None;
        };
        let (replaced, sibling) = Arc::make_mut(root).insert(entry);
        if let Some(sibling) = sibling {
            *root = Arc::new(Node::above(vec![Arc::clone(root), sibling]));
        }
        self.len += usize::from(replaced.is_none());
        replaced
    }

    /// Takes a key out; the entry that was there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<Arc<(K, V)>>
    where
        K: Borrow<Q>,
    {
        let root = self.root.as_mut().filter(|root| root.find(key).is_some())?;
        let removed = Arc::make_mut(root).remove(key);
        self.len -= usize::from(removed.is_some());
        match root.only_child() {
            Some(child) => *root = child,
            None if root.is_empty() => self.root = None,
            None => {}
        }
        removed
    }

    /// Keeps what is wanted.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(&K, &V) -> bool) {
        let kept = self.entries().into_iter().filter(|entry| is_wanted(&entry.0, &entry.1));
        *self = Self::of_sorted(kept.collect());
    }

    /// What differs from an older map, in the order of keys; costs what is not shared.
    pub fn changes_since<'a>(&'a self, older: &'a Self) -> impl Iterator<Item = Difference<'a, K, V>>
    where
        V: PartialEq,
    {
        difference::Differences::between(older.root.as_ref(), self.root.as_ref())
    }

    fn entries(&self) -> Vec<Entry<K, V>> {
        let mut entries = Vec::with_capacity(self.len);
        self.root.iter().for_each(|root| root.collect_into(&mut entries));
        entries
    }

    fn of_sorted(entries: Vec<Entry<K, V>>) -> Self {
        Self { len: entries.len(), root: Node::of_sorted(entries) }
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// The value of a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let root = self.root.as_mut().filter(|root| root.find(key).is_some())?;
        Arc::make_mut(root).find_mut(key)
    }

    /// All values, to be changed; afterwards nothing is shared with copies.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let mut values = Vec::with_capacity(self.len);
        self.root.iter_mut().for_each(|root| Arc::make_mut(root).collect_mut(&mut values));
        values.into_iter()
    }
}

/// Entries in the order of keys.
pub struct Iter<'a, K, V> {
    /// What is to come after the leaf, the nearest last.
    nodes: Vec<std::slice::Iter<'a, Arc<Node<K, V>>>>,
    entries: std::slice::Iter<'a, Entry<K, V>>,
}

impl<'a, K, V> Iter<'a, K, V> {
    fn enter(&mut self, nodes: &'a [Arc<Node<K, V>>]) {
        self.nodes.push(nodes.iter());
    }

    fn enter_at<Q: Ord + ?Sized>(&mut self, nodes: &'a [Arc<Node<K, V>>], key: &Q)
    where
        K: Borrow<Q>,
    {
        let at = node::child_of(nodes, key);
        let Some(child) = nodes.get(at) else { return };
        self.enter(&nodes[at + 1..]);
        match &**child {
            Node::Leaf(entries) => {
                let first = entries.partition_point(|entry| entry.0.borrow() < key);
                self.entries = entries[first..].iter();
            }
            Node::Inner { children, .. } => self.enter_at(children, key),
        }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Some((&entry.0, &entry.1));
            }
            match self.nodes.last_mut()?.next().map(|node| &**node) {
                None => drop(self.nodes.pop()),
                Some(Node::Leaf(entries)) => self.entries = entries.iter(),
                Some(Node::Inner { children, .. }) => self.enter(children),
            }
        }
    }
}

impl<K, V> Clone for SharedMap<K, V> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), len: self.len }
    }
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.changes_since(other).next().is_none()
    }
}

impl<K: Ord, V: Eq> Eq for SharedMap<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: serde::Serialize, V: serde::Serialize> serde::Serialize for SharedMap<K, V> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<K: Ord, V> From<BTreeMap<K, V>> for SharedMap<K, V> {
    fn from(map: BTreeMap<K, V>) -> Self {
        Self::of_sorted(map.into_iter().map(Arc::new).collect())
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for SharedMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for SharedMap<K, V> {
    /// Of two values of one key, the later one.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries: Vec<Entry<K, V>> = entries.into_iter().map(Arc::new).collect();
        if !entries.is_sorted_by(|one, next| one.0 < next.0) {
            entries.sort_by(|one, other| one.0.cmp(&other.0));
            entries.dedup_by(|later, kept| {
                let is_twin = later.0 == kept.0;
                if is_twin {
                    std::mem::swap(later, kept);
                }
                is_twin
            });
        }
        Self::of_sorted(entries)
    }
}

impl<K: Ord, V> Extend<(K, V)> for SharedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        entries.into_iter().for_each(|(key, value)| drop(self.insert(key, value)));
    }
}

impl<'a, K, V> IntoIterator for &'a SharedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K: Ord + Borrow<Q>, V, Q: Ord + ?Sized> Index<&Q> for SharedMap<K, V> {
    type Output = V;

    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("the key is there, says whoever indexes")
    }
}

#[cfg(test)]
mod tests;
