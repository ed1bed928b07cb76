//! The annotation `sealane.dev/network` of a Node, which whoever may patch Nodes can write.
#![no_main]

use libfuzzer_sys::fuzz_target;
use types::NodeFacts;

fuzz_target!(|text: &str| {
    let Ok(facts) = serde_json::from_str::<NodeFacts>(text) else { return };
    let again = serde_json::to_string(&facts).expect("facts are plain data");
    assert_eq!(serde_json::from_str::<NodeFacts>(&again).expect("own text"), facts);
});
