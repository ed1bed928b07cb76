//! Strategic merge patch: a merge patch that knows which lists are merged by key.
//!
//! Directives (upstream: apimachinery `pkg/util/strategicpatch`): `$patch`, `$retainKeys`,
//! `$deleteFromPrimitiveList/FIELD`, `$setElementOrder/FIELD`.

use serde_json::{Map, Value};

use crate::tree::{Field, Strategy, Type};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Why a patch cannot be used; the texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// A `$patch` directive that has no meaning where it stands.
    #[error("unknown patch type: {directive} in map: {map}")]
    UnknownDirective {
        /// The directive.
        directive: String,
        /// The map it is in.
        map: String,
    },
    /// `$patch: merge` on an item.
    #[error("merging lists cannot yet be specified in the patch")]
    MergeInList,
    /// An item of a list merged by key lacks the key.
    #[error("map: {change} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The item.
        change: String,
        /// The key it lacks.
        key: String,
    },
    /// `$retainKeys` is no list, or the patch sets a field that is not in it.
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
    /// `$setElementOrder` does not fit the field it is about.
    #[error("invalid patch format of setElementOrder list")]
    ElementOrder,
    /// Items stand in another order than `$setElementOrder` gives them.
    #[error("The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n")]
    OrderMismatch {
        /// The items.
        patch: String,
        /// Their order.
        order: String,
    },
    /// A list merged by key holds something that is no object, or lists are mixed.
    #[error("list element types are not identical: {0}")]
    Mixed(String),
}

/// Merges `patch` into `target`.
///
/// # Errors
/// When a directive is unknown or misplaced, or an item lacks the key of its list.
pub fn merge(target: &mut Value, patch: &Value, ty: &Type) -> Result<(), PatchError> {
    let (Some(live), Some(changes)) = (target.as_object_mut(), patch.as_object()) else {
        *target = new_value(patch).unwrap_or_default();
        return Ok(());
    };
    merge_map(live, changes, ty)
}

fn merge_map(live: &mut Map<String, Value>, patch: &Map<String, Value>, ty: &Type) -> Result<(), PatchError> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return direct_map(live, patch, directive);
    }
    retain_keys(live, patch)?;
    let ordered = |key: &str| patch.contains_key(&format!("{ORDER}{key}"));
    for (key, order) in patch {
        if let Some(field) = key.strip_prefix(ORDER) {
            merge_in_order(live, field, (patch.get(field), order), ty)?;
        }
    }
    for (key, value) in patch {
        if let Some(field) = key.strip_prefix(DELETE_FROM) {
            delete_from(live, field, value);
        } else if key != RETAIN_KEYS && !key.starts_with(ORDER) && !ordered(key) {
            merge_field(live, key, value, ty)?;
        }
    }
    Ok(())
}

/// `$patch` in a map: what is beside `replace` takes the map's place as it is.
fn direct_map(
    live: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    directive: &Value,
) -> Result<(), PatchError> {
    match directive.as_str() {
        Some("replace") => {
            *live = patch.clone();
            live.remove(DIRECTIVE);
            Ok(())
        }
        Some("delete") => {
            live.clear();
            Ok(())
        }
        other => Err(PatchError::UnknownDirective {
            directive: other.map_or_else(|| directive.to_string(), str::to_owned),
            map: Value::from(patch.clone()).to_string(),
        }),
    }
}

fn retain_keys(live: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), PatchError> {
    let Some(keys) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    let keys = keys.as_array().ok_or(PatchError::RetainKeys)?;
    let listed = |key: &str| keys.iter().any(|listed| listed == key);
    let is_field = |key: &str| key != RETAIN_KEYS && !key.starts_with(DELETE_FROM) && !key.starts_with(ORDER);
    if patch.iter().any(|(key, value)| is_field(key) && !value.is_null() && !listed(key)) {
        return Err(PatchError::RetainKeys);
    }
    live.retain(|key, _| listed(key));
    Ok(())
}

