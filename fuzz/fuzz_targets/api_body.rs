//! Request bodies to the API: JSON with duplicate fields found.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _ = engine_store::parse_body(body);
});
