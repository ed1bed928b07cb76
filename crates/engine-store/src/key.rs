//! Namespace and name of an object in one shared text, ordered by namespace first.

use std::fmt;
use std::sync::Arc;

/// Stands between namespace and name: below every character that names may hold, so that texts sort as pairs do.
const BETWEEN: char = '\0';

/// Namespace and name of an object; the namespace of cluster-scoped objects is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(Arc<str>);

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        let mut text = String::with_capacity(namespace.len() + 1 + name.len());
        text.push_str(namespace);
        text.push(BETWEEN);
        text.push_str(name);
        Self(text.into())
    }

    /// Reads the form that `Display` writes.
    pub(crate) fn parse(text: &str) -> Self {
        let (namespace, name) = text.split_once('/').unwrap_or(("", text));
        Self::new(namespace, name)
    }

    pub(crate) fn namespace(&self) -> &str {
        self.parts().0
    }

    pub(crate) fn name(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once(BETWEEN).expect("a key is made with both parts")
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (namespace, name) = self.parts();
        write!(f, "{namespace}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_by_namespace_then_name() {
        let mut keys = [Key::new("a-b", "x"), Key::new("a", "y"), Key::new("a", "x"), Key::new("", "z")];
        keys.sort();
        assert_eq!(keys.map(|key| key.to_string()), ["/z", "a/x", "a/y", "a-b/x"]);
        let key = Key::parse("a/x");
        assert_eq!((key.namespace(), key.name()), ("a", "x"));
    }
}
