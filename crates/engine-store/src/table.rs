//! Tables: the columns and cells `kubectl get` prints.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::request::{IncludeObject, Target};
use crate::store::Store;
use crate::stored::Shown;
use engine_kinds::Header;

impl Store {
    /// Objects of a target as a `meta.k8s.io/v1 Table`, without list metadata. The objects are those that
    /// [`Store::list`], [`Store::read`] or [`Store::next`] gave.
    #[must_use]
    pub fn table(&self, target: &Target, now: Timestamp, objects: &[Shown], include: IncludeObject) -> Value {
        let kind = match (target.subresource.as_deref(), self.registry().of_target(target)) {
            (Some("scale"), _) | (_, Err(_)) => None,
            (_, Ok(id)) => Some(self.registry().kind(id)),
        };
        let headers = kind.map_or_else(engine_kinds::plain_columns, |kind| kind.columns());
        let definitions: Vec<Value> = headers.iter().map(definition).collect();
        let cells = |object: &Value| match kind {
            None => engine_kinds::plain_cells(object, now),
            Some(kind) => kind.cells(object, now),
        };
        let rows: Vec<Value> = objects
            .iter()
            .map(|object| {
                let object = object.value();
                json!({"cells": cells(&object), "object": shown(&object, include)})
            })
            .collect();
        json!({
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": {},
            "columnDefinitions": definitions,
            "rows": rows,
        })
    }
}

fn definition(header: &Header) -> Value {
    json!({
        "name": header.name,
        "type": header.kind,
        "format": header.format,
        "description": header.description,
        "priority": header.priority,
    })
}

/// What a row carries of its object.
fn shown(object: &Value, include: IncludeObject) -> Value {
    match include {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => partial_metadata(object),
        IncludeObject::Object => object.clone(),
    }
}

/// The `PartialObjectMetadata` of an object.
#[must_use]
pub fn partial_metadata(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}
