//! Histories of writes that Kubernetes' own packages made, recorded by `tests/recorded/generator`, made here.
#![allow(clippy::unwrap_used, reason = "what fails in a test is the finding")]

use engine_schema::{Type, type_of};

use super::*;
use crate::managed::record;

/// One recorded write on top of `live`: the new state, or the conflicts.
fn write(live: Option<&Value>, step: &Value, ty: &Type) -> Result<Value, String> {
    let mut new = step["body"].clone();
    let context = Context {
        manager: step["manager"].as_str().unwrap().to_owned(),
        api_version: new["apiVersion"].as_str().unwrap().to_owned(),
        subresource: None,
        time: String::new(),
        ty: ty.clone(),
    };
    let mut writer = Writer::Update;
    if step["apply"] == true {
        let mut fields = FieldSet::of(&new, ty);
        strip(&mut fields);
        let entries = match live {
            None => vec![context.entry(Operation::Apply, fields)],
            Some(live) => {
                let settled = settle(&context, live, (&new, fields), step["force"] == true);
                let (merged, entries) = settled.map_err(|status| status.message)?;
                new = merged;
                entries
            }
        };
        writer = Writer::Apply(entries);
    }
    record(live, &mut new, &context, writer);
    Ok(new)
}

/// The state without what has no order. What is recorded was made of objects without Go types, where a struct that Go
/// holds by value may be absent; so such structs do not count themselves.
fn comparable(mut object: Value, ty: &Type) -> Value {
    if let Some(entries) = object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut) {
        for entry in entries.iter_mut() {
            let mut fields = FieldSet::parse(&entry["fieldsV1"]);
            without_values(&mut fields, ty);
            entry["fieldsV1"] = fields.into_value();
        }
        entries.retain(|entry| entry["fieldsV1"] != serde_json::json!({}));
        entries.sort_by_key(|entry| (entry["operation"].to_string(), entry["manager"].to_string()));
    }
    if object.pointer("/metadata/managedFields").is_some_and(|entries| *entries == serde_json::json!([])) {
        object["metadata"].as_object_mut().unwrap().remove("managedFields");
    }
    object
}

fn without_values(fields: &mut FieldSet, ty: &Type) {
    for (step, child) in &mut fields.children {
        let (mut is_value, mut below) = (false, None);
        match (ty, step.split_once(':').unwrap()) {
            (Type::Struct { id, .. }, ("f", name)) => {
                let field = id.get().fields.get(name).unwrap();
                is_value = field.value && matches!(field.ty, Type::Struct { atomic: false, .. });
                below = Some(&field.ty);
            }
            (Type::Map { item, .. }, ("f", _)) | (Type::List { item, .. }, ("k", _)) => below = Some(&**item),
            _ => {}
        }
        child.member &= !is_value;
        if let Some(below) = below {
            without_values(child, below);
        }
    }
    fields.children.retain(|_, child| !child.is_empty());
}

#[test]
fn histories_as_recorded() {
    let records = include_str!("../../tests/recorded/apply.jsonl");
    let mut wrong = Vec::new();
    for (number, line) in records.lines().enumerate() {
        let history: Value = serde_json::from_str(line).unwrap();
        let ty = type_of(history["schema"].as_str().unwrap());
        let mut live: Option<Value> = None;
        for step in history["writes"].as_array().unwrap() {
            let found = write(live.as_ref(), step, &ty);
            let wanted = match step["conflict"].as_str() {
                Some(conflict) => Err(conflict.to_owned()),
                None => Ok(comparable(step["result"].clone(), &ty)),
            };
            let found = found.map(|object| comparable(object, &ty));
            if found != wanted {
                let text = |state: &Result<Value, String>| match state {
                    Ok(object) => object.to_string(),
                    Err(conflict) => conflict.clone(),
                };
                wrong.push(format!(
                    "line {}: {}\n on {}\n  gives {}\n  not   {}",
                    number + 1,
                    step["body"],
                    live.clone().unwrap_or_default(),
                    text(&found),
                    text(&wanted)
                ));
            }
            // Each write starts from what is recorded, so that one deviation is told once.
            live = step.get("result").cloned().or(live);
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), records.lines().count(), wrong.join("\n"));
}
