//! Expression and variables → value, within a budget.
//!
//! A step costs one, work that grows with the size of its input costs a tenth per octet or item; the limits and
//! factors are those of apiserver `pkg/apis/cel/config.go` and `pkg/cel/library/cost.go`, the sum is not
//! bit-identical to upstream's.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;

use crate::ast::{Access, Comprehension, Expr, Flatten, Kind, Macro, Operator};
use crate::functions;
use crate::ops;
use crate::re2;
use crate::value::{Error, Key, ListKind, Map, Value};

/// What one evaluation may cost (`PerCallLimit`).
pub const PER_CALL_LIMIT: u64 = 1_000_000;

type Result<T = Value, E = Error> = std::result::Result<T, E>;

/// What may still be spent.
#[derive(Debug)]
pub struct Budget {
    left: u64,
    /// Patterns are compiled once, however many items they are tried on.
    regexes: BTreeMap<String, Result<Regex, String>>,
}

impl Budget {
    /// A budget of so many steps.
    pub fn new(steps: u64) -> Self {
        Self { left: steps, regexes: BTreeMap::new() }
    }

    /// What is left.
    pub fn left(&self) -> u64 {
        self.left
    }

    pub(crate) fn spend(&mut self, cost: u64) -> Result<()> {
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(Error::CostExceeded)
            }
        }
    }

    /// A compiled pattern; compiling costs by its length.
    pub(crate) fn regex(&mut self, pattern: &str) -> Result<Regex> {
        if !self.regexes.contains_key(pattern) {
            self.spend(pattern.len() as u64)?;
            self.regexes.insert(pattern.to_owned(), re2::compile(pattern));
        }
        let found = self.regexes.get(pattern).cloned();
        found.unwrap_or_else(|| re2::compile(pattern)).map_err(Error::other)
    }

    /// Size of a value with everything in it; anything beyond the budget is told as just beyond it.
    pub(crate) fn measure(&self, value: &Value) -> u64 {
        let mut sum = 0;
        measure(value, self.left.saturating_mul(10), &mut sum);
        sum
    }

    /// Spends for going over so many octets or items.
    pub(crate) fn walk(&mut self, size: u64) -> Result<()> {
        self.spend(size / 10 + 1)
    }
}

struct Scope<'a> {
    variables: Vec<(Arc<str>, Value)>,
    budget: &'a mut Budget,
}

/// Computes the value of an expression.
///
/// # Errors
/// When an operation fails, or the budget is used up.
pub fn evaluate(expr: &Expr, variables: &[(&str, Value)], budget: &mut Budget) -> Result {
    let variables = variables.iter().map(|(name, value)| (Arc::from(*name), value.clone())).collect();
    Scope { variables, budget }.eval(expr)
}

