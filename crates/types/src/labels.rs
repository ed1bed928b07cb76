//! Labels of the many objects that are rarely asked for them, in one piece of text.

use std::collections::BTreeMap;
use std::fmt;

use crate::Labels;

/// Ends keys and values; the API lets it into neither.
const END: char = '\0';

/// [`Labels`] in little space, without a look-up: a tree of a few texts takes several times as much.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PackedLabels(Box<str>);

impl PackedLabels {
    /// The labels, written out.
    #[must_use]
    pub fn to_labels(&self) -> Labels {
        let mut parts = self.0.split_terminator(END).map(str::to_owned);
        std::iter::from_fn(|| Some((parts.next()?, parts.next()?))).collect()
    }
}

impl From<&BTreeMap<String, String>> for PackedLabels {
    fn from(labels: &Labels) -> Self {
        let length = labels.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
        let mut text = String::with_capacity(length);
        for part in labels.iter().flat_map(|(key, value)| [key, value]) {
            text.push_str(part);
            text.push(END);
        }
        Self(text.into())
    }
}

impl fmt::Debug for PackedLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.to_labels()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_back_as_they_were() {
        let labels = |pairs: &[(&str, &str)]| -> Labels {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        for labels in [labels(&[]), labels(&[("app", "web")]), labels(&[("a", ""), ("example.com/b", "c")])] {
            assert_eq!(PackedLabels::from(&labels).to_labels(), labels);
        }
        assert_eq!(PackedLabels::from(&labels(&[])), PackedLabels::default());
    }
}
