//! The kernel's hash of a client's address, by which one that comes back finds the same backend.

use std::net::IpAddr;

/// Seed of the hash; the same on every node, so that it does not matter through which one a client comes.
pub const HASH_SEED: u32 = 0x5ea1_a4e5;

/// Which of `modulus` slots a client has: `jhash ip saddr mod MODULUS` (Linux, `nft_jhash_eval`), where bytes are read
/// as on little-endian machines.
#[must_use]
pub(crate) fn slot(client: IpAddr, modulus: u32) -> u32 {
    let hash = match client {
        IpAddr::V4(client) => jhash(&client.octets(), HASH_SEED),
        IpAddr::V6(client) => jhash(&client.octets(), HASH_SEED),
    };
    // `reciprocal_scale`: the upper half of the product is below the modulus.
    u32::try_from((u64::from(hash) * u64::from(modulus)) >> 32)
        .expect("the upper half of a product of two u32")
}

/// `jhash` of `include/linux/jhash.h`, after Bob Jenkins' `lookup3.c`; for keys that are a multiple of four bytes long.
fn jhash(key: &[u8], seed: u32) -> u32 {
    let len = u32::try_from(key.len()).expect("an address is short");
    let start = 0xdead_beef_u32.wrapping_add(len).wrapping_add(seed);
    let (mut a, mut b, mut c) = (start, start, start);
    let mut words = key.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")));
    let mut left = key.len();
    while left > 12 {
        let mut add = |to: u32| to.wrapping_add(words.next().unwrap_or_default());
        (a, b, c) = mix(add(a), add(b), add(c));
        left -= 12;
    }
    let mut add = |to: u32| to.wrapping_add(words.next().unwrap_or_default());
    last(add(a), add(b), add(c))
}

/// `__jhash_mix`.
fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    for turns in [[4, 6, 8], [16, 19, 4]] {
        a = a.wrapping_sub(c) ^ c.rotate_left(turns[0]);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(turns[1]);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(turns[2]);
        b = b.wrapping_add(a);
    }
    (a, b, c)
}

/// `__jhash_final`.
fn last(mut a: u32, mut b: u32, mut c: u32) -> u32 {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_spread_over_the_slots() {
        let slots: std::collections::BTreeSet<u32> =
            (0..=255).map(|last| slot([10, 244, 0, last].into(), 251)).collect();
        assert!(slots.len() > 140 && slots.iter().all(|slot| *slot < 251), "{}", slots.len());
    }
}