impl Scope<'_> {
    fn eval(&mut self, expr: &Expr) -> Result {
        match &expr.kind {
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Ident(name) => self.lookup(name),
            Kind::Select(operand, field, access) => {
                let operand = self.eval(operand)?;
                self.budget.spend(1)?;
                select(&operand, field, *access)
            }
            Kind::Has(operand, field) => self.has(operand, field),
            Kind::Index(operand, index, access) => {
                let operand = self.eval(operand)?;
                let index = self.eval(index)?;
                self.budget.spend(1)?;
                index_of(&operand, &index, *access)
            }
            Kind::Call(name, arguments, form) => {
                let arguments =
                    arguments.iter().map(|argument| self.eval(argument)).collect::<Result<Vec<_>>>()?;
                self.budget.spend(1)?;
                functions::call(name, *form, &arguments, self.budget)
            }
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::And(terms) => self.logical(terms, false),
            Kind::Or(terms) => self.logical(terms, true),
            Kind::Not(operand) => match self.eval(operand)? {
                Value::Bool(value) => Ok(Value::Bool(!value)),
                _ => Err(Error::NoSuchOverload),
            },
            Kind::Negate(operand) => ops::negate(&self.eval(operand)?),
            Kind::Conditional(parts) => match self.eval(&parts[0])? {
                Value::Bool(true) => self.eval(&parts[1]),
                Value::Bool(false) => self.eval(&parts[2]),
                _ => Err(Error::NoSuchOverload),
            },
            Kind::Binary(operator, left, right) => self.binary(*operator, left, right),
            Kind::Comprehension(comprehension) => self.comprehension(comprehension),
            Kind::OptionalMap(operand, name, body, flatten) => {
                self.optional_map(operand, name, body, *flatten)
            }
        }
    }

    fn lookup(&mut self, name: &str) -> Result {
        self.budget.spend(1)?;
        let found = self.variables.iter().rev().find(|(bound, _)| **bound == *name);
        if let Some((_, value)) = found {
            return Ok(value.clone());
        }
        functions::type_denotation(name)
            .map(|name| Value::Type(Arc::from(name)))
            .ok_or_else(|| Error::NoSuchAttribute(name.to_owned()))
    }

    fn has(&mut self, operand: &Expr, field: &str) -> Result {
        let operand = self.eval(operand)?;
        match &operand {
            Value::Map(map) => Ok(Value::Bool(map.entries.contains_key(&Key::string(field)))),
            Value::Optional(None) => Ok(Value::Bool(false)),
            Value::Optional(Some(inner)) => match &**inner {
                Value::Map(map) => Ok(Value::Bool(map.entries.contains_key(&Key::string(field)))),
                _ => Err(Error::NoSuchOverload),
            },
            _ => Err(Error::NoSuchOverload),
        }
    }

    fn list(&mut self, items: &[(Expr, Access)]) -> Result {
        let mut values = Vec::new();
        for (item, access) in items {
            let value = self.eval(item)?;
            self.budget.spend(1)?;
            match (access, value) {
                (Access::Plain, value) => values.push(value),
                (Access::Optional, Value::Optional(inner)) => {
                    values.extend(inner.map(|inner| (*inner).clone()));
                }
                (Access::Optional, _) => return Err(Error::NoSuchOverload),
            }
        }
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &[(Expr, Expr, Access)]) -> Result {
        let mut map = Map::default();
        for (key, value, access) in entries {
            let key = self.eval(key)?;
            let value = self.eval(value)?;
            self.budget.spend(1)?;
            let key = Key::of(&key).ok_or_else(|| Error::other("unsupported key type"))?;
            let value = match (access, value) {
                (Access::Plain, value) => value,
                (Access::Optional, Value::Optional(Some(inner))) => (*inner).clone(),
                (Access::Optional, Value::Optional(None)) => continue,
                (Access::Optional, _) => return Err(Error::NoSuchOverload),
            };
            let text = key.text();
            if map.entries.insert(key, value).is_some() {
                return Err(Error::other(format!("Failed with repeated key {text}")));
            }
        }
        Ok(Value::Map(Arc::new(map)))
    }

    /// One term that decides is enough, whatever errors the others give.
    fn logical(&mut self, terms: &[Expr], decides: bool) -> Result {
        let mut error = None;
        for term in terms {
            match self.eval(term) {
                Ok(Value::Bool(value)) if value == decides => return Ok(Value::Bool(decides)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => error = error.or(Some(Error::NoSuchOverload)),
                Err(Error::CostExceeded) => return Err(Error::CostExceeded),
                Err(failed) => error = error.or(Some(failed)),
            }
        }
        error.map_or(Ok(Value::Bool(!decides)), Err)
    }

    fn binary(&mut self, operator: Operator, left: &Expr, right: &Expr) -> Result {
        let left = self.eval(left)?;
        let right = self.eval(right)?;
        let size = match operator {
            Operator::In if matches!(right, Value::List(_)) => self.budget.measure(&right).saturating_mul(10),
            Operator::Equal | Operator::NotEqual => {
                self.budget.measure(&left).min(self.budget.measure(&right))
            }
            Operator::Add => left.weight().saturating_add(right.weight()),
            _ => left.weight().min(right.weight()),
        };
        self.budget.walk(size)?;
        ops::binary(operator, &left, &right)
    }

    fn comprehension(&mut self, comprehension: &Comprehension) -> Result {
        let range = self.eval(&comprehension.range)?;
        let pairs: Vec<(Value, Value)> = match &range {
            Value::List(list) if comprehension.second.is_some() => {
                list.items.iter().zip(0..).map(|(item, index)| (Value::Int(index), item.clone())).collect()
            }
            Value::List(list) => list.items.iter().map(|item| (item.clone(), Value::Null)).collect(),
            Value::Map(map) => {
                map.entries.iter().map(|(key, value)| (key.to_value(), value.clone())).collect()
            }
            _ => return Err(Error::NoSuchOverload),
        };
        let depth = self.variables.len();
        let result = self.fold(comprehension, &pairs);
        self.variables.truncate(depth);
        result
    }

    fn fold(&mut self, comprehension: &Comprehension, pairs: &[(Value, Value)]) -> Result {
        let mut outcome = Outcome::default();
        let depth = self.variables.len();
        for (first, second) in pairs {
            self.budget.spend(1)?;
            self.variables.truncate(depth);
            self.variables.push((comprehension.first.clone(), first.clone()));
            if let Some(name) = &comprehension.second {
                self.variables.push((name.clone(), second.clone()));
            }
            if let Some(filter) = &comprehension.filter {
                match self.eval(filter)? {
                    Value::Bool(true) => {}
                    Value::Bool(false) => continue,
                    _ => return Err(Error::NoSuchOverload),
                }
            }
            let result = self.eval(&comprehension.body);
            if let Some(decided) = outcome.take(comprehension.kind, first, result)? {
                return Ok(Value::Bool(decided));
            }
        }
        outcome.finish(comprehension.kind)
    }

    fn optional_map(&mut self, operand: &Expr, name: &Arc<str>, body: &Expr, flatten: Flatten) -> Result {
        let inner = match self.eval(operand)? {
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => (*inner).clone(),
            _ => return Err(Error::NoSuchOverload),
        };
        self.variables.push((name.clone(), inner));
        let result = self.eval(body);
        self.variables.pop();
        match (flatten, result?) {
            (Flatten::No, value) => Ok(Value::Optional(Some(Arc::new(value)))),
            (Flatten::Yes, value @ Value::Optional(_)) => Ok(value),
            (Flatten::Yes, _) => Err(Error::NoSuchOverload),
        }
    }
}