fn merge_field(live: &mut Map<String, Value>, key: &str, value: &Value, ty: &Type) -> Result<(), PatchError> {
    let (field_type, strategy) = field_of(ty, key);
    if value.is_null() {
        live.remove(key);
        return Ok(());
    }
    match (live.get_mut(key), value) {
        (Some(slot @ Value::Object(_)), Value::Object(_)) if strategy.replace => *slot = value.clone(),
        (Some(slot @ Value::Object(_)), Value::Object(_)) => merge(slot, value, field_type)?,
        (Some(Value::Array(items)), Value::Array(changes)) if strategy.merge => {
            *items = merge_list(std::mem::take(items), changes, strategy, field_type)?;
        }
        (Some(slot @ Value::Array(_)), Value::Array(_)) => *slot = value.clone(),
        _ => match new_value(value) {
            Some(value) => drop(live.insert(key.to_owned(), value)),
            None => drop(live.remove(key)),
        },
    }
    Ok(())
}

/// Merges a list whose order the patch gives.
fn merge_in_order(
    live: &mut Map<String, Value>,
    field: &str,
    (changes, order): (Option<&Value>, &Value),
    ty: &Type,
) -> Result<(), PatchError> {
    let (field_type, strategy) = field_of(ty, field);
    let order = order.as_array().ok_or(PatchError::ElementOrder)?;
    let list = |value: &Value| value.as_array().cloned().ok_or(PatchError::ElementOrder);
    let before = live.get(field).map(list).transpose()?;
    let changes = changes.map(list).transpose()?;
    let key = strategy.merge_key.as_deref();
    if let Some(changes) = &changes {
        check_order(changes, order, key)?;
    }
    let merged = match (&before, changes) {
        (None, None) => return Ok(()),
        (Some(before), None) => before.clone(),
        (None, Some(changes)) => changes.iter().filter_map(kept).collect(),
        (Some(before), Some(changes)) if strategy.merge => {
            merge_list(before.clone(), &changes, strategy, field_type)?
        }
        (Some(_), Some(changes)) => changes,
    };
    let before = overwritten(&before.unwrap_or_default(), &merged, key);
    let merged = in_order(merged, order, &before, key)?;
    live.insert(field.to_owned(), Value::Array(merged));
    Ok(())
}

/// The items whose order counts as the server's: those there before. Where an item was deleted, one that is new takes a
/// place among them: upstream, appending overwrites the end of the array that deleting had shortened.
fn overwritten(before: &[Value], merged: &[Value], key: Option<&str>) -> Vec<Value> {
    let is_in = |list: &[Value], item: &Value| {
        let wanted = identity(item, key).ok();
        list.iter().any(|listed| identity(listed, key).ok() == wanted)
    };
    let survivors = before.iter().filter(|item| is_in(merged, item));
    let new = merged.iter().filter(|item| !is_in(before, item));
    survivors.chain(new).take(before.len()).cloned().collect()
}

/// The items of a patch, other than deletions, must stand in the order the patch gives.
fn check_order(changes: &[Value], order: &[Value], key: Option<&str>) -> Result<(), PatchError> {
    if changes.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut order_left = order.iter();
    for change in changes.iter().filter(|change| change.get(DIRECTIVE).is_none()) {
        let wanted = identity(change, key)?;
        let mut found = false;
        for listed in order_left.by_ref() {
            if identity(listed, key)? == wanted {
                found = true;
                break;
            }
        }
        if !found {
            return Err(PatchError::OrderMismatch {
                patch: Value::from(changes.to_vec()).to_string(),
                order: Value::from(order.to_vec()).to_string(),
            });
        }
    }
    Ok(())
}

/// By what an item is found: its key, or itself.
fn identity<'a>(item: &'a Value, key: Option<&str>) -> Result<&'a Value, PatchError> {
    let Some(key) = key else { return Ok(item) };
    item.get(key).ok_or_else(|| PatchError::NoMergeKey { change: item.to_string(), key: key.to_owned() })
}

