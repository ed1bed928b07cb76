//! Bodies that Go's own encoder wrote, with the JSON that Go wrote of the same objects.
//!
//! `tests/vectors/*.txt` hold a body in hexadecimal, a space and its JSON per line. `kinds.txt` has every kind with
//! fields filled at random (k8s.io/api v0.34.1 and its protobuf serializer, sigs.k8s.io/randfill), zeros among them;
//! `kubectl.txt` is what kubectl 1.32 sent.
#![allow(clippy::unwrap_used, reason = "what fails in a test is the finding")]

use sealane_engine_schema::protobuf::Envelope;
use serde_json::Value;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Null and absent are the same in the API.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, member| !member.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Where two values differ, with what they have there.
fn differences(found: &Value, wanted: &Value, path: &str, into: &mut Vec<String>) {
    match (found, wanted) {
        (Value::Object(left), Value::Object(right)) => {
            for key in left.keys().chain(right.keys().filter(|key| !left.contains_key(*key))) {
                let part = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                differences(&part(left), &part(right), &format!("{path}.{key}"), into);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            left.iter()
                .zip(right)
                .for_each(|(left, right)| differences(left, right, &format!("{path}[]"), into));
        }
        _ if found == wanted => {}
        _ => into.push(format!("{path}: {found} instead of {wanted}")),
    }
}

fn check(vectors: &str) {
    let mut wrong = Vec::new();
    for line in vectors.lines() {
        let (hex, json) = line.split_once(' ').unwrap();
        let mut wanted: Value = serde_json::from_str(json).unwrap();
        drop_nulls(&mut wanted);
        let body = bytes(hex);
        let envelope = Envelope::open(&body).unwrap();
        let mut found = envelope.object().unwrap_or_else(|error| panic!("{}: {error}", envelope.kind));
        drop_nulls(&mut found);
        differences(&found, &wanted, &envelope.kind, &mut wrong);
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_kind_as_go_writes_it() {
    check(include_str!("vectors/kinds.txt"));
}

#[test]
fn what_kubectl_create_sends() {
    check(include_str!("vectors/kubectl.txt"));
}
