//! JSON patch (RFC 6902) as Kubernetes understands it: as its library does, not as the RFC says where the two differ.
//!
//! The library (gopkg.in/evanphx/json-patch.v4) lets `replace` add a missing field, lets `copy` of a missing field give
//! null, and counts negative indices from the end. Manifests rely on the first.

use engine_kinds::{Cause, Status};
use serde::Deserialize;
use serde_json::Value;

/// Most operations of one JSON patch (apiserver `maxJSONPatchOperations`).
const MAX_OPERATIONS: usize = 10_000;
/// Most bytes that the `copy` operations of one patch may add (apiserver `JSONPatchMaxCopyBytes`).
const MAX_COPIED: usize = 3 * 1024 * 1024;
/// How deep an object may be nested, as in a body (`serde_json`'s limit). Only JSON patches could make deeper ones.
const MAX_DEPTH: usize = 128;

/// One operation.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Operation {
    Add { path: String, value: Option<Value> },
    Remove { path: String },
    Replace { path: String, value: Option<Value> },
    Move { from: String, path: String },
    Copy { from: String, path: String },
    Test { path: String, value: Option<Value> },
}

/// Carries a patch out.
pub(super) fn apply(object: &mut Value, patch: &Value) -> Result<(), Status> {
    let count = patch.as_array().map_or(0, Vec::len);
    if count > MAX_OPERATIONS {
        let text = format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}"
        );
        return Err(Status::new(413, "RequestEntityTooLarge", text));
    }
    let operations: Vec<Operation> = Vec::deserialize(patch)
        .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
    let mut copied = 0;
    for operation in operations {
        step(object, operation, &mut copied).map_err(refused)?;
    }
    if is_deeper(object, MAX_DEPTH) {
        return Err(refused(format!("the patched object would be nested deeper than {MAX_DEPTH} levels")));
    }
    Ok(())
}

/// 422: the patch cannot be carried out.
fn refused(why: String) -> Status {
    let text = "the server rejected our request due to an error in our request";
    Status::new(422, "Invalid", text).with_cause(Cause {
        reason: "FieldValueInvalid",
        message: why,
        field: "patch".to_owned(),
    })
}

fn step(object: &mut Value, operation: Operation, copied: &mut usize) -> Result<(), String> {
    match operation {
        Operation::Add { path, value } => add(object, &path, value.unwrap_or_default()),
        Operation::Remove { path } => remove(object, &path).map(drop),
        Operation::Replace { path, value } => replace(object, &path, value.unwrap_or_default()),
        Operation::Move { from, path } => {
            let value = remove(object, &from)?;
            add(object, &path, value)
        }
        Operation::Copy { from, path } => {
            let value = find(object, &from)?;
            *copied += value.to_string().len();
            if *copied > MAX_COPIED {
                // Upstream: evanphx/json-patch `AccumulatedCopySizeError`.
                return Err(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the \
                     limit {MAX_COPIED}"
                ));
            }
            add(object, &path, value)
        }
        Operation::Test { path, value } => {
            let found = if path.is_empty() { object.clone() } else { find(object, &path)? };
            let same = found == value.unwrap_or_default();
            if same { Ok(()) } else { Err(format!("testing value {path} failed: test failed")) }
        }
    }
}

/// The container a path ends in, and the last part of the path.
fn container<'a>(object: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), String> {
    let missing = || format!("doc is missing path: \"{path}\": missing value");
    let parts = path.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~"));
    let mut parts: Vec<String> = parts.collect();
    let last = parts.pop().ok_or_else(missing)?;
    let mut place = object;
    for part in parts {
        place = match place {
            Value::Object(map) => map.get_mut(&part),
            Value::Array(items) => {
                let index = index_of(&part, items.len())?;
                items.get_mut(index)
            }
            _ => None,
        }
        .ok_or_else(missing)?;
    }
    if place.is_object() || place.is_array() { Ok((place, last)) } else { Err(missing()) }
}

/// An index below a length; negative ones count from the end.
fn index_of(part: &str, length: usize) -> Result<usize, String> {
    let index: i64 = part.parse().map_err(|_| format!("value was not a proper array index: '{part}'"))?;
    let counted = if index < 0 { usize::try_from(index + length as i64) } else { usize::try_from(index) };
    let inside = counted.ok().filter(|index| *index < length);
    inside.ok_or_else(|| format!("Unable to access invalid index: {index}: invalid array index"))
}

/// What is at a path; null for a field that is not there.
fn find(object: &mut Value, path: &str) -> Result<Value, String> {
    match container(object, path)? {
        (Value::Array(items), key) => Ok(items[index_of(&key, items.len())?].clone()),
        (place, key) => Ok(place.get(&key).cloned().unwrap_or_default()),
    }
}

fn add(object: &mut Value, path: &str, value: Value) -> Result<(), String> {
    match container(object, path)? {
        (Value::Array(items), key) if key == "-" => items.push(value),
        (Value::Array(items), key) => {
            let index = index_of(&key, items.len() + 1)?;
            items.insert(index, value);
        }
        (place, key) => place[key] = value,
    }
    Ok(())
}

fn remove(object: &mut Value, path: &str) -> Result<Value, String> {
    match container(object, path)? {
        (Value::Array(items), key) => {
            let index = index_of(&key, items.len())?;
            Ok(items.remove(index))
        }
        (place, key) => place
            .as_object_mut()
            .and_then(|map| map.remove(&key))
            .ok_or_else(|| format!("Unable to remove nonexistent key: {key}: missing value")),
    }
}

fn replace(object: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        *object = value;
        return Ok(());
    }
    match container(object, path)? {
        (Value::Array(items), key) => {
            let index = index_of(&key, items.len())?;
            items[index] = value;
        }
        (place, key) => place[key] = value,
    }
    Ok(())
}

fn is_deeper(value: &Value, limit: usize) -> bool {
    let within = |value: &Value| limit == 0 || is_deeper(value, limit - 1);
    match value {
        Value::Object(map) => map.values().any(within),
        Value::Array(items) => items.iter().any(within),
        _ => false,
    }
}
