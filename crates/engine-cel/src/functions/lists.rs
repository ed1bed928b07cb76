//! Lists and sets: Kubernetes' list library, cel-go's `ext/lists.go` (version 3) and `ext/sets.go`.

use std::cmp::Ordering;

use crate::eval::Budget;
use crate::functions::Result;
use crate::ops;
use crate::value::{Error, Value};

/// Longest list of `lists.range`; more would cost more than the budget of a call.
const MAX_RANGE: i64 = 1_000_000;

/// `None` when the library has no such function for such arguments.
pub(crate) fn call(name: &str, arguments: &[Value], budget: &mut Budget) -> Option<Result> {
    if let ("lists.range", [Value::Int(count)]) = (name, arguments) {
        let count = (*count).clamp(0, MAX_RANGE + 1);
        return Some(
            budget.spend(count.unsigned_abs()).map(|()| Value::list((0..count).map(Value::Int).collect())),
        );
    }
    let Some((Value::List(list), rest)) = arguments.split_first() else { return None };
    let items = list.items.as_slice();
    if let ("sets.contains" | "sets.equivalent" | "sets.intersects", [Value::List(other)]) = (name, rest) {
        return Some(sets(name, items, &other.items, budget));
    }
    let known = ["isSorted", "sum", "min", "max", "indexOf", "lastIndexOf", "distinct", "flatten", "reverse"];
    if !known.contains(&name) && !matches!(name, "slice" | "sort") {
        return None;
    }
    let size = budget.measure(&arguments[0]);
    let cost = if name == "distinct" { size.saturating_mul(items.len() as u64) } else { size };
    if let Err(error) = budget.spend(cost + 1) {
        return Some(Err(error));
    }
    by_order(name, items, rest).or_else(|| rearranged(name, items, rest))
}

fn by_order(name: &str, items: &[Value], rest: &[Value]) -> Option<Result> {
    Some(match (name, rest) {
        ("isSorted", []) => is_sorted(items).map(Value::Bool),
        ("sum", []) => sum(items),
        ("min", []) => extreme(items, Ordering::Less),
        ("max", []) => extreme(items, Ordering::Greater),
        ("indexOf", [wanted]) => Ok(position(items.iter().position(|item| item.equals(wanted)))),
        ("lastIndexOf", [wanted]) => Ok(position(items.iter().rposition(|item| item.equals(wanted)))),
        _ => return None,
    })
}

fn rearranged(name: &str, items: &[Value], rest: &[Value]) -> Option<Result> {
    Some(match (name, rest) {
        ("reverse", []) => Ok(Value::list(items.iter().rev().cloned().collect())),
        ("distinct", []) => {
            let mut kept: Vec<Value> = Vec::new();
            for item in items {
                if !kept.iter().any(|found| found.equals(item)) {
                    kept.push(item.clone());
                }
            }
            Ok(Value::list(kept))
        }
        ("sort", []) => {
            let mut sorted = items.to_vec();
            let comparable = items.windows(2).all(|pair| pair[0].compare(&pair[1]).is_some());
            sorted.sort_by(|a, b| a.compare(b).unwrap_or(Ordering::Equal));
            if comparable { Ok(Value::list(sorted)) } else { Err(Error::NoSuchOverload) }
        }
        ("slice", [Value::Int(begin), Value::Int(end)]) => {
            let range = usize::try_from(*begin).ok().zip(usize::try_from(*end).ok());
            range
                .and_then(|(begin, end)| items.get(begin..end))
                .map(|items| Value::list(items.to_vec()))
                .ok_or_else(|| Error::other(format!("cannot slice({begin}, {end}), out of range")))
        }
        ("flatten", []) => Ok(Value::list(flatten(items, 1))),
        ("flatten", [Value::Int(depth)]) if *depth >= 0 => Ok(Value::list(flatten(items, *depth))),
        ("flatten", [Value::Int(_)]) => Err(Error::other("level must be non-negative")),
        _ => return None,
    })
}

fn flatten(items: &[Value], depth: i64) -> Vec<Value> {
    let mut flat = Vec::new();
    for item in items {
        match item {
            Value::List(inner) if depth > 0 => flat.extend(flatten(&inner.items, depth - 1)),
            item => flat.push(item.clone()),
        }
    }
    flat
}

fn position(place: Option<usize>) -> Value {
    Value::Int(place.map_or(-1, |place| i64::try_from(place).unwrap_or(i64::MAX)))
}

fn is_sorted(items: &[Value]) -> Result<bool> {
    for pair in items.windows(2) {
        if pair[0].compare(&pair[1]).ok_or(Error::NoSuchOverload)? == Ordering::Greater {
            return Ok(false);
        }
    }
    Ok(true)
}

fn sum(items: &[Value]) -> Result {
    let Some((first, rest)) = items.split_first() else { return Ok(Value::Int(0)) };
    if !matches!(first, Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Duration(_)) {
        return Err(Error::NoSuchOverload);
    }
    rest.iter().try_fold(first.clone(), |sum, item| ops::add(&sum, item))
}

fn extreme(items: &[Value], wanted: Ordering) -> Result {
    let Some((first, rest)) = items.split_first() else {
        let name = if wanted == Ordering::Less { "min" } else { "max" };
        return Err(Error::other(format!("{name} called on empty list")));
    };
    let mut best = first;
    for item in rest {
        if item.compare(best).ok_or(Error::NoSuchOverload)? == wanted {
            best = item;
        }
    }
    Ok(best.clone())
}

fn sets(name: &str, left: &[Value], right: &[Value], budget: &mut Budget) -> Result {
    let weigh = |items: &[Value], budget: &Budget| -> u64 {
        items.iter().map(|item| budget.measure(item)).fold(1, u64::saturating_add)
    };
    let cost = weigh(left, budget).saturating_mul(right.len() as u64);
    budget.spend(cost.saturating_add(weigh(right, budget).saturating_mul(left.len() as u64)))?;
    let has = |items: &[Value], item: &Value| items.iter().any(|found| found.equals(item));
    Ok(Value::Bool(match name {
        "sets.contains" => right.iter().all(|item| has(left, item)),
        "sets.intersects" => right.iter().any(|item| has(left, item)),
        _ => right.iter().all(|item| has(left, item)) && left.iter().all(|item| has(right, item)),
    }))
}
