//! The OpenAPI v3 documents, made once and named by their content.

use std::collections::BTreeMap;

use bytes::Bytes;
use engine_store::Store;
use serde_json::{Map, Value, json};

use crate::answer;

/// All documents and the list of them.
pub(crate) struct Documents {
    /// `/openapi/v3`.
    pub(crate) root: Value,
    by_path: BTreeMap<String, Bytes>,
}

impl Documents {
    /// Makes them; takes a moment.
    pub(crate) fn new(store: &Store) -> Self {
        let by_path: BTreeMap<String, Bytes> = store
            .openapi_root()
            .into_iter()
            .filter_map(|path| {
                let document = store.openapi_v3(&path)?;
                Some((path, answer::to_bytes(&document)))
            })
            .collect();
        let paths: Map<String, Value> = by_path
            .iter()
            .map(|(path, body)| {
                let url = format!("/openapi/v3/{path}?hash={}", answer::fingerprint(body));
                (path.clone(), json!({"serverRelativeURL": url}))
            })
            .collect();
        Self { root: json!({"paths": paths}), by_path }
    }

    /// The document of `api/v1` or `apis/G/V`.
    pub(crate) fn get(&self, path: &str) -> Option<Bytes> {
        self.by_path.get(path).cloned()
    }
}