fn merge_list(
    items: Vec<Value>,
    changes: &[Value],
    strategy: &Strategy,
    ty: &Type,
) -> Result<Vec<Value>, PatchError> {
    if items.is_empty() && changes.is_empty() {
        return Ok(items);
    }
    let objects = items.iter().chain(changes).filter(|item| item.is_object()).count();
    if objects != 0 && objects != items.len() + changes.len() {
        return Err(PatchError::Mixed(format!("{} {}", Value::from(items), Value::from(changes.to_vec()))));
    }
    let Some(key) = strategy.merge_key.as_deref() else {
        let mut merged: Vec<Value> = Vec::new();
        for item in items.iter().chain(changes) {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return in_order(merged, changes, &items, None);
    };
    let item_type = match ty {
        Type::List { item, .. } => item,
        _ => &Type::Any,
    };
    let (mut merged, changes) = direct_items(items, changes, key)?;
    let before = merged.clone();
    for change in &changes {
        let wanted = identity(change, Some(key))?;
        match merged.iter_mut().find(|item| item.get(key) == Some(wanted)) {
            Some(item) => merge(item, change, item_type)?,
            None => merged.push(change.clone()),
        }
    }
    in_order(merged, &changes, &before, Some(key))
}

/// Carries out the directives among the items of a patch; what is left to merge, and into what.
fn direct_items(
    mut items: Vec<Value>,
    changes: &[Value],
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let (mut plain, mut replaces) = (Vec::new(), false);
    for change in changes {
        match change.get(DIRECTIVE) {
            None => plain.push(change.clone()),
            Some(directive) if directive == "delete" => {
                let gone = identity(change, Some(key))?;
                items.retain(|item| item.get(key) != Some(gone));
            }
            Some(directive) if directive == "replace" => replaces = true,
            Some(directive) if directive == "merge" => return Err(PatchError::MergeInList),
            Some(directive) => {
                return Err(PatchError::UnknownDirective {
                    directive: directive.as_str().map_or_else(|| directive.to_string(), str::to_owned),
                    map: change.to_string(),
                });
            }
        }
    }
    Ok(if replaces { (plain, Vec::new()) } else { (items, plain) })
}

fn delete_from(live: &mut Map<String, Value>, field: &str, gone: &Value) {
    let gone = gone.as_array().map_or(&[][..], Vec::as_slice);
    if let Some(Value::Array(items)) = live.get_mut(field) {
        items.retain(|item| !gone.contains(item));
    }
}

/// Puts items into the order of a patch. Items it does not name keep their order, and stand before an item it names
/// only where they stood so `before`.
fn in_order(
    items: Vec<Value>,
    order: &[Value],
    before: &[Value],
    key: Option<&str>,
) -> Result<Vec<Value>, PatchError> {
    let place = |list: &[Value], item: &Value| {
        let wanted = identity(item, key).ok();
        list.iter().position(|listed| identity(listed, key).ok() == wanted)
    };
    for item in &items {
        identity(item, key)?;
    }
    let (mut named, unnamed): (Vec<Value>, Vec<Value>) =
        items.into_iter().partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    let mut ordered = Vec::new();
    let mut named = named.into_iter().peekable();
    for item in unnamed {
        let own = place(before, &item);
        let goes_first = |other: &Value| match (own, place(before, other)) {
            (Some(own), Some(other)) => own >= other,
            _ => true,
        };
        while let Some(other) = named.next_if(goes_first) {
            ordered.push(other);
        }
        ordered.push(item);
    }
    ordered.extend(named);
    Ok(ordered)
}

/// Type and strategy of a field; free for types that are not looked into.
fn field_of<'a>(ty: &'a Type, name: &str) -> (&'a Type, &'a Strategy) {
    match ty {
        Type::Struct { id, .. } => match id.get().fields.get(name) {
            Some(Field { ty, patch, .. }) => (ty, patch),
            None => (&Type::Any, &Strategy::NONE),
        },
        Type::Map { item, .. } => (item, &Strategy::NONE),
        _ => (&Type::Any, &Strategy::NONE),
    }
}

