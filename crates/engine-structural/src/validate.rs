//! Values against a schema, with the texts of kube-openapi.
//!
//! Source: kube-openapi `pkg/validation`, apiextensions `pkg/apiserver/validation`. A part of an object that a change
//! leaves alone is not looked at (`CRDValidationRatcheting`).

use serde_json::{Map, Number, Value};

use crate::formats;
use crate::problem::{Problem, go_float};
use crate::schema::{Additional, Bounds, ListType, Schema, ValueType};

/// Everything wrong with an object, or with a change of it.
pub fn validate(schema: &Schema, object: &Value, old: Option<&Value>) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(&At { schema, path: "" }, object, old, &mut problems);
    problems
}

/// Where the walk is.
struct At<'a> {
    schema: &'a Schema,
    path: &'a str,
}

impl At<'_> {
    /// `spec.size in body`.
    fn subject(&self) -> String {
        format!("{} in body", self.path)
    }

    fn invalid(&self, value: &Value, rest: &str) -> Problem {
        Problem::invalid(self.path, value, &format!("{} {rest}", self.subject()))
    }

    fn wrong_type(&self, wanted: &str, found: &str) -> Problem {
        let detail = format!("{} must be of type {wanted}: {found:?}", self.subject());
        Problem::wrong_type(self.path, &Value::from(found), &detail)
    }
}

fn walk(at: &At<'_>, value: &Value, old: Option<&Value>, problems: &mut Vec<Problem>) {
    if old == Some(value) {
        return;
    }
    if let Some(problem) = type_problem(at, value) {
        problems.push(problem);
    }
    if value.is_null() {
        problems.extend(enum_problem(at, value));
        return;
    }
    logic(at, value, problems);
    match value {
        Value::String(text) => string(at, text, problems),
        Value::Number(number) => self::number(at, number, problems),
        Value::Array(items) => array(at, items, old, problems),
        _ => {}
    }
    problems.extend(enum_problem(at, value));
    if let Value::Object(map) = value {
        object(at, map, old, problems);
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn type_problem(at: &At<'_>, value: &Value) -> Option<Problem> {
    let found = type_name(value);
    if value.is_null() && at.schema.nullable {
        return None;
    }
    if at.schema.int_or_string {
        return (!matches!(found, "integer" | "string")).then(|| at.wrong_type("integer,string", found));
    }
    let wanted = at.schema.ty?;
    let fits = match (wanted, value) {
        (ValueType::Number, Value::Number(_)) => true,
        (ValueType::Integer, Value::Number(number)) => {
            number.as_f64().is_some_and(|float| float.fract() == 0.0)
        }
        (wanted, _) => wanted.text() == found,
    };
    (!fits).then(|| at.wrong_type(wanted.text(), found))
}

fn enum_problem(at: &At<'_>, value: &Value) -> Option<Problem> {
    let allowed = &at.schema.allowed;
    if allowed.is_empty() || allowed.iter().any(|allowed| same(allowed, value)) {
        return None;
    }
    let texts: Vec<String> =
        allowed.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
    Some(Problem::not_supported(at.path, value, &texts))
}

/// Equality in which `1` and `1.0` are one value.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

fn logic(at: &At<'_>, value: &Value, problems: &mut Vec<Problem>) {
    let tried = |schemas: &[Schema]| -> Vec<Vec<Problem>> {
        let try_one = |schema| {
            let mut found = Vec::new();
            walk(&At { schema, path: at.path }, value, None, &mut found);
            found
        };
        schemas.iter().map(try_one).collect()
    };
    let mut say = |rest: &str| {
        problems.push(Problem::invalid("<nil>", &Value::from(""), &format!("{:?} {rest}", at.path)));
    };
    let logic = &at.schema.logic;
    let (any, one, all) = (tried(&logic.any_of), tried(&logic.one_of), tried(&logic.all_of));
    let mut details = Vec::new();
    if !any.is_empty() && any.iter().all(|found| !found.is_empty()) {
        say("must validate at least one schema (anyOf)");
        details.extend(closest(any));
    }
    let fitting = one.iter().filter(|found| found.is_empty()).count();
    if !one.is_empty() && fitting == 0 {
        say("must validate one and only one schema (oneOf). Found none valid");
        details.extend(closest(one));
    } else if fitting > 1 {
        say(&format!("must validate one and only one schema (oneOf). Found {fitting} valid alternatives"));
    }
    let fitting = all.iter().filter(|found| found.is_empty()).count();
    if fitting < all.len() {
        let none = if fitting == 0 { ". None validated" } else { "" };
        say(&format!("must validate all the schemas (allOf){none}"));
        details.extend(all.into_iter().flatten());
    }
    if let Some(not) = &logic.not {
        let mut found = Vec::new();
        walk(&At { schema: not, path: at.path }, value, None, &mut found);
        if found.is_empty() {
            say("must not validate the schema (not)");
        }
    }
    problems.extend(details);
}

/// The findings of the alternative that comes closest: the first with the fewest.
fn closest(mut tried: Vec<Vec<Problem>>) -> Vec<Problem> {
    let best = tried.iter().enumerate().min_by_key(|(index, found)| (found.len(), *index));
    let best = best.map_or(0, |(index, _)| index);
    tried.swap_remove(best)
}

fn string(at: &At<'_>, text: &str, problems: &mut Vec<Problem>) {
    let Bounds { min_length, max_length, .. } = &at.schema.bounds;
    let value = Value::from(text);
    let length = text.chars().count() as u64;
    if let Some(most) = max_length.filter(|most| length > *most) {
        problems.push(Problem::too_long(at.path, most));
    }
    if let Some(least) = min_length.filter(|least| length < *least) {
        problems.push(at.invalid(&value, &format!("should be at least {least} chars long")));
    }
    if let Some(pattern) = &at.schema.pattern
        && !pattern.regex.as_ref().is_some_and(|regex| regex.is_match(text))
    {
        problems.push(at.invalid(&value, &format!("should match '{}'", pattern.text)));
    }
    if !at.schema.format.is_empty() && !formats::fits(&at.schema.format, text) {
        let detail = format!("{} must be of type {}: {text:?}", at.subject(), at.schema.format);
        problems.push(Problem::wrong_type(at.path, &value, &detail));
    }
}

fn number(at: &At<'_>, number: &Number, problems: &mut Vec<Problem>) {
    let bounds = &at.schema.bounds;
    let Some(float) = number.as_f64() else { return };
    let value = Value::Number(number.clone());
    if at.schema.format == "int32"
        && at.schema.ty == Some(ValueType::Integer)
        && float.abs() > 2_147_483_648.0
    {
        let detail = format!("{} must be of type int32: {:?}", at.subject(), number.to_string());
        problems.push(Problem::wrong_type(at.path, &value, &detail));
    }
    if let Some(factor) = bounds.multiple_of {
        let times = float / factor;
        if factor > 0.0 && (times - times.round()).abs() > 1e-9 {
            problems.push(at.invalid(&value, &format!("should be a multiple of {}", go_float(factor))));
        }
    }
    if let Some(most) = bounds.maximum
        && (float > most || (bounds.exclusive_maximum && float >= most))
    {
        let or_equal = if bounds.exclusive_maximum { "" } else { " or equal to" };
        problems.push(at.invalid(&value, &format!("should be less than{or_equal} {}", go_float(most))));
    }
    if let Some(least) = bounds.minimum
        && (float < least || (bounds.exclusive_minimum && float <= least))
    {
        let or_equal = if bounds.exclusive_minimum { "" } else { " or equal to" };
        problems.push(at.invalid(&value, &format!("should be greater than{or_equal} {}", go_float(least))));
    }
}

fn array(at: &At<'_>, items: &[Value], old: Option<&Value>, problems: &mut Vec<Problem>) {
    let old = old.and_then(Value::as_array);
    if let Some(schema) = at.schema.items.as_deref() {
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{index}]", at.path);
            let before = old.and_then(|old| correlated(&at.schema.list, old, item));
            walk(&At { schema, path: &path }, item, before, problems);
        }
    }
    let Bounds { min_items, max_items, unique_items, .. } = &at.schema.bounds;
    let count = items.len() as u64;
    if let Some(least) = min_items.filter(|least| count < *least) {
        problems.push(at.invalid(&Value::from(count), &format!("should have at least {least} items")));
    }
    if let Some(most) = max_items.filter(|most| count > *most) {
        problems.push(Problem::too_many(at.path, items.len(), most));
    }
    if *unique_items {
        let texts: std::collections::BTreeSet<String> = items.iter().map(Value::to_string).collect();
        if texts.len() < items.len() {
            problems.push(at.invalid(&Value::from(""), "shouldn't contain duplicates"));
        }
    }
}

