//! Objects in the form the client asked for: whole, as metadata only, or as a table.

use bytes::Bytes;
use engine_store::{IncludeObject, Shown, Store, Target};
use serde::Serialize;
use serde_json::{Value, json};

use crate::shell;

/// The `PartialObjectMetadata` of an object with this metadata, in pieces.
pub(crate) fn partial_metadata(metadata: &str) -> [&str; 3] {
    ["{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":", metadata, "}"]
}

/// JSON text of anything.
pub(crate) fn to_json(value: &impl Serialize) -> Bytes {
    Bytes::from(serde_json::to_vec(value).expect("what the store holds is JSON"))
}

/// `metadata` of a table that shows one object.
pub(crate) fn list_metadata_of(object: &Shown) -> Value {
    let metadata: Value = serde_json::from_str(object.metadata()).expect("metadata is JSON");
    json!({"resourceVersion": metadata.get("resourceVersion")})
}

/// Objects of a target as a table with this list metadata.
pub(crate) fn table(
    store: &Store,
    target: &Target,
    objects: &[Shown],
    metadata: Value,
    include: IncludeObject,
) -> Value {
    let mut table = store.table(target, shell::now(), objects, include);
    table["metadata"] = metadata;
    table
}
