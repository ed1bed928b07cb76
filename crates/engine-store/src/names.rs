//! Names and uids the server makes up, from random draws of the caller.

use crate::request::Env;

/// Letters of generated suffixes: no vowels and no look-alikes (upstream: apimachinery `pkg/util/rand`).
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// Longest base kept, so that base and suffix fit a DNS label (upstream: `names.maxGeneratedNameLength`).
const MAX_BASE_LENGTH: usize = 58;

/// A name that begins with `base` (`metadata.generateName`).
pub(crate) fn generate(base: &str, env: &mut Env<'_>) -> String {
    let mut name: String = base.chars().take(MAX_BASE_LENGTH).collect();
    for _ in 0..SUFFIX_LENGTH {
        let index = (env.random)() % ALPHABET.len() as u64;
        name.push(char::from(ALPHABET[usize::try_from(index).expect("less than the alphabet's length")]));
    }
    name
}

/// A random uid (RFC 9562, version 4).
pub(crate) fn uid(env: &mut Env<'_>) -> String {
    let high = ((env.random)() & !0xf000) | 0x4000;
    let low = ((env.random)() & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}
