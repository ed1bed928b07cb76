//! Structural schemas of custom resources: read, check, prune, default, validate, evaluate rules, find columns.
//!
//! The texts of errors are those of apiextensions-apiserver and kube-openapi at level 1.34, because clients match on
//! them. Not here: what a CustomResourceDefinition is beyond the schema of one version.

mod defaulting;
mod formats;
mod jsonpath;
mod lists;
mod problem;
mod prune;
mod rules;
mod schema;
mod structure;
mod validate;
mod values;

pub use defaulting::{default, drop_nulls};
pub use jsonpath::{JsonPath, PathError};
pub use lists::duplicates;
pub use problem::{Problem, Reason};
pub use prune::prune;
pub use rules::{COST_BUDGET, check_rules, compile_rules};
pub use schema::{Additional, Bounds, ListType, Logic, Pattern, Rule, Schema, ValueType};
pub use structure::check_structure;
pub use validate::validate;

/// Everything wrong with an object, or with a change of it, in upstream's order: values, lists, then rules.
pub fn check(schema: &Schema, object: &serde_json::Value, old: Option<&serde_json::Value>) -> Vec<Problem> {
    let mut problems = validate(schema, object, old);
    // An object that was wrong already may stay so (upstream: `customResourceStrategy.ValidateUpdate`).
    if old.is_none_or(|old| duplicates(schema, old).is_empty()) {
        problems.extend(duplicates(schema, object));
    }
    if problems.iter().any(Problem::blocks_rules) {
        problems.push(Problem::rules_not_checked());
    } else {
        problems.extend(check_rules(schema, object, old));
    }
    problems
}
