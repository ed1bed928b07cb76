//! The node plan as an nftables ruleset value: render, diff, print, parse, trace.
//!
//! Nothing here talks to the kernel; `apply-nft` carries a [`Transaction`] there and reads a [`Ruleset`] back.
//! The rules are fixed and stand in `fixed.nft` (packets) and `frames.nft` (frames of Pods on a bridge); the cluster's state moves only in set and map elements.

mod affinity;
mod connections;
mod diff;
mod fixed;
mod frames;
mod hash;
mod overview;
mod parse;
mod podnet;
mod policy;
mod render;
mod rendered;
mod segment;
mod services;
mod sink;
mod slots;
mod text;
mod trace;
mod value;

pub use connections::{Connection, End, Rightful, frontends_that_lose};
pub use diff::{Replacement, Step, Transaction, apply, apply_in_place, diff, is_entry};
pub use fixed::{TABLE, declared_sets, fixed_rules, known_rules};
pub use frames::{fixed_frame_rules, render_frames};
pub use hash::HASH_SEED;
pub use overview::{FrontendOverview, Way, overview};
pub use parse::{ParseError, parse};
pub use render::{put_services, render, render_without_services};
pub use rendered::{Following, Rendered};
pub use services::{is_client_current, shrinks_a_pool};
pub use sink::{Entry, Sink};
pub use trace::{ConntrackState, Fate, Hop, Origin, Packet, Trace, trace};
pub use value::{
    Chain, Conntrack, Data, Element, Field, FieldType, Hook, HookPoint, Key, Kind, LinkBytes, Membership,
    Reject, Rule, Ruleset, Scratch, Set, SetKind, Statement, TableFamily, Value, Verdict,
};
