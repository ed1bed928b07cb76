//! The clock and the random numbers that the pure store is given.

use jiff::Timestamp;

use crate::error::ApiServerError;

/// The time.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// A random number from the operating system's generator.
pub(crate) fn random() -> u64 {
    let mut bytes = [0_u8; 8];
    fill_random(&mut bytes).expect("the system's random generator answers once it is seeded");
    u64::from_ne_bytes(bytes)
}

/// Fills the buffer from the operating system's generator.
pub(crate) fn fill_random(buffer: &mut [u8]) -> Result<(), ApiServerError> {
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(buffer)
        .map_err(|_| ApiServerError::Entropy)
}
