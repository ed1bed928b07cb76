//! Apply's two halves: merging an applied value into a live one, and removing what is no longer applied.

use serde_json::{Map, Value};

use crate::fields::{FieldSet, item_step, items_of, value_step};
use crate::tree::{ListRule, Type};

/// Merges an applied value into a live one.
pub fn merge(live: &mut Value, applied: &Value, ty: &Type) {
    match (ty, live, applied) {
        (Type::Struct { id, atomic: false }, Value::Object(live), Value::Object(applied)) => {
            for (key, value) in applied {
                let ty = id.get().fields.get(key).map_or(&Type::Any, |field| &field.ty);
                merge_member(live, key, value, ty);
            }
        }
        (Type::Map { item, atomic: false }, Value::Object(live), Value::Object(applied)) => {
            applied.iter().for_each(|(key, value)| merge_member(live, key, value, item));
        }
        (Type::List { item, rule: ListRule::Map(keys) }, Value::Array(live), Value::Array(applied)) => {
            merge_list(
                live,
                applied,
                |value| item_step(value, keys),
                |live, applied| merge(live, applied, item),
            );
        }
        (Type::List { rule: ListRule::Set, .. }, Value::Array(live), Value::Array(applied)) => {
            merge_list(live, applied, value_step, |_, _| {});
        }
        (_, live, applied) => *live = applied.clone(),
    }
}

fn merge_member(live: &mut Map<String, Value>, key: &str, value: &Value, ty: &Type) {
    match live.get_mut(key) {
        Some(slot) => merge(slot, value, ty),
        None => {
            live.insert(key.to_owned(), value.clone());
        }
    }
}

/// Merges items found by a step: live items keep their order, applied items stand in theirs.
fn merge_list(
    live: &mut Vec<Value>,
    applied: &[Value],
    step: impl Fn(&Value) -> String,
    merge_item: impl Fn(&mut Value, &Value),
) {
    let mut previous: Option<usize> = None;
    for value in applied {
        let wanted = step(value);
        match live.iter().position(|item| step(item) == wanted) {
            Some(index) => {
                merge_item(&mut live[index], value);
                previous = Some(previous.map_or(index, |previous| previous.max(index)));
            }
            None => {
                let index = previous.map_or(live.len(), |previous| previous + 1);
                live.insert(index.min(live.len()), value.clone());
                previous = Some(index.min(live.len()));
            }
        }
    }
}

/// Removes from `value` what is in `last` and not in `kept`: what nobody applies any more.
pub fn prune(value: &mut Value, ty: &Type, last: &FieldSet, kept: &FieldSet) {
    let nothing = FieldSet::default();
    let steps: Vec<(String, Type)> = match items_of(value, ty) {
        Some(items) => items.into_iter().map(|(step, (_, ty))| (step, ty.clone())).collect(),
        None => return,
    };
    for (step, item_type) in steps {
        let Some(was) = last.children.get(&step) else { continue };
        let still = kept.children.get(&step).unwrap_or(&nothing);
        if was.member && still.is_empty() {
            remove_item(value, ty, &step);
            continue;
        }
        let Some(item) = item_mut(value, ty, &step) else { continue };
        let was_filled = !is_hollow(item);
        prune(item, &item_type, was, still);
        if was_filled && is_hollow(item) && still.is_empty() {
            remove_item(value, ty, &step);
        }
    }
}

/// Whether a container has nothing in it.
fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The position of an item in a list of that type.
fn position(items: &[Value], ty: &Type, step: &str) -> Option<usize> {
    match ty {
        Type::List { rule: ListRule::Map(keys), .. } => {
            items.iter().position(|item| item_step(item, keys) == step)
        }
        Type::List { rule: ListRule::Set, .. } => items.iter().position(|item| value_step(item) == step),
        _ => None,
    }
}

fn item_mut<'a>(value: &'a mut Value, ty: &Type, step: &str) -> Option<&'a mut Value> {
    match value {
        Value::Object(map) => map.get_mut(step.strip_prefix("f:")?),
        Value::Array(items) => {
            let index = position(items, ty, step)?;
            items.get_mut(index)
        }
        _ => None,
    }
}

fn remove_item(value: &mut Value, ty: &Type, step: &str) {
    match value {
        Value::Object(map) => {
            map.remove(step.strip_prefix("f:").unwrap_or(step));
        }
        Value::Array(items) => {
            if let Some(index) = position(items, ty, step) {
                items.remove(index);
            }
        }
        _ => {}
    }
}
