//! Rules of custom resources: any text is read or refused, and what is read ends.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(expr) = engine_cel::parse(text) {
        let _ = engine_cel::check(&expr, &[("self", engine_cel::Type::Dyn)]);
        let this = engine_cel::Value::from_json(&serde_json::json!({"a": [1, "x", {"b": null}], "c": 1.5}));
        let _ = engine_cel::evaluate(&expr, &[("self", this)], &mut engine_cel::Budget::new(100_000));
    }
});
