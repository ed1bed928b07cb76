//! The loops against the lab's API: what is read and written arrives, and a node does as the cluster says.
#![allow(clippy::disallowed_methods, reason = "tests open sockets and wait with a deadline")]

mod check;
mod cluster;
mod exec;
mod foreign;
mod links;
mod node;
mod reading;
mod server;
mod test_node;
mod told;
mod upstream;
mod writing;
