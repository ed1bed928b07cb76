//! Cluster DNS answers from the plan: the Kubernetes DNS specification and nothing else.
//!
//! [`Zone::build`] turns a plan into a zone, and [`Zone::follow`] one zone into the next; [`answer()`] turns a query packet
//! into a response packet, or into what upstream servers have to be asked before [`resume()`] writes one; [`resolve()`] and [`search()`] answer the same questions with the object that gave the answer, for people.
//! Sockets, clocks and upstream servers are the caller's.

mod answer;
mod asking;
mod blocks;
mod cache;
mod choice;
mod decoded;
mod extended_error;
mod forward;
mod keep;
mod message;
mod name;
mod prepared;
mod query_log;
mod reading;
mod received;
mod record;
mod reply;
mod resolve;
mod reverse;
mod search;
mod steps;
mod trace;
mod zone;
mod zones;

pub use answer::{Answer, Limits, Transport, answer, fail};
pub use asking::{
    echoes_case, is_reply_to, is_truncated, is_without_edns, query_packet, with_case, with_id, without_edns,
};
pub use blocks::ForwardId;
pub use cache::{Cache, CacheCounts, CacheKey, Found, Question};
pub use choice::{Choice, Turn, choose, patience, smooth};
pub use forward::{Ask, resume};
pub use keep::Keep;
pub use message::Rcode;
pub use name::{Name, NameError};
pub use prepared::{Lookup, Prepared};
pub use query_log::{QueryRecord, query_record};
pub use reading::Response;
pub use record::{Record, RecordData, RecordType};
pub use resolve::{Outcome, Reason, Resolution, resolve};
pub use search::{Search, SearchEnd, search};
pub use trace::{Trace, TraceEnd, TraceHop, trace};
pub use zone::{Server, Source, Zone};
