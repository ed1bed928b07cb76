//! The Kubernetes API as a state machine: revisioned objects, selectors, patches, validation, defaults, watch.
//!
//! No clock, no randomness, no sockets: time and random draws come in with each write ([`Env`]). Objects are JSON
//! texts, shared and never changed once stored. What a kind is, `engine-kinds` knows.

mod addresses;
mod admission;
mod alloc;
mod apply;
mod body;
mod bootstrap;
mod certificates;
mod collection;
mod definitions;
mod delete;
mod eviction;
mod journal;
mod key;
mod list;
mod log;
mod managed;
mod names;
mod openapi;
mod patch;
mod pinned;
mod registry;
mod request;
mod scale;
mod selectors;
mod service;
mod service_account;
mod store;
mod stored;
mod subresource;
mod table;
mod update;
mod watch;
mod write;

pub use engine_kinds::{Cause, Details, Kind, Spoken, Status, Subresource, VERBS};
pub use engine_schema::KUBERNETES_VERSION;

pub use body::{Body, parse_body, parse_protobuf};
pub use journal::{ParseError, Record, RestoreError};
pub use list::List;
pub use registry::KindId;
pub use request::{
    DeleteOptions, Env, FieldValidation, IncludeObject, ListOptions, PatchKind, Preconditions, Target,
    WatchOptions, Write, WriteOptions, Written,
};
pub use store::{Store, StoreConfig};
pub use stored::{Head, Shown, Stored};
pub use table::partial_metadata;
pub use watch::{Cursor, EventKind, Portion, WatchEvent};
