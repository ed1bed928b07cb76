//! The Common Expression Language (CEL) in the environment Kubernetes gives it: parse, check, evaluate.
//!
//! Language: <https://github.com/google/cel-spec>; environment: apiserver `pkg/cel/environment/base.go` at level
//! 1.34. Every evaluation has a budget and ends with an error when it is used up. Not here: authorizer functions
//! (no rule of a CustomResourceDefinition may call them), messages of protobuf.

pub mod ast;
mod check;
mod eval;
mod functions;
mod ops;
mod parse;
mod re2;
mod token;
mod types;
mod value;

pub use check::check;
pub use eval::{Budget, PER_CALL_LIMIT, evaluate};
pub use functions::format::{FORMATS, is_named_format};
pub use parse::{SyntaxError, parse};
pub use re2::translate;
pub use types::{Declarations, Type, TypeError};
pub use value::{Error, Key, List, ListKind, Map, Value, escape_name};
