//! Objects in the form the client asked for: whole, as metadata only, or as a table.

use std::sync::Arc;

use bytes::Bytes;
use engine_store::{IncludeObject, List, Store, Target, partial_metadata};
use serde::Serialize;
use serde_json::{Value, json};

use crate::shell;

/// A list's metadata and that of its items.
pub(crate) fn metadata_list(list: &List) -> Value {
    let items: Vec<Value> = list.items.iter().map(|object| partial_metadata(object)).collect();
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

/// Objects of a target as a table with this list metadata.
pub(crate) fn table(
    store: &Store,
    target: &Target,
    objects: &[Arc<Value>],
    metadata: Value,
    include: IncludeObject,
) -> Value {
    let mut table = store.table(target, shell::now(), objects, include);
    table["metadata"] = metadata;
    table
}
