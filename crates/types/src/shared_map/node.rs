//! Nodes of the tree: leaves with entries, and nodes above them; each is copied when it is changed while shared.

use std::borrow::Borrow;
use std::sync::Arc;

/// Most entries of a leaf and most children of a node above; a node is split in two when it gets more.
pub(super) const MOST: usize = 64;

/// A key and its value.
pub(super) type Entry<K, V> = Arc<(K, V)>;
type Link<K, V> = Arc<Node<K, V>>;
/// The entry that was replaced, and what has to stand right of a node that became too large.
type Inserted<K, V> = (Option<Entry<K, V>>, Option<Link<K, V>>);

/// Never empty, but for a moment while something is removed; all leaves are equally deep.
pub(super) enum Node<K, V> {
    Leaf(Vec<Entry<K, V>>),
    Inner {
        /// 1 above leaves.
        height: u8,
        children: Vec<Link<K, V>>,
    },
}

/// By hand, since neither keys nor values are copied.
impl<K, V> Clone for Node<K, V> {
    fn clone(&self) -> Self {
        match self {
            Self::Leaf(entries) => Self::Leaf(entries.clone()),
            Self::Inner { height, children } => Self::Inner { height: *height, children: children.clone() },
        }
    }
}

/// The child that a key belongs to: the last whose first key is not above it, or the first one.
pub(super) fn child_of<K: Borrow<Q>, V, Q: Ord + ?Sized>(children: &[Link<K, V>], key: &Q) -> usize {
    children
        .partition_point(|child| child.first().is_some_and(|first| first.borrow() <= key))
        .saturating_sub(1)
}

impl<K, V> Node<K, V> {
    pub(super) fn height(&self) -> u8 {
        match self {
            Self::Leaf(_) => 0,
            Self::Inner { height, .. } => *height,
        }
    }

    /// A node with these children, of which there is at least one.
    pub(super) fn above(children: Vec<Link<K, V>>) -> Self {
        Self::Inner { height: children[0].height() + 1, children }
    }

    /// A tree of these entries, which are in order.
    pub(super) fn of_sorted(entries: Vec<Entry<K, V>>) -> Option<Link<K, V>> {
        // Not filled to the brim, so that a few additions split nothing.
        let size = MOST * 3 / 4;
        let mut level: Vec<Link<K, V>> =
            chunks(entries, size).map(|leaf| Arc::new(Self::Leaf(leaf))).collect();
        while level.len() > 1 {
            level = chunks(level, size).map(|children| Arc::new(Self::above(children))).collect();
        }
        level.pop()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Inner { children, .. } => children.len(),
        }
    }

    fn first(&self) -> Option<&K> {
        match self {
            Self::Leaf(entries) => entries.first().map(|entry| &entry.0),
            Self::Inner { children, .. } => children.first()?.first(),
        }
    }

    /// The child of a node that has only one, which can then do without it.
    pub(super) fn only_child(&self) -> Option<Link<K, V>> {
        match self {
            Self::Inner { children, .. } if children.len() == 1 => children.first().cloned(),
            _ => None,
        }
    }

    pub(super) fn collect_into(&self, to: &mut Vec<Entry<K, V>>) {
        match self {
            Self::Leaf(entries) => to.extend(entries.iter().cloned()),
            Self::Inner { children, .. } => children.iter().for_each(|child| child.collect_into(to)),
        }
    }
}

impl<K: Ord, V> Node<K, V> {
    pub(super) fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&Entry<K, V>>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::Leaf(entries) => place_in(entries, key).ok().map(|at| &entries[at]),
            Self::Inner { children, .. } => children.get(child_of(children, key))?.find(key),
        }
    }

    /// Puts an entry in.
    pub(super) fn insert(&mut self, entry: Entry<K, V>) -> Inserted<K, V> {
        match self {
            Self::Leaf(entries) => match place_in(entries, &entry.0) {
                Ok(at) => (Some(std::mem::replace(&mut entries[at], entry)), None),
                Err(at) => {
                    entries.insert(at, entry);
                    (None, split(entries).map(|upper| Arc::new(Self::Leaf(upper))))
                }
            },
            Self::Inner { height, children } => {
                let at = child_of(children, &entry.0);
                let (replaced, sibling) = Arc::make_mut(&mut children[at]).insert(entry);
                sibling.into_iter().for_each(|sibling| children.insert(at + 1, sibling));
                let height = *height;
                let upper = split(children).map(|children| Arc::new(Self::Inner { height, children }));
                (replaced, upper)
            }
        }
    }

    /// Takes out a key that is there.
    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<Entry<K, V>>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::Leaf(entries) => place_in(entries, key).ok().map(|at| entries.remove(at)),
            Self::Inner { children, .. } => {
                let at = child_of(children, key);
                let removed = Arc::make_mut(&mut children[at]).remove(key);
                if children[at].is_empty() {
                    children.remove(at);
                } else if children.get(at + 1).is_some_and(|next| children[at].len() + next.len() <= MOST / 2)
                {
                    let next = children.remove(at + 1);
                    Arc::make_mut(&mut children[at]).append(&next);
                }
                removed
            }
        }
    }

    /// Takes in what stands right of it, of the same height.
    fn append(&mut self, next: &Self) {
        match (self, next) {
            (Self::Leaf(entries), Self::Leaf(more)) => entries.extend(more.iter().cloned()),
            (Self::Inner { children, .. }, Self::Inner { children: more, .. }) => {
                children.extend(more.iter().cloned());
            }
            _ => unreachable!("all leaves are equally deep"),
        }
    }
}

impl<K: Ord + Clone, V: Clone> Node<K, V> {
    pub(super) fn find_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::Leaf(entries) => {
                let at = place_in(entries, key).ok()?;
                Some(&mut Arc::make_mut(&mut entries[at]).1)
            }
            Self::Inner { children, .. } => {
                let at = child_of(children, key);
                Arc::make_mut(children.get_mut(at)?).find_mut(key)
            }
        }
    }

    pub(super) fn collect_mut<'a>(&'a mut self, to: &mut Vec<&'a mut V>) {
        match self {
            Self::Leaf(entries) => to.extend(entries.iter_mut().map(|entry| &mut Arc::make_mut(entry).1)),
            Self::Inner { children, .. } => {
                children.iter_mut().for_each(|child| Arc::make_mut(child).collect_mut(to));
            }
        }
    }
}

fn place_in<K: Borrow<Q>, V, Q: Ord + ?Sized>(entries: &[Entry<K, V>], key: &Q) -> Result<usize, usize> {
    entries.binary_search_by(|entry| entry.0.borrow().cmp(key))
}

/// The items in runs of this many; the last may be shorter.
fn chunks<T>(items: Vec<T>, size: usize) -> impl Iterator<Item = Vec<T>> {
    let mut items = items.into_iter();
    std::iter::from_fn(move || {
        Some(items.by_ref().take(size).collect()).filter(|run: &Vec<T>| !run.is_empty())
    })
}

/// The upper half of what has become too long.
fn split<T>(items: &mut Vec<T>) -> Option<Vec<T>> {
    (items.len() > MOST).then(|| {
        let upper = items.split_off(MOST / 2);
        items.shrink_to_fit();
        upper
    })
}
