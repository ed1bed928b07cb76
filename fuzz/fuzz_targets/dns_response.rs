//! Response packets, as the probe reads them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| {
    let _ = engine_dns::Response::read(packet);
});
