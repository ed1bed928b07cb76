//! Load ruleset transactions into the kernel and read our table back.
//!
//! [`Nft`] is one long-lived netfilter netlink socket in one network namespace. [`Nft::converge`] makes our table,
//! `inet sealane`, equal to a ruleset; it never touches another table and calls no program. Clients remembered to use a
//! backend that has gone are forgotten on the way, and UDP connections to one by [`Nft::forget_connections`].
#![allow(
    clippy::disallowed_methods,
    reason = "a shell crate: it is here that the kernel's nftables and connection tracking are changed"
)]

mod attribute;
mod conntrack;
mod element;
mod error;
mod expression;
mod foreign;
mod load;
mod lower;
mod nft;
mod read;
mod socket;

pub use conntrack::Tracked;
pub use error::NftError;
pub use foreign::{ForeignChain, ForeignHook, legacy_chains};
pub use nft::{Look, Nft};
