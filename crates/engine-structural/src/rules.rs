//! `x-kubernetes-validations`: compiled when a definition is accepted, evaluated on every write.
//!
//! Source: apiextensions `pkg/apiserver/schema/cel`.

use engine_cel::ast::mentions;
use engine_cel::{Budget, Error, PER_CALL_LIMIT, Type, Value, evaluate};
use serde_json::Value as Json;

use crate::problem::{Problem, Reason};
use crate::schema::{Additional, ListType, Rule, Schema};
use crate::values;

/// What all rules of one object may cost together (apiserver: `RuntimeCELCostBudget`).
pub const COST_BUDGET: u64 = 10_000_000;

/// Longest message that an expression may compute (apiserver: `MaxEvaluatedMessageExpressionSizeBytes`).
const MAX_MESSAGE: usize = 5 * 1024;

/// Compiles all rules of a schema in place; the problems have paths below `path`.
pub fn compile_rules(schema: &mut Schema, path: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    compile(schema, path, true, None, &mut problems);
    problems
}

fn compile(
    schema: &mut Schema,
    path: &str,
    is_root: bool,
    uncorrelated: Option<&str>,
    problems: &mut Vec<Problem>,
) {
    if !schema.rules.is_empty() {
        let ty =
            if is_root { values::declared(&values::with_meta(schema)) } else { values::declared(schema) };
        for (index, rule) in schema.rules.iter_mut().enumerate() {
            let path = format!("{path}.x-kubernetes-validations[{index}]");
            compile_rule(rule, ty.as_ref(), &path, uncorrelated, problems);
        }
    }
    for (index, part) in schema.logic.all_of.iter_mut().enumerate() {
        compile(part, &format!("{path}.allOf[{index}]"), false, uncorrelated, problems);
    }
    for (name, field) in &mut schema.properties {
        compile(field, &format!("{path}.properties[{name}]"), false, uncorrelated, problems);
    }
    if let Additional::Schema(field) = &mut schema.additional {
        compile(field, &format!("{path}.additionalProperties"), false, uncorrelated, problems);
    }
    // Items of lists other than maps cannot be told from one another over time.
    let is_map = matches!(schema.list, ListType::Map(_));
    if let Some(items) = &mut schema.items {
        let below = if is_map { uncorrelated } else { uncorrelated.or(Some(path)) };
        compile(items, &format!("{path}.items"), false, below, problems);
    }
    let additional = matches!(&schema.additional, Additional::Schema(field) if field.has_rules);
    schema.has_rules = additional
        || !schema.rules.is_empty()
        || schema.items.as_ref().is_some_and(|items| items.has_rules)
        || schema.properties.values().any(|field| field.has_rules)
        || schema.logic.all_of.iter().any(|part| part.has_rules);
}

fn compile_rule(
    rule: &mut Rule,
    ty: Option<&Type>,
    path: &str,
    uncorrelated: Option<&str>,
    problems: &mut Vec<Problem>,
) {
    let Some(ty) = ty else {
        let why = "rule compiled with an unknown type: no type is known for this part of the schema";
        problems.push(Problem::invalid(&format!("{path}.rule"), &Json::from(rule.text.as_str()), why));
        return;
    };
    let text = rule.text.clone();
    let say = |problems: &mut Vec<Problem>, at: u32, why: &str| {
        let detail = format!("compilation failed: {}", pointed(&text, at, why));
        problems.push(Problem::invalid(&format!("{path}.rule"), &Json::from(text.as_str()), &detail));
    };
    let expr = match engine_cel::parse(&rule.text) {
        Ok(expr) => expr,
        Err(error) => return say(problems, error.at, &error.text),
    };
    rule.is_transition = mentions(&expr, "oldSelf");
    let old = if rule.optional_old { Type::Optional(ty.clone().into()) } else { ty.clone() };
    match engine_cel::check(&expr, &[("self", ty.clone()), ("oldSelf", old)]) {
        Ok(Type::Bool | Type::Dyn) => {}
        Ok(_) => {
            let why = "cel expression must evaluate to a bool";
            problems.push(Problem::invalid(&format!("{path}.rule"), &Json::from(rule.text.as_str()), why));
            return;
        }
        Err(error) => return say(problems, error.at, &error.text),
    }
    if rule.is_transition
        && let Some(within) = uncorrelated
    {
        let why =
            format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {within}");
        problems.push(Problem::invalid(&format!("{path}.rule"), &Json::from(rule.text.as_str()), &why));
    }
    if rule.optional_old && !rule.is_transition {
        let why = "may not be set if oldSelf is not used in rule";
        problems.push(Problem::invalid(&format!("{path}.optionalOldSelf"), &Json::Bool(true), why));
    }
    rule.expr = Some(expr);
}

