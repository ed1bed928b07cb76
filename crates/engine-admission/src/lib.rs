//! Validating admission policies: whether a write may be, and the policy and binding that forbid it.
//!
//! Upstream: `apiserver/pkg/admission/plugin/policy/validating`. Pure: objects come in as the API's JSON. Not here:
//! the variable `authorizer`, and audit annotations, since the lab has no audit log.

mod environment;
mod evaluate;
mod matching;
mod policy;
mod request;
mod verdict;

pub use evaluate::decide;
pub use policy::{Admission, Findings, ParamRef, findings};
pub use request::{Operation, Request};
pub use verdict::{Denial, Outcome};
