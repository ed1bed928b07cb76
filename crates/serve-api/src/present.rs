//! Objects in the form the client asked for: whole, as metadata only, or as a table.

use std::sync::Arc;

use bytes::Bytes;
use engine_store::{IncludeObject, Kind, List};
use serde::Serialize;
use serde_json::{Value, json};

use crate::shell;

/// An object's metadata alone (`meta/v1 PartialObjectMetadata`).
pub(crate) fn metadata_only(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata"),
    })
}

/// A list's metadata and that of its items.
pub(crate) fn metadata_list(list: &List) -> Value {
    let items: Vec<Value> = list.items.iter().map(|object| metadata_only(object)).collect();
    json!({
        "kind": "PartialObjectMetadataList",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list.metadata(),
        "items": items,
    })
}

/// JSON text of anything.
pub(crate) fn to_json(value: &impl Serialize) -> Bytes {
    Bytes::from(serde_json::to_vec(value).expect("what the store holds is JSON"))
}

/// `metadata` of a table that shows one object.
pub(crate) fn list_metadata_of(object: &Value) -> Value {
    json!({"resourceVersion": object.pointer("/metadata/resourceVersion")})
}

/// Objects as a table.
pub(crate) fn table(kind: &Kind, rows: &[Arc<Value>], metadata: Value, include: IncludeObject) -> Value {
    engine_store::table(kind, rows, metadata, include, shell::now())
}
