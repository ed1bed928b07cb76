//! Apply's two halves: merging an applied value into a live one, and removing what is no longer applied.
//!
//! Both do as structured-merge-diff does (`typed/merge.go`, `typed/remove.go`, `merge/update.go`).

use serde_json::{Map, Value};

use crate::fields::{FieldSet, is_named_field, item_step, items_of, value_step};
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
            *live = merge_list(live, applied, item, |value| item_step(value, keys));
        }
        (Type::List { item, rule: ListRule::Set }, Value::Array(live), Value::Array(applied)) => {
            *live = merge_list(live, applied, item, value_step);
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

/// Merges items found by a step: applied items stand in their order, live ones in theirs, and those of both pull them
/// together.
fn merge_list(live: &[Value], applied: &[Value], ty: &Type, step: impl Fn(&Value) -> String) -> Vec<Value> {
    let (left, right): (Vec<String>, Vec<String>) =
        (live.iter().map(&step).collect(), applied.iter().map(&step).collect());
    let mut shared = right.iter().filter(|step| left.contains(step)).peekable();
    let merged = |index: usize| match left.iter().position(|step| *step == right[index]) {
        Some(found) => {
            let mut item = live[found].clone();
            merge(&mut item, &applied[index], ty);
            item
        }
        None => applied[index].clone(),
    };
    let mut out = Vec::new();
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if l < left.len() {
            let is_shared = right.contains(&left[l]);
            if r < right.len() && left[l] == right[r] {
                out.push(merged(r));
                (l, r) = (l + 1, r + 1);
                shared.next();
                continue;
            }
            // An item of both that is not the next of both is taken in its applied place.
            if r < right.len() && is_shared && shared.peek().is_some_and(|next| **next != left[l]) {
                l += 1;
                continue;
            }
            if !is_shared {
                out.push(live[l].clone());
                l += 1;
                continue;
            }
            if right[..r].contains(&left[l]) {
                l += 1;
            }
        }
        if r < right.len() {
            out.push(merged(r));
            if shared.peek().is_some_and(|next| **next == right[r]) {
                shared.next();
            }
            r += 1;
        }
    }
    out
}

/// What is left of a merged value when a manager no longer applies all of what it applied `last`; `managed` is what
/// all managers own now. Containers that are emptied are null: they are gone, but differ from those taken away.
pub fn prune(merged: &Value, ty: &Type, last: &FieldSet, managed: &FieldSet) -> Value {
    let last = with_named_fields(last, ty);
    let all = with_named_fields(&FieldSet::of(merged, ty), ty);
    let after = |gone: &FieldSet| {
        let mut value = merged.clone();
        remove(&mut value, ty, gone);
        value
    };
    let left = |value: &Value| with_named_fields(&FieldSet::of(value, ty), ty);
    // Without what was applied, then with what somebody owns, then with what was not applied by this manager at all.
    let mut gone = all.clone();
    gone.subtract(&left(&after(&last)));
    gone.subtract(&with_named_fields(managed, ty));
    let mut dangling = all;
    dangling.subtract(&left(&after(&gone)));
    after(&dangling.intersection(&last))
}

/// The set with each declared field as a member that has members below.
fn with_named_fields(set: &FieldSet, ty: &Type) -> FieldSet {
    let mut named = FieldSet { member: set.member, ..FieldSet::default() };
    for (step, child) in &set.children {
        let below = match (ty, step.split_once(':')) {
            (Type::Struct { id, .. }, Some(("f", name))) => id.get().fields.get(name).map(|field| &field.ty),
            (Type::Map { item, .. }, Some(("f", _))) | (Type::List { item, .. }, Some(("k", _))) => {
                Some(&**item)
            }
            _ => None,
        };
        let mut child = with_named_fields(child, below.unwrap_or(&Type::Any));
        child.member |= is_named_field(ty, step);
        named.children.insert(step.clone(), child);
    }
    named
}

/// Removes the members of a set. What is emptied by it becomes null.
fn remove(value: &mut Value, ty: &Type, set: &FieldSet) {
    let Some(items) = items_of(value, ty) else { return };
    let types: Vec<(String, Type)> = items.into_iter().map(|(step, (_, ty))| (step, ty.clone())).collect();
    for (step, item_type) in types {
        let Some(child) = set.children.get(&step) else { continue };
        if child.member {
            remove_item(value, ty, &step);
        } else if let Some(item) = item_mut(value, ty, &step) {
            remove(item, &item_type, child);
            if is_hollow(item) {
                *item = Value::Null;
            }
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
