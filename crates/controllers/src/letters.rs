//! Names made of what they stand for: the same text gives the same letters.

use jiff::Timestamp;

/// Letters of generated names: no vowels, no look-alikes (`apimachinery/pkg/util/rand`).
const SAFE_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Letters that `generateName` adds (`apiserver/pkg/storage/names`).
const SUFFIX: usize = 5;
/// Letters kept of a base that a suffix is added to (same source).
const MAX_BASE: usize = 58;

/// So many letters that are the same for equal texts (FNV-1a).
pub(crate) fn letters(text: &str, count: usize) -> String {
    let mut hash = types::fnv_hash(text.bytes());
    // The last bytes reach the high bits only; folding them down lets texts that end alike differ early.
    hash ^= hash >> 32;
    let all = SAFE_LETTERS.len() as u64;
    let mut letter = || {
        let index = usize::try_from(hash % all).expect("an index below 27");
        hash /= all;
        char::from(SAFE_LETTERS[index])
    };
    (0..count).map(|_| letter()).collect()
}

/// A name for the `number`th new Pod of an owner, as good as one the API would generate.
pub(crate) fn new_name(base: &str, owner_uid: &str, now: Timestamp, number: usize) -> String {
    let base: String = base.chars().take(MAX_BASE).collect();
    format!("{base}{}", letters(&format!("{owner_uid} {} {number}", now.as_nanosecond()), SUFFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_what_they_stand_for_and_differ_within_a_round() {
        let now = Timestamp::UNIX_EPOCH;
        let names: std::collections::BTreeSet<_> =
            (0..1000).map(|number| new_name("web-", "uid", now, number)).collect();
        assert_eq!(names.len(), 1000);
        assert_eq!(new_name("web-", "uid", now, 7), new_name("web-", "uid", now, 7));
        assert_eq!(letters("a", 10).len(), 10);
    }
}
