//! The OpenAPI v3 documents, named by their content.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use engine_store::Store;
use http::HeaderMap;
use http::header::ACCEPT;
use serde_json::{Map, Value, json};

use crate::answer;

/// The form in which kubectl asks for OpenAPI v2 (upstream: client-go, `discovery.DiscoveryClient.OpenAPISchema`).
const V2_ACCEPT: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/// The same as the answer's type (upstream: kube-openapi, `pkg/handler`).
pub(crate) const V2_CONTENT: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// An OpenAPI v2 document without definitions: field 1 is `swagger`, field 2 is `info` with `title` and `version`
/// (gnostic, `openapiv2/OpenAPIv2.proto`). kubectl asks for it only about a kind that version 3 does not have, and must
/// find it missing there too before it says so.
pub(crate) const V2_DOCUMENT: &[u8] = b"\x0a\x032.0\x12\x0d\x0a\x07sealane\x12\x02v1";

/// Whether a client asks for OpenAPI v2 in the one form that is served.
pub(crate) fn wants_v2(headers: &HeaderMap) -> bool {
    let asked = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    asked.flat_map(|value| value.split(',')).any(|form| form.trim() == V2_ACCEPT)
}

/// All documents and the list of them.
pub(crate) struct Documents {
    /// `/openapi/v3`.
    pub(crate) root: Value,
    by_path: BTreeMap<String, Bytes>,
}

impl Documents {
    /// Makes them; takes a moment.
    pub(crate) fn new(store: &Store) -> Self {
        Self::of(store.openapi_root().into_iter().filter_map(|path| made(store, path)).collect())
    }

    /// These, and those of the group-versions that have custom kinds.
    pub(crate) fn with_custom(&self, store: &Store) -> Self {
        let mut by_path = self.by_path.clone();
        let custom = store.kinds().iter().filter(|kind| kind.is_custom());
        let paths: BTreeSet<String> = custom.map(|kind| format!("apis/{}", kind.api_version())).collect();
        by_path.extend(paths.into_iter().filter_map(|path| made(store, path)));
        Self::of(by_path)
    }

    fn of(by_path: BTreeMap<String, Bytes>) -> Self {
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

fn made(store: &Store, path: String) -> Option<(String, Bytes)> {
    let document = store.openapi_v3(&path)?;
    Some((path, answer::to_bytes(&document)))
}
