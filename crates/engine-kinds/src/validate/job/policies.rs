//! Rules for the policies of a Job: which failures count, which successes are enough.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::object::{integer, list, text};
use crate::validate::{Findings, names};

/// Limits of upstream (`maxPodFailurePolicyRules`, `maxPodFailurePolicyOnExitCodesValues`,
/// `maxPodFailurePolicyOnPodConditionsPatterns`, `maxSuccessPolicyRule`, `maxJobSuccessPolicySucceededIndexesLimit`).
const MAX_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;
const MAX_CONDITIONS: usize = 20;
const MAX_INDEXES_TEXT: usize = 64 * 1024;

const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: &[&str] = &["In", "NotIn"];
const STATUSES: &[&str] = &["False", "True", "Unknown"];

/// One of a fixed list, and never empty.
fn one_of(value: &str, allowed: &[&str], field: &str, findings: &mut Findings) {
    if value.is_empty() {
        let all: Vec<_> = allowed.iter().map(|value| format!("{value:?}")).collect();
        findings.required(field, &format!("valid values: [{}]", all.join(" ")));
    } else if !allowed.contains(&value) {
        findings.not_supported(field, value, allowed);
    }
}

/// `podFailurePolicy` of the spec of this object.
pub(super) fn failure(object: &Value, field: &str, findings: &mut Findings) {
    let rules = list(object, "/spec/podFailurePolicy/rules");
    let field = format!("{field}.podFailurePolicy.rules");
    if rules.len() > MAX_RULES {
        findings.too_many(&field, rules.len(), MAX_RULES);
    }
    for (number, rule) in rules.iter().enumerate() {
        failure_rule(object, rule, &format!("{field}[{number}]"), findings);
    }
}

fn failure_rule(object: &Value, rule: &Value, field: &str, findings: &mut Findings) {
    let action = text(rule, "/action");
    if action == "FailIndex" {
        if object.pointer("/spec/backoffLimitPerIndex").is_none() {
            let why = "requires the backoffLimitPerIndex to be set";
            findings.invalid(&format!("{field}.action"), &json!(action), why);
        }
    } else {
        one_of(action, ACTIONS, &format!("{field}.action"), findings);
    }
    let codes = rule.get("onExitCodes").filter(|codes| !codes.is_null());
    let conditions = list(rule, "/onPodConditions");
    if let Some(codes) = codes {
        exit_codes(object, codes, &format!("{field}.onExitCodes"), findings);
    }
    if conditions.len() > MAX_CONDITIONS {
        findings.too_many(&format!("{field}.onPodConditions"), conditions.len(), MAX_CONDITIONS);
    }
    for (number, pattern) in conditions.iter().enumerate() {
        let field = format!("{field}.onPodConditions[{number}]");
        let type_ = text(pattern, "/type");
        for why in names::qualified_name(type_) {
            findings.invalid(&format!("{field}.type"), &json!(type_), &why);
        }
        one_of(text(pattern, "/status"), STATUSES, &format!("{field}.status"), findings);
    }
    match (codes.is_some(), conditions.is_empty()) {
        (true, false) => {
            findings.broken(field, "specifying both OnExitCodes and OnPodConditions is not supported");
        }
        (false, true) => {
            findings.broken(field, "specifying one of OnExitCodes and OnPodConditions is required");
        }
        _ => {}
    }
}

fn exit_codes(object: &Value, codes: &Value, field: &str, findings: &mut Findings) {
    let operator = text(codes, "/operator");
    one_of(operator, OPERATORS, &format!("{field}.operator"), findings);
    let lists = ["/spec/template/spec/containers", "/spec/template/spec/initContainers"];
    let mut names = lists.iter().flat_map(|pointer| list(object, pointer)).map(|held| text(held, "/name"));
    let wanted = text(codes, "/containerName");
    if codes.get("containerName").is_some() && !names.any(|name| name == wanted) {
        let why = "must be one of the container or initContainer names in the pod template";
        findings.invalid(&format!("{field}.containerName"), &json!(wanted), why);
    }
    let values = list(codes, "/values");
    let field = format!("{field}.values");
    if values.is_empty() {
        findings.invalid(&field, &json!([]), "at least one value is required");
    } else if values.len() > MAX_EXIT_CODES {
        findings.too_many(&field, values.len(), MAX_EXIT_CODES);
    }
    let numbers: Vec<i64> = values.iter().filter_map(Value::as_i64).collect();
    let mut seen = BTreeSet::new();
    for (place, number) in numbers.iter().enumerate() {
        let field = format!("{field}[{place}]");
        if operator == "In" && *number == 0 {
            findings.invalid(&field, &json!(number), "must not be 0 for the In operator");
        }
        if !seen.insert(number) {
            findings.duplicate(&field, &json!(number));
        }
    }
    if !numbers.is_sorted() {
        findings.invalid(&field, &json!(numbers), "must be ordered");
    }
}