/// What a macro has gathered so far.
#[derive(Default)]
struct Outcome {
    items: Vec<Value>,
    map: Map,
    count: usize,
    error: Option<Error>,
}

impl Outcome {
    /// Takes the result for one item; `Some` when nothing more need be looked at.
    fn take(&mut self, kind: Macro, item: &Value, result: Result) -> Result<Option<bool>> {
        let result = match (kind, result) {
            // One item that decides is enough, whatever errors the others give.
            (Macro::All | Macro::Exists, Err(error)) if error != Error::CostExceeded => {
                self.error.get_or_insert(error);
                return Ok(None);
            }
            (_, result) => result?,
        };
        match (kind, result) {
            (Macro::All, Value::Bool(false)) => return Ok(Some(false)),
            (Macro::Exists, Value::Bool(true)) => return Ok(Some(true)),
            (Macro::ExistsOne, Value::Bool(true)) => self.count += 1,
            (Macro::Filter, Value::Bool(true)) => self.items.push(item.clone()),
            (Macro::All | Macro::Exists | Macro::ExistsOne | Macro::Filter, Value::Bool(_)) => {}
            (Macro::Map, value) => self.items.push(value),
            (Macro::TransformMap, value) => {
                let key = Key::of(item).ok_or(Error::NoSuchOverload)?;
                self.map.entries.insert(key, value);
            }
            (Macro::TransformMapEntry, Value::Map(entry)) if entry.entries.len() == 1 => {
                for (key, value) in &entry.entries {
                    if self.map.entries.insert(key.clone(), value.clone()).is_some() {
                        return Err(Error::other(format!(
                            "insert failed: key {} already exists",
                            key.text()
                        )));
                    }
                }
            }
            _ => return Err(Error::NoSuchOverload),
        }
        Ok(None)
    }

