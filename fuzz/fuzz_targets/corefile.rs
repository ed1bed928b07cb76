//! CoreDNS's configuration file, and what it imports.
#![no_main]

use std::collections::BTreeMap;

use engine_corefile::{Sources, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let files = BTreeMap::from([("x".to_owned(), text.to_owned())]);
    let _ = read(&Sources { corefile: text.to_owned(), files });
});
