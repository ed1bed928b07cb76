//! Who may do what: RBAC verdicts with the binding that gave them, and the claims of service account tokens.
//!
//! Pure: objects come in as the API's JSON, the time as a number. Signing, sockets and the store are elsewhere.

mod aggregate;
mod attributes;
mod binding;
mod bindings;
mod bootstrap;
mod claims;
mod covers;
mod grant;
mod impersonate;
mod rbac;
mod review;
mod rule;
mod token;
mod user;

pub use aggregate::{Aggregated, aggregated, label_selector};
pub use attributes::{Attributes, Refusal, ResourceAttributes};
pub use binding::{BindingRef, RoleRef, Subject};
pub use bootstrap::{BootstrapObject, bootstrap_objects, reconciled};
pub use claims::{BoundRef, Claims, Parsed, TokenError, Wanted, now_claims, parse_token, signing_input};
pub use covers::{Escalation, covers, escalation};
pub use grant::{Grant, RBAC_GROUP};
pub use impersonate::{Impersonation, ImpersonationError};
pub use rbac::{Granted, Grounds, Rbac, RbacObjects, Verdict};
pub use review::{Question, ReviewError, parse_question, rules_status, status_of};
pub use rule::PolicyRule;
pub use token::{RequestError, TokenRequest};
pub use user::{
    ANONYMOUS, AUTHENTICATED_GROUP, MASTERS_GROUP, SERVICE_ACCOUNTS_GROUP, UNAUTHENTICATED_GROUP, User,
};
