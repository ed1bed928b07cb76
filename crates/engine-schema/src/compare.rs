//! What differs between two states of an object, as sets of field paths.

use std::cmp::Ordering;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::fields::{FieldSet, item_step, value_step};
use crate::tree::{ListRule, Type};

/// What differs between two states of an object.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Fields that are new or have another value.
    pub changed: FieldSet,
    /// Fields that are gone.
    pub removed: FieldSet,
}

/// What stands for an object that is not there.
static EMPTY: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));

/// What differs between two states (upstream: structured-merge-diff `TypedValue.Compare`); no state is an empty one.
pub fn compare(old: Option<&Value>, new: Option<&Value>, ty: &Type) -> Difference {
    let mut difference = Difference::default();
    compare_values(old.unwrap_or(&EMPTY), new.unwrap_or(&EMPTY), ty, &mut difference);
    difference
}

/// The parts of a granular container, in order; a null container has none.
enum Parts<'a> {
    /// By field.
    Fields(&'a Map<String, Value>),
    /// By step.
    Items(Vec<(String, &'a Value)>),
}

fn compare_values(old: &Value, new: &Value, ty: &Type, difference: &mut Difference) {
    if old == new {
        return;
    }
    match (parts_of(old, ty), parts_of(new, ty)) {
        (Some(Parts::Fields(old)), Some(Parts::Fields(new))) if !(old.is_empty() && new.is_empty()) => {
            for (key, before, after) in in_step(old.iter(), new.iter()) {
                let absent = is_value(ty, key).then_some(&*EMPTY);
                let sides = (before.or(absent), after.or(absent));
                difference.add(sides, type_of_part(ty, key), || format!("f:{key}"));
            }
        }
        (Some(Parts::Items(old)), Some(Parts::Items(new))) if !(old.is_empty() && new.is_empty()) => {
            for (step, before, after) in in_step(old.into_iter(), new.into_iter()) {
                difference.add((before, after), type_of_part(ty, &step), || step);
            }
        }
        _ => difference.changed.member = true,
    }
}

/// Both sides of each key, of entries that are sorted by their keys.
fn in_step<K: Ord, V>(
    old: impl Iterator<Item = (K, V)>,
    new: impl Iterator<Item = (K, V)>,
) -> impl Iterator<Item = (K, Option<V>, Option<V>)> {
    let (mut old, mut new) = (old.peekable(), new.peekable());
    std::iter::from_fn(move || {
        let order = match (old.peek(), new.peek()) {
            (Some((before, _)), Some((after, _))) => before.cmp(after),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        let before = if order.is_le() { old.next() } else { None };
        let after = if order.is_ge() { new.next() } else { None };
        match (before, after) {
            (Some((key, before)), after) => Some((key, Some(before), after.map(|(_, after)| after))),
            (None, after) => after.map(|(key, after)| (key, None, Some(after))),
        }
    })
}

impl Difference {
    /// Takes in what differs in one part of a container.
    fn add(&mut self, sides: (Option<&Value>, Option<&Value>), ty: &Type, step: impl FnOnce() -> String) {
        match sides {
            (None, None) => {}
            (None, Some(new)) => drop(self.changed.children.insert(step(), all_of(new, ty))),
            (Some(old), None) => drop(self.removed.children.insert(step(), all_of(old, ty))),
            (Some(old), Some(new)) => {
                let mut below = Self::default();
                compare_values(old, new, ty, &mut below);
                // What was put in is not empty, so nothing further down needs to be looked at.
                let found = |set: &FieldSet| set.member || !set.children.is_empty();
                match (found(&below.changed), found(&below.removed)) {
                    (false, false) => {}
                    (true, false) => drop(self.changed.children.insert(step(), below.changed)),
                    (false, true) => drop(self.removed.children.insert(step(), below.removed)),
                    (true, true) => {
                        let step = step();
                        self.changed.children.insert(step.clone(), below.changed);
                        self.removed.children.insert(step, below.removed);
                    }
                }
            }
        }
    }
}

/// Everything in a value that came or went as a whole: a container that comes or goes counts itself, whatever it
/// holds.
fn all_of(value: &Value, ty: &Type) -> FieldSet {
    let mut set = FieldSet { member: true, ..FieldSet::default() };
    match parts_of(value, ty) {
        Some(Parts::Fields(map)) => {
            let fields = map.iter();
            set.children.extend(
                fields.map(|(key, value)| (format!("f:{key}"), all_of(value, type_of_part(ty, key)))),
            );
        }
        Some(Parts::Items(items)) => {
            let item_type = type_of_part(ty, "");
            set.children.extend(items.into_iter().map(|(step, value)| (step, all_of(value, item_type))));
        }
        None => {}
    }
    set
}

/// Whether a field is a struct that is always there.
fn is_value(ty: &Type, key: &str) -> bool {
    match ty {
        Type::Struct { id, .. } => id.get().fields.get(key).is_some_and(|field| field.value),
        _ => false,
    }
}

/// The type of a field, or of the items of a list.
fn type_of_part<'a>(ty: &'a Type, key: &str) -> &'a Type {
    match ty {
        Type::Struct { id, .. } => id.get().fields.get(key).map_or(&Type::Any, |field| &field.ty),
        Type::Map { item, .. } | Type::List { item, .. } => item,
        _ => &Type::Any,
    }
}

/// The parts of a container; `None` for everything owned as a whole.
fn parts_of<'a>(value: &'a Value, ty: &Type) -> Option<Parts<'a>> {
    match (ty, value) {
        (Type::Struct { atomic: false, .. } | Type::Map { atomic: false, .. }, Value::Object(map)) => {
            Some(Parts::Fields(map))
        }
        (Type::List { rule: ListRule::Map(keys), .. }, Value::Array(items)) => {
            Some(Parts::Items(in_order(items, |item| item_step(item, keys))))
        }
        (Type::List { rule: ListRule::Set, .. }, Value::Array(items)) => {
            Some(Parts::Items(in_order(items, value_step)))
        }
        (Type::Struct { atomic: false, .. } | Type::Map { atomic: false, .. }, Value::Null) => {
            EMPTY.as_object().map(Parts::Fields)
        }
        (Type::List { rule: ListRule::Map(_) | ListRule::Set, .. }, Value::Null) => {
            Some(Parts::Items(Vec::new()))
        }
        _ => None,
    }
}

/// Items by their steps; of several with the same step the last one.
fn in_order(items: &[Value], step: impl Fn(&Value) -> String) -> Vec<(String, &Value)> {
    let mut found: Vec<(String, &Value)> = items.iter().map(|item| (step(item), item)).collect();
    found.reverse();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found.dedup_by(|(later, _), (kept, _)| later == kept);
    found
}

#[cfg(test)]
mod tests;
