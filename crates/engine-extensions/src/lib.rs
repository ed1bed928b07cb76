//! CustomResourceDefinitions: what one must be, what the server says of it, and the kinds it brings.
//!
//! Which definitions there are, and when their kinds come and go, is `engine-store`'s.

mod annotations;
mod definition;
mod form;
mod names;
mod status;
mod validate;
mod versions;

pub use definition::{CLEANUP, DEFINITION, GROUP, PLURAL};
pub use names::Names;
pub use status::{accept, is_established, terminate};
pub use versions::kinds_of;
