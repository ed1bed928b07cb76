//! Schemas of custom resources and objects under them: any JSON is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str)| {
    let (Ok(json), Ok(mut object)) = (serde_json::from_str(texts.0), serde_json::from_str(texts.1)) else { return };
    engine_structural::check_structure(&json, "schema");
    let mut schema = engine_structural::Schema::parse(&json);
    engine_structural::compile_rules(&mut schema, "schema");
    engine_structural::prune(&mut object, &schema);
    engine_structural::default(&mut object, &schema);
    engine_structural::check(&schema, &object, None);
});
