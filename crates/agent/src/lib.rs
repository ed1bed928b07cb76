//! The loops: the node pipeline on one screen, the cluster's, and that of DNS by itself.
//!
//! [`node::run`], [`cluster::run`] and [`names::run`] have the same shape: take the next events, fold them, compile, bring the plan
//! about, remember. All decisions are made in `compile`; what is decided here is only when to look again.

#![allow(clippy::disallowed_methods, reason = "a shell crate: it is here that the parts are put together")]

mod attachments;
mod blocking;
pub mod check;
pub mod cluster;
mod dns_loops;
mod due;
mod echo;
mod epoch;
mod event;
mod herald;
mod in_force;
mod inbox;
mod install;
mod kernel;
pub mod loaded;
pub mod names;
pub mod node;
mod observed;
mod probing;
mod report;
mod resolvers;
mod settings;
mod socket;
mod teller;
mod underlay;
mod world;

pub use settings::ingress_controllers;