/// An error and where it is, as cel-go shows it.
fn pointed(text: &str, at: u32, why: &str) -> String {
    let at = at as usize;
    let before: Vec<char> = text.chars().take(at).collect();
    let line = before.iter().filter(|char| **char == '\n').count();
    let column = before.iter().rev().take_while(|char| **char != '\n').count();
    let shown = text.lines().nth(line).unwrap_or_default();
    format!("ERROR: <input>:{}:{}: {why}\n | {shown}\n | {}^", line + 1, column + 1, ".".repeat(column))
}

/// Every rule that an object, or a change of it, breaks.
pub fn check_rules(schema: &Schema, object: &Json, old: Option<&Json>) -> Vec<Problem> {
    if !schema.has_rules {
        return Vec::new();
    }
    let mut check = Check { left: COST_BUDGET, problems: Vec::new() };
    let root = Place { schema, path: String::new(), is_root: true };
    check.walk(&root, object, old, false);
    check.problems
}

struct Check {
    left: u64,
    problems: Vec<Problem>,
}

struct Place<'a> {
    schema: &'a Schema,
    path: String,
    is_root: bool,
}

impl Place<'_> {
    /// A field, with `.name`; a key, with `[name]`.
    fn below<'s>(&self, schema: &'s Schema, name: &str, is_field: bool) -> Place<'s> {
        let path = match (self.path.is_empty(), is_field) {
            (true, true) => name.to_owned(),
            (false, true) => format!("{}.{name}", self.path),
            (_, false) => format!("{}[{name}]", self.path),
        };
        Place { schema, path, is_root: false }
    }
}

impl Check {
    /// `unchanged` says that what is above did not change, so that rules about the new state alone may stay broken.
    fn walk(&mut self, place: &Place<'_>, json: &Json, old: Option<&Json>, unchanged: bool) {
        if json.is_null() || self.left == 0 || !place.schema.has_rules {
            return;
        }
        let unchanged = unchanged || old == Some(json);
        self.rules_of(place, json, old, unchanged);
        for part in &place.schema.logic.all_of {
            self.walk(&Place { schema: part, path: place.path.clone(), is_root: false }, json, old, false);
        }
        match json {
            Json::Array(items) => {
                let Some(schema) = place.schema.items.as_deref() else { return };
                let before = old.and_then(Json::as_array);
                for (index, item) in items.iter().enumerate() {
                    let before =
                        before.and_then(|old| crate::validate::correlated(&place.schema.list, old, item));
                    self.walk(&place.below(schema, &index.to_string(), false), item, before, unchanged);
                }
            }
            Json::Object(map) => {
                for (name, below) in map {
                    let before = old.and_then(|old| old.get(name));
                    let is_field = place.schema.properties.contains_key(name);
                    if let Some(schema) = place.schema.field(name) {
                        self.walk(&place.below(schema, name, is_field), below, before, unchanged);
                    }
                }
            }
            _ => {}
        }
    }

