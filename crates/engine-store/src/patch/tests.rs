//! Patches that Kubernetes' own packages made, recorded by `tests/recorded/generator`, made here.
#![allow(clippy::unwrap_used, reason = "what fails in a test is the finding")]

use engine_schema::type_of;
use serde_json::Value;

use super::*;

/// Runs recorded cases; a case whose result or refusal is another is told.
fn replay(records: &str, kind: PatchKind) {
    let mut wrong = Vec::new();
    for (number, line) in records.lines().enumerate() {
        let case: Value = serde_json::from_str(line).unwrap();
        let ty = case["schema"].as_str().map_or(Type::Any, type_of);
        let found = match patched(kind, &case["object"], &case["patch"], &ty) {
            Ok(result) => result,
            Err(status) => format!("refused: {}", status.message).into(),
        };
        let agrees = match case["error"].as_str() {
            Some(_) => found.is_string(),
            None => found == case["result"],
        };
        if !agrees {
            let wanted = case["error"].as_str().map_or(case["result"].clone(), Value::from);
            wrong.push(format!(
                "line {}: {} with {}\n  gives {found}\n  not   {wanted}",
                number + 1,
                case["object"],
                case["patch"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), records.lines().count(), wrong.join("\n"));
}

#[test]
fn strategic_patches_as_recorded() {
    replay(include_str!("../../tests/recorded/strategic.jsonl"), PatchKind::StrategicMerge);
}

#[test]
fn patches_of_kubectl_apply_as_recorded() {
    replay(include_str!("../../tests/recorded/threeway.jsonl"), PatchKind::StrategicMerge);
}

#[test]
fn merge_patches_as_recorded() {
    replay(include_str!("../../tests/recorded/merge.jsonl"), PatchKind::Merge);
}

#[test]
fn json_patches_as_recorded() {
    replay(include_str!("../../tests/recorded/json.jsonl"), PatchKind::Json);
}
