//! Network configuration on the CNI plugin's standard input.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let environment = BTreeMap::from([("CNI_COMMAND".to_owned(), "VERSION".to_owned())]);
    let _ = cni::run(&environment, input);
});
