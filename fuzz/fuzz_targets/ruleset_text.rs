//! Rulesets as text.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(ruleset) = ruleset::parse(text) {
        let again = ruleset::parse(&ruleset.to_string());
        assert_eq!(again.as_ref().ok(), Some(&ruleset));
    }
});