/// `successPolicy` of the spec of this object, which is an indexed Job.
pub(super) fn success(object: &Value, field: &str, findings: &mut Findings) {
    let rules = list(object, "/spec/successPolicy/rules");
    let field = format!("{field}.successPolicy.rules");
    if rules.is_empty() {
        findings.required(&field, "at least one rules must be specified when the successPolicy is specified");
    } else if rules.len() > MAX_RULES {
        findings.too_many(&field, rules.len(), MAX_RULES);
    }
    let completions = integer(object, "/spec/completions").unwrap_or(0);
    for (number, rule) in rules.iter().enumerate() {
        success_rule(completions, rule, &format!("{field}[{number}]"), findings);
    }
}

fn success_rule(completions: i64, rule: &Value, field: &str, findings: &mut Findings) {
    let indexes = rule.get("succeededIndexes").and_then(Value::as_str);
    let count = integer(rule, "/succeededCount");
    if indexes.is_none() && count.is_none() {
        findings.required(field, "at least one of succeededCount or succeededIndexes must be specified");
    }
    let mut total = 0;
    if let Some(indexes) = indexes {
        let field = format!("{field}.succeededIndexes");
        if indexes.len() > MAX_INDEXES_TEXT {
            findings.too_long(&field, MAX_INDEXES_TEXT);
        }
        match count_indexes(indexes, completions) {
            Ok(found) => total = found,
            Err(why) => {
                let why = format!("error parsing succeededIndexes: {why}");
                findings.invalid(&field, &json!(indexes), &why);
            }
        }
    }
    let Some(count) = count else { return };
    let field = format!("{field}.succeededCount");
    let mut too_many = |why: &str| findings.invalid(&field, &json!(count), why);
    if count < 0 {
        too_many("must be greater than or equal to 0");
    }
    if count > completions {
        too_many(&format!(
            "must be less than or equal to {completions} (the number of specified completions)"
        ));
    }
    if indexes.is_some() && count > total {
        too_many(&format!(
            "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        ));
    }
}

/// How many indexes a text such as `1,3-5` names (upstream: `validateIndexesFormat`).
fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    let mut total = 0;
    let mut last = None;
    for interval in text.split(',').filter(|_| !text.is_empty()) {
        let parts: Vec<&str> = interval.split('-').collect();
        if parts.len() > 2 {
            return Err(format!(
                "the fragment {interval:?} violates the requirement that an index interval can have at most two \
                 parts separated by '-'"
            ));
        }
        let number = |part: &str| match part.parse::<i64>() {
            Err(_) => Err(format!("cannot convert string to integer for index: {part:?}")),
            Ok(index) if index >= completions => Err(format!("too large index: {part:?}")),
            Ok(index) => Ok(index),
        };
        let first = number(parts[0])?;
        let end = parts.get(1).map_or(Ok(first), |part| number(part))?;
        let disorder = |previous, current| {
            Err(format!("non-increasing order, previous: {previous}, current: {current}"))
        };
        if parts.len() == 2 && first >= end {
            return disorder(first, end);
        }
        if let Some(last) = last.filter(|last| *last >= first) {
            return disorder(last, first);
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_indexes_are_counted_or_refused() {
        assert_eq!(count_indexes("", 5), Ok(0));
        assert_eq!(count_indexes("0,2-4", 5), Ok(4));
        for (text, why) in [
            ("a", "cannot convert string to integer for index: \"a\""),
            ("5", "too large index: \"5\""),
            ("3-1", "non-increasing order, previous: 3, current: 1"),
            ("2,1", "non-increasing order, previous: 2, current: 1"),
            ("1-2-3", "the fragment \"1-2-3\" violates the requirement"),
        ] {
            assert!(count_indexes(text, 5).unwrap_err().starts_with(why), "{text}");
        }
    }
}
