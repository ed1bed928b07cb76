//! Schemas of Kubernetes objects: types, checks, field sets, and merges by schema.
//!
//! Knows the shape of objects and nothing of kinds, requests or storage. One tree of types ([`Type`]) drives all of it.

mod compare;
mod custom;
pub mod decode;
mod fields;
mod merge;
mod overlay;
pub mod protobuf;
pub mod quantity;
pub mod strategic;
mod tree;

pub use compare::{Difference, compare};
pub use custom::custom_type;
pub use fields::FieldSet;
pub use merge::{merge, prune};
pub use tree::{
    Field, KUBERNETES_VERSION, ListKey, ListRule, Scalar, Strategy, Struct, StructId, Type, documents,
    type_of,
};
