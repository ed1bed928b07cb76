//! What a caller hands in and gets back: targets, writes, options, and the environment of a write.

use serde::Deserialize;
use serde_json::Value;

use engine_kinds::Status;

/// Everything a write needs from outside the store.
pub struct Env<'a> {
    /// The time of the request.
    pub now: jiff::Timestamp,
    /// Random draws, for uids, generated names and free addresses.
    pub random: &'a mut dyn FnMut() -> u64,
    /// Who asks.
    pub user: &'a str,
}

/// What a request is about: a collection, an object, or a part of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// API group; empty for the core group.
    pub group: String,
    /// API version, such as `v1`.
    pub version: String,
    /// Plural resource name, such as `pods`.
    pub resource: String,
    /// Namespace; `None` for cluster-scoped resources and for all namespaces.
    pub namespace: Option<String>,
    /// Object name; `None` for collections.
    pub name: Option<String>,
    /// Subresource, such as `status`.
    pub subresource: Option<String>,
}

/// What to do about fields the kind does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop them.
    Ignore,
    /// Drop them and say so in a warning.
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

/// Options of a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Do everything but keep nothing.
    pub dry_run: bool,
    /// Who owns the fields written; the client's name.
    pub field_manager: String,
    /// What to do about unknown fields.
    pub field_validation: FieldValidation,
    /// Take fields over from other managers (apply only).
    pub force: bool,
    /// Paths that stood more than once in the body ([`crate::Body::duplicates`]).
    pub duplicates: Vec<String>,
}

/// Form of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7396.
    Merge,
    /// Kubernetes' merge patch that knows lists of maps.
    StrategicMerge,
    /// Server-side apply.
    Apply,
}

/// A change asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// POST.
    Create(Value),
    /// PUT.
    Update(Value),
    /// PATCH.
    Patch(PatchKind, Value),
    /// DELETE of one object.
    Delete(DeleteOptions),
    /// DELETE of a collection.
    DeleteCollection {
        /// How to delete each.
        options: DeleteOptions,
        /// Which.
        list: ListOptions,
    },
}

/// What a write answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// What the client gets back: the object, for some deletes a `Status`, for a collection delete the list.
    pub object: Value,
    /// Whether the object is new (201 rather than 200).
    pub created: bool,
    /// Texts for `Warning: 299` headers.
    pub warnings: Vec<String>,
}

/// `meta/v1 DeleteOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteOptions {
    /// Seconds until the object goes; kinds without graceful deletion ignore it.
    pub grace_period_seconds: Option<i64>,
    /// `Background`, `Foreground` or `Orphan`.
    pub propagation_policy: Option<String>,
    /// Older form of the `Orphan` policy.
    pub orphan_dependents: Option<bool>,
    /// What must be true of the object.
    pub preconditions: Option<Preconditions>,
    /// `["All"]` for a dry run.
    pub dry_run: Vec<String>,
}

/// What must be true of an object for its deletion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Preconditions {
    /// Required uid.
    pub uid: Option<String>,
    /// Required resourceVersion.
    pub resource_version: Option<String>,
}

impl DeleteOptions {
    /// Reads the body of a DELETE.
    ///
    /// # Errors
    /// 400 when the body is not `DeleteOptions`.
    pub fn parse(body: &Value) -> Result<Self, Status> {
        if body.is_null() {
            return Ok(Self::default());
        }
        let options: Self = serde_json::from_value(body.clone()).map_err(|error| {
            Status::bad_request(format!("the body of a delete must be DeleteOptions: {error}"))
        })?;
        if options.dry_run.iter().any(|stage| stage != "All") {
            return Err(Status::bad_request("dryRun: only \"All\" is supported"));
        }
        Ok(options)
    }
}

/// Which objects of a collection, and in which portions; texts as in the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// `labelSelector`.
    pub label_selector: Option<String>,
    /// `fieldSelector`.
    pub field_selector: Option<String>,
    /// `limit`; 0 means no limit.
    pub limit: Option<u64>,
    /// `continue`.
    pub continue_token: Option<String>,
    /// `resourceVersion`.
    pub resource_version: Option<String>,
    /// `resourceVersionMatch`.
    pub resource_version_match: Option<String>,
}

/// What to watch and from where; texts as in the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// `labelSelector`.
    pub label_selector: Option<String>,
    /// `fieldSelector`.
    pub field_selector: Option<String>,
    /// `resourceVersion`.
    pub resource_version: Option<String>,
    /// `resourceVersionMatch`.
    pub resource_version_match: Option<String>,
    /// `allowWatchBookmarks`.
    pub allow_bookmarks: bool,
    /// `sendInitialEvents`; `None` when the query does not have it.
    pub send_initial_events: Option<bool>,
}

/// How much of each object a table carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Metadata only.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}