    fn rules_of(&mut self, place: &Place<'_>, json: &Json, old: Option<&Json>, unchanged: bool) {
        let due = |rule: &&Rule| {
            if rule.is_transition { old.is_some() || rule.optional_old } else { !unchanged }
        };
        let mut rules = place.schema.rules.iter().filter(due).peekable();
        if rules.peek().is_none() {
            return;
        }
        let with_meta = place.is_root.then(|| values::with_meta(place.schema));
        let schema = with_meta.as_ref().unwrap_or(place.schema);
        let this = values::value(json, schema);
        let before = old.filter(|old| !old.is_null()).map(|old| values::value(old, schema));
        for rule in rules {
            let Some(expr) = &rule.expr else { continue };
            let before = match (rule.optional_old, &before) {
                (true, before) => Some(Value::Optional(before.clone().map(Into::into))),
                (false, before) => before.clone(),
            };
            let mut variables = vec![("self", this.clone())];
            if rule.is_transition {
                let Some(before) = before else { continue };
                variables.push(("oldSelf", before));
            }
            let result = self.evaluate(expr, &variables);
            if matches!(result, Ok(Value::Bool(true))) {
                continue;
            }
            let problem = self.problem(place, json, rule, &variables, result);
            self.problems.push(problem);
            if self.left == 0 {
                return;
            }
        }
    }

    fn evaluate(
        &mut self,
        expr: &engine_cel::ast::Expr,
        variables: &[(&str, Value)],
    ) -> Result<Value, Error> {
        let given = PER_CALL_LIMIT.min(self.left);
        let mut budget = Budget::new(given);
        let result = evaluate(expr, variables, &mut budget);
        self.left -= given - budget.left();
        if matches!(result, Err(Error::CostExceeded)) {
            self.left = 0;
        }
        result
    }

    fn problem(
        &mut self,
        place: &Place<'_>,
        json: &Json,
        rule: &Rule,
        variables: &[(&str, Value)],
        result: Result<Value, Error>,
    ) -> Problem {
        let shown = Json::from(place.schema.ty.map_or("", crate::schema::ValueType::text));
        let quoted = rule.text.replace('\n', " ");
        let failed = match result {
            Ok(_) => None,
            Err(Error::NoSuchOverload) => Some(format!(
                "'no such overload': call arguments did not match a supported operator, function or macro signature for rule: {quoted}"
            )),
            Err(error @ Error::CostExceeded) => Some(format!(
                "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {quoted}"
            )),
            Err(error) => Some(format!("{error} evaluating rule: {quoted}")),
        };
        if let Some(text) = failed {
            return Problem::invalid(&place.path, &shown, &text);
        }
        let computed = rule.message_expr.as_ref().and_then(|expr| match self.evaluate(expr, variables) {
            Ok(Value::String(text)) => Some(text.trim().to_owned()),
            _ => None,
        });
        let computed =
            computed.filter(|text| !text.is_empty() && !text.contains('\n') && text.len() <= MAX_MESSAGE);
        let message = computed.unwrap_or_else(|| match rule.message.as_str() {
            "" => format!("failed rule: {quoted}"),
            message => message.to_owned(),
        });
        let path = format!("{}{}", place.path, rule.field_path);
        let path = if place.path.is_empty() { path.trim_start_matches('.').to_owned() } else { path };
        said(&path, json, rule, &message)
    }
}

/// A broken rule with the reason it asks for.
fn said(path: &str, json: &Json, rule: &Rule, message: &str) -> Problem {
    let is_container = json.is_object() || json.is_array();
    match rule.reason.as_str() {
        "FieldValueForbidden" => Problem::forbidden(path, message),
        "FieldValueRequired" => Problem::required(path, message),
        "FieldValueDuplicate" if is_container => Problem {
            path: path.to_owned(),
            reason: Reason::Duplicate,
            message: "Duplicate value".to_owned(),
        },
        "FieldValueDuplicate" => Problem::duplicate(path, json),
        _ if is_container => Problem::invalid_without_value(path, message),
        _ => Problem::invalid(path, json, message),
    }
}