    fn finish(self, kind: Macro) -> Result {
        if let Some(error) = self.error {
            return Err(error);
        }
        Ok(match kind {
            Macro::All => Value::Bool(true),
            Macro::Exists => Value::Bool(false),
            Macro::ExistsOne => Value::Bool(self.count == 1),
            Macro::Map | Macro::Filter => Value::list(self.items),
            Macro::TransformMap | Macro::TransformMapEntry => Value::Map(Arc::new(self.map)),
        })
    }
}

/// Adds the size of a value with everything in it, until the sum passes the bound: parts may be shared, so that the
/// whole is far larger than what it takes in memory.
fn measure(value: &Value, bound: u64, sum: &mut u64) {
    if *sum > bound {
        return;
    }
    *sum += value.weight() + 1;
    match value {
        // Comparing lists in which order does not count goes over one list for each item of the other.
        Value::List(list) if list.kind != ListKind::Atomic => {
            let before = *sum;
            list.items.iter().for_each(|item| measure(item, bound, sum));
            *sum += (*sum - before).saturating_mul(list.items.len() as u64);
        }
        Value::List(list) => list.items.iter().for_each(|item| measure(item, bound, sum)),
        Value::Map(map) => map.entries.values().for_each(|item| measure(item, bound, sum)),
        Value::Optional(Some(inner)) => measure(inner, bound, sum),
        _ => {}
    }
}

fn some(value: Value) -> Value {
    Value::Optional(Some(Arc::new(value)))
}

fn select(operand: &Value, field: &str, access: Access) -> Result {
    match (operand, access) {
        (Value::Optional(None), _) => Ok(Value::Optional(None)),
        (Value::Optional(Some(inner)), _) => select(inner, field, Access::Optional),
        (Value::Map(map), access) => match (map.entries.get(&Key::string(field)), access) {
            (Some(value), Access::Plain) => Ok(value.clone()),
            (Some(value), Access::Optional) => Ok(some(value.clone())),
            (None, Access::Optional) => Ok(Value::Optional(None)),
            (None, Access::Plain) => Err(Error::NoSuchKey(field.to_owned())),
        },
        _ => Err(Error::NoSuchOverload),
    }
}

fn index_of(operand: &Value, index: &Value, access: Access) -> Result {
    match (operand, access) {
        (Value::Optional(None), _) => Ok(Value::Optional(None)),
        (Value::Optional(Some(inner)), _) => index_of(inner, index, Access::Optional),
        (Value::List(list), access) => {
            let Some(Key::Int(place)) = Key::of(index) else { return Err(Error::NoSuchOverload) };
            let found = usize::try_from(place).ok().and_then(|place| list.items.get(place));
            match (found, access) {
                (Some(value), Access::Plain) => Ok(value.clone()),
                (Some(value), Access::Optional) => Ok(some(value.clone())),
                (None, Access::Optional) => Ok(Value::Optional(None)),
                (None, Access::Plain) => Err(Error::OutOfBounds(place)),
            }
        }
        (Value::Map(map), access) => {
            let key = Key::of(index).ok_or(Error::NoSuchOverload)?;
            match (map.entries.get(&key), access) {
                (Some(value), Access::Plain) => Ok(value.clone()),
                (Some(value), Access::Optional) => Ok(some(value.clone())),
                (None, Access::Optional) => Ok(Value::Optional(None)),
                (None, Access::Plain) => Err(Error::NoSuchKey(key.text())),
            }
        }
        _ => Err(Error::NoSuchOverload),
    }
}
