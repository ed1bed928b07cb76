//! The Kubernetes API as a state machine: revisioned objects, selectors, patches, validation, defaults, watch.
//!
//! No clock, no randomness, no sockets: time and random draws come in with each write ([`Env`]). Objects are JSON
//! values, shared and never changed once stored. A kind is a row of data ([`Kind`]); see `kinds`.

mod admission;
mod alloc;
mod apply;
mod body;
mod bootstrap;
mod defaults;
mod delete;
mod events;
mod journal;
mod kind;
mod kinds;
mod list;
mod log;
mod managed;
mod names;
mod object;
mod openapi;
mod patch;
mod request;
mod scale;
mod selectors;
mod service;
mod status;
mod store;
mod subresource;
mod table;
mod update;
mod validate;
mod watch;
mod write;

pub use engine_schema::KUBERNETES_VERSION;

pub use body::{Body, parse_body, parse_protobuf};
pub use journal::{Record, RestoreError};
pub use kind::{
    Column, DeleteAnswer, Generation, Kind, NameRule, Selectable, Spoken, Subresource, VERBS, View,
};
pub use list::List;
pub use request::{
    DeleteOptions, Env, FieldValidation, IncludeObject, ListOptions, PatchKind, Preconditions, Target,
    WatchOptions, Write, WriteOptions, Written,
};
pub use status::{Cause, Details, Status};
pub use store::{Store, StoreConfig};
pub use table::partial_metadata;
pub use validate::Findings;
pub use watch::{Cursor, EventKind, WatchEvent};
