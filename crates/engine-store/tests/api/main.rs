//! The store as its callers see it: requests in, objects and statuses out.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

extern crate sealane_engine_store as engine_store;

mod addresses;
mod apply;
mod bodies;
mod crud;
mod definitions;
mod deletion;
mod families;
mod harness;
mod lists;
mod patches;
mod properties;
mod services;
mod validation;
mod watches;
mod workloads;
