//! Questions to explain, as people type them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|words: (&str, &str, &str)| {
    let (from, to, namespace) = words;
    let _ = explain::Question::parse(from, to, namespace);
});
