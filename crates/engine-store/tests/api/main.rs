//! The store as its callers see it: requests in, objects and statuses out.

extern crate sealane_engine_store as engine_store;

mod apply;
mod crud;
mod deletion;
mod harness;
mod lists;
mod patches;
mod properties;
mod services;
mod validation;
mod watches;
