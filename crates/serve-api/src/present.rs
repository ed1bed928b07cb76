//! Objects in the form the client asked for: whole, as metadata only, or as a table.

use bytes::Bytes;
use engine_store::{IncludeObject, List, Shown, Store, Target};
use serde::Serialize;
use serde_json::{Value, json};

use crate::shell;

/// A list's metadata and that of its items.
pub(crate) fn metadata_list(list: &List) -> Bytes {
    let metadata = list.metadata();
    let mut text = format!(
        "{{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{metadata},\"items\":["
    );
    for (number, item) in list.items.iter().enumerate() {
        text.push_str(if number > 0 { "," } else { "" });
        text.extend(partial_metadata(item.metadata()));
    }
    text.push_str("]}");
    text.into()
}

/// The `PartialObjectMetadata` of an object with this metadata, in pieces.
pub(crate) fn partial_metadata(metadata: &str) -> [&str; 3] {
    ["{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":", metadata, "}"]
}

/// A list with all its objects.
pub(crate) fn list(list: &List) -> Bytes {
    let size: usize = list.items.iter().map(|item| item.text().len() + 1).sum();
    let opening = list.opening();
    let mut text = String::with_capacity(opening.len() + size + 2);
    text.push_str(&opening);
    for (number, item) in list.items.iter().enumerate() {
        text.push_str(if number > 0 { "," } else { "" });
        text.extend(list.item_text(item));
    }
    text.push_str("]}");
    text.into()
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
