//! The clock and the random numbers that the pure store is given.

use jiff::Timestamp;

use crate::error::ApiServerError;

/// The time.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// A random number from a generator that the operating system seeds.
pub(crate) fn random() -> u64 {
    let mut bytes = [0_u8; 8];
    fill_random(&mut bytes).expect("the system's random generator answers once it is seeded");
    u64::from_ne_bytes(bytes)
}

/// A fresh uid (RFC 9562, version 4).
pub(crate) fn uid() -> String {
    let (high, low) = (random(), random());
    let high = (high & !0xf000) | 0x4000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// Fills the buffer from the same generator.
pub(crate) fn fill_random(buffer: &mut [u8]) -> Result<(), ApiServerError> {
    aws_lc_rs::rand::fill(buffer).map_err(|_| ApiServerError::Entropy)
}
