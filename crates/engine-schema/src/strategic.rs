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

/// Why a patch cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// A `$patch` directive nobody knows.
    #[error("Unknown type of patch: {0}")]
    UnknownDirective(String),
    /// An item of a list merged by key lacks the key.
    #[error("map: {change} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The item.
        change: String,
        /// The key it lacks.
        key: String,
    },
}

/// Merges `patch` into `target`.
///
/// # Errors
/// When a directive is unknown, or an item lacks the key of its list.
pub fn merge(target: &mut Value, patch: &Value, ty: &Type) -> Result<(), PatchError> {
    let (Some(live), Some(changes)) = (target.as_object_mut(), patch.as_object()) else {
        *target = stripped(patch);
        return Ok(());
    };
    merge_map(live, changes, ty)
}

fn merge_map(live: &mut Map<String, Value>, patch: &Map<String, Value>, ty: &Type) -> Result<(), PatchError> {
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => {
            *live = stripped_map(patch);
            return Ok(());
        }
        Some("delete") => {
            live.clear();
            return Ok(());
        }
        None | Some("merge") => {}
        Some(other) => return Err(PatchError::UnknownDirective(other.to_owned())),
    }
    if let Some(keys) = patch.get(RETAIN_KEYS).and_then(Value::as_array) {
        live.retain(|key, _| keys.iter().any(|listed| listed == key));
    }
    for (key, value) in patch {
        if key == DIRECTIVE || key == RETAIN_KEYS || key.starts_with(ORDER) {
            continue;
        }
        if let Some(field) = key.strip_prefix(DELETE_FROM) {
            delete_from(live, field, value);
            continue;
        }
        merge_field(live, key, value, ty)?;
    }
    for (key, order) in patch {
        let Some(field) = key.strip_prefix(ORDER) else { continue };
        let (_, strategy) = field_of(ty, field);
        if let (Some(Value::Array(items)), Some(order)) = (live.get_mut(field), order.as_array()) {
            reorder(items, order, strategy.merge_key.as_deref());
        }
    }
    Ok(())
}

fn merge_field(live: &mut Map<String, Value>, key: &str, value: &Value, ty: &Type) -> Result<(), PatchError> {
    let (field_type, strategy) = field_of(ty, key);
    if value.is_null() {
        live.remove(key);
        return Ok(());
    }
    let merged_list = strategy.merge || strategy.merge_key.is_some();
    match (live.get_mut(key), value) {
        (Some(slot), Value::Object(_)) if strategy.replace => *slot = stripped(value),
        (Some(slot @ Value::Object(_)), Value::Object(changes)) => {
            if changes.get(DIRECTIVE).and_then(Value::as_str) == Some("delete") {
                live.remove(key);
            } else {
                merge(slot, value, &field_type)?;
            }
        }
        (Some(Value::Array(items)), Value::Array(changes)) if merged_list => {
            merge_list(items, changes, &strategy, &field_type)?;
        }
        (None, Value::Array(changes)) if merged_list => {
            let mut items = Vec::new();
            merge_list(&mut items, changes, &strategy, &field_type)?;
            live.insert(key.to_owned(), Value::Array(items));
        }
        (None, Value::Object(changes))
            if changes.get(DIRECTIVE).and_then(Value::as_str) == Some("delete") => {}
        _ => {
            live.insert(key.to_owned(), stripped(value));
        }
    }
    Ok(())
}

