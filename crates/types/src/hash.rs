//! Hashes that are the same on every machine, in every run and in every version: choices that all nodes make alike.

/// FNV-1a, 64 bits (draft-eastlake-fnv, section 5). Its last bytes reach the high bits only; see [`mixed_hash`].
#[must_use]
pub fn fnv_hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The same of a text, mixed once more, so that texts that differ in their last letter differ in all bits (SplitMix64).
#[must_use]
pub fn mixed_hash(text: &str) -> u64 {
    let fnv = fnv_hash(text.bytes());
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // The draft's appendix C: the empty text, and "a".
        assert_eq!(fnv_hash([]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv_hash(*b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