/// A value that had no place before: without nulls, and without maps that hold a directive.
fn new_value(value: &Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => None,
        Value::Object(map) => {
            let fields = map.iter().filter(|(_, value)| !value.is_null());
            Some(fields.filter_map(|(key, value)| Some((key.clone(), new_value(value)?))).collect())
        }
        Value::Array(items) => Some(items.iter().filter_map(new_value).collect()),
        other => Some(other.clone()),
    }
}

/// The same, with nulls: what upstream does with a new list whose order is given.
fn kept(value: &Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => None,
        Value::Object(map) => {
            Some(map.iter().filter_map(|(key, value)| Some((key.clone(), kept(value)?))).collect())
        }
        Value::Array(items) => Some(items.iter().filter_map(kept).collect()),
        other => Some(other.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::type_of;
    use serde_json::json;

    fn patched(schema: &str, target: Value, patch: Value) -> Value {
        let mut target = target;
        merge(&mut target, &patch, &type_of(schema)).unwrap();
        target
    }

    #[test]
    fn containers_merge_by_name() {
        let deployment = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "a", "image": "a:1", "ports": [{"containerPort": 80}]}, {"name": "b", "image": "b:1"}]}}}});
        let patch = json!({"spec": {"template": {"spec": {
            "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
            "containers": [{"name": "a", "image": "a:2"}]}}}});
        let result = patched("io.k8s.api.apps.v1.Deployment", deployment, patch);
        assert_eq!(
            result.pointer("/spec/template/spec/containers").unwrap(),
            &json!([{"name": "b", "image": "b:1"}, {"name": "a", "image": "a:2", "ports": [{"containerPort": 80}]}])
        );
    }

    #[test]
    fn directives() {
        let pod = json!({"metadata": {"finalizers": ["x", "y"]}, "spec": {
            "containers": [{"name": "a"}, {"name": "b"}],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "tolerations": [{"key": "k"}]}});
        let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x"]}, "spec": {
            "containers": [{"name": "b", "$patch": "delete"}],
            "volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}],
            "tolerations": [{"key": "z"}]}});
        let result = patched("io.k8s.api.core.v1.Pod", pod, patch);
        assert_eq!(
            result,
            json!({"metadata": {"finalizers": ["y"]}, "spec": {
                "containers": [{"name": "a"}],
                "volumes": [{"name": "v", "hostPath": {"path": "/x"}}],
                "tolerations": [{"key": "z"}]}})
        );
        let replaced = patched(
            "io.k8s.api.core.v1.ConfigMap",
            json!({"data": {"a": "1", "b": "2"}}),
            json!({"data": {"$patch": "replace", "c": "3"}}),
        );
        assert_eq!(replaced, json!({"data": {"c": "3"}}));
        let nulled = patched(
            "io.k8s.api.core.v1.ConfigMap",
            json!({"data": {"a": "1"}}),
            json!({"data": {"a": null}}),
        );
        assert_eq!(nulled, json!({"data": {}}));
    }

    #[test]
    fn new_items_go_before_those_that_the_patch_does_not_name() {
        let before = [json!({"n": 1}), json!({"n": 2}), json!({"n": 3})];
        let items = [json!({"n": 1}), json!({"n": 2}), json!({"n": 3}), json!({"n": 4})].to_vec();
        let ordered = in_order(items, &[json!({"n": 4}), json!({"n": 3})], &before, Some("n")).unwrap();
        assert_eq!(ordered, [json!({"n": 4}), json!({"n": 1}), json!({"n": 2}), json!({"n": 3})]);
    }
}