/// The old item that is the new item's: only lists of type map say which.
pub(crate) fn correlated<'a>(list: &ListType, old: &'a [Value], item: &Value) -> Option<&'a Value> {
    let ListType::Map(keys) = list else { return None };
    old.iter().find(|before| keys.iter().all(|key| before.get(key) == item.get(key)))
}

fn object(at: &At<'_>, map: &Map<String, Value>, old: Option<&Value>, problems: &mut Vec<Problem>) {
    let schema = at.schema;
    let count = Value::from(map.len());
    if let Some(least) = schema.bounds.min_properties.filter(|least| (map.len() as u64) < *least) {
        problems.push(at.invalid(&count, &format!("should have at least {least} properties")));
        return;
    }
    if let Some(most) = schema.bounds.max_properties.filter(|most| map.len() as u64 > *most) {
        problems.push(Problem::too_many(at.path, map.len(), most));
        return;
    }
    let below = |name: &str| if at.path.is_empty() { name.to_owned() } else { format!("{}.{name}", at.path) };
    for (name, value) in map {
        let field = schema.properties.get(name).or(match &schema.additional {
            Additional::Schema(field) => Some(&**field),
            _ => None,
        });
        if let Some(schema) = field {
            let path = below(name);
            walk(&At { schema, path: &path }, value, old.and_then(|old| old.get(name)), problems);
        }
    }
    for name in &schema.required {
        if !map.contains_key(name) {
            problems.push(Problem::required(&below(name), ""));
        }
    }
}