fn merge_list(
    items: &mut Vec<Value>,
    changes: &[Value],
    strategy: &Strategy,
    ty: &Type,
) -> Result<(), PatchError> {
    let item_type = match ty {
        Type::List { item, .. } => (**item).clone(),
        _ => Type::Any,
    };
    let replaces = |change: &Value| {
        change
            .as_object()
            .is_some_and(|map| map.len() == 1 && map.get(DIRECTIVE).is_some_and(|d| d == "replace"))
    };
    if changes.iter().any(replaces) {
        *items = changes.iter().filter(|change| !replaces(change)).map(stripped).collect();
        return Ok(());
    }
    let Some(key) = strategy.merge_key.as_deref() else {
        for change in changes {
            if !items.contains(change) {
                items.push(change.clone());
            }
        }
        return Ok(());
    };
    for change in changes {
        let Some(wanted) = change.get(key) else {
            return Err(PatchError::NoMergeKey { change: change.to_string(), key: key.to_owned() });
        };
        let found = items.iter().position(|item| item.get(key) == Some(wanted));
        match (change.get(DIRECTIVE).and_then(Value::as_str), found) {
            (Some("delete"), _) => items.retain(|item| item.get(key) != Some(wanted)),
            (_, Some(index)) => merge(&mut items[index], change, &item_type)?,
            (_, None) => items.push(stripped(change)),
        }
    }
    Ok(())
}

fn delete_from(live: &mut Map<String, Value>, field: &str, gone: &Value) {
    let gone = gone.as_array().map_or(&[][..], Vec::as_slice);
    if let Some(Value::Array(items)) = live.get_mut(field) {
        items.retain(|item| !gone.contains(item));
    }
}

/// Puts items into the order of the patch; items it does not name keep their place relative to their neighbours.
fn reorder(items: &mut Vec<Value>, order: &[Value], key: Option<&str>) {
    let identity = |item: &Value| match key {
        Some(key) => item.get(key).cloned().unwrap_or(Value::Null),
        None => item.clone(),
    };
    let rank = |item: &Value| {
        let wanted = identity(item);
        order.iter().position(|listed| identity(listed) == wanted)
    };
    let (mut listed, mut result): (Vec<(usize, Value)>, Vec<Value>) = (Vec::new(), Vec::new());
    let mut unlisted: Vec<(usize, Value)> = Vec::new();
    for (index, item) in std::mem::take(items).into_iter().enumerate() {
        match rank(&item) {
            Some(rank) => listed.push((rank, item)),
            None => unlisted.push((index, item)),
        }
    }
    listed.sort_by_key(|(rank, _)| *rank);
    let mut listed = listed.into_iter().map(|(_, item)| item);
    let mut unlisted = unlisted.into_iter().peekable();
    loop {
        // An unlisted item stands where it stood, counted from the front.
        if let Some((_, item)) = unlisted.next_if(|(index, _)| *index <= result.len()) {
            result.push(item);
        } else if let Some(item) = listed.next() {
            result.push(item);
        } else {
            break;
        }
    }
    result.extend(unlisted.map(|(_, item)| item));
    *items = result;
}

/// Type and strategy of a field; free for types that are not looked into.
fn field_of(ty: &Type, name: &str) -> (Type, Strategy) {
    match ty {
        Type::Struct { id, .. } => match id.get().fields.get(name) {
            Some(Field { ty, patch, .. }) => (ty.clone(), patch.clone()),
            None => (Type::Any, Strategy::default()),
        },
        Type::Map { item, .. } => ((**item).clone(), Strategy::default()),
        _ => (Type::Any, Strategy::default()),
    }
}

/// A new value without directives and nulls.
fn stripped(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(stripped_map(map)),
        Value::Array(items) => items
            .iter()
            .filter(|item| item.get(DIRECTIVE).and_then(Value::as_str) != Some("delete"))
            .map(stripped)
            .collect(),
        other => other.clone(),
    }
}

fn stripped_map(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .filter(|(key, value)| {
            !value.is_null()
                && *key != DIRECTIVE
                && *key != RETAIN_KEYS
                && !key.starts_with(ORDER)
                && !key.starts_with(DELETE_FROM)
        })
        .map(|(key, value)| (key.clone(), stripped(value)))
        .collect()
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
    fn unlisted_items_keep_their_place() {
        let mut items = vec![json!({"n": 1}), json!({"n": 2}), json!({"n": 3})];
        reorder(&mut items, &[json!({"n": 3}), json!({"n": 1})], Some("n"));
        assert_eq!(items, [json!({"n": 3}), json!({"n": 2}), json!({"n": 1})]);
    }
}
