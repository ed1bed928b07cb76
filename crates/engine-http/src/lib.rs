//! HTTP routing decisions from the plan: host, path, filters, backend.
//!
//! [`RouteTable::build`] compiles a plan once; [`route()`] decides about one request head, and says which object and
//! field decided. [`HostTable`] also picks certificates by server name. [`Forwarded`] and the functions on headers
//! say what a backend is told about the client. Connections are the caller's.

mod decision;
mod forwarded;
mod headers;
mod hosts;
mod page;
mod path;
mod rewrite;
mod route;
mod table;

pub use decision::{Decision, Forward, Reason};
pub use forwarded::{Forwarded, Peer};
pub use headers::{Upgrade, authority, strip_request, strip_response, tell_backend, wants_upgrade};
pub use hosts::{HostTable, host_name};
pub use page::Page;
pub use route::{RequestHead, Scheme, route};
pub use table::RouteTable;
