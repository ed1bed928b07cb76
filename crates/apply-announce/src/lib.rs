//! Tell neighbours on the wire that a LoadBalancer address moved here.
//!
//! The kernel itself answers who asks for an address, because the node holds it (`plan::LocalAddress`). This crate only
//! tells those who asked before and remember another node: one round of unsolicited frames for each address that is new
//! on this node. Taking an address away needs no frame; the next owner's says it.
#![allow(clippy::disallowed_methods, reason = "a shell crate: it is here that frames are sent")]

mod frame;
mod socket;

use std::collections::BTreeSet;
use std::net::IpAddr;

use plan::{Failure, LbPlan, Report};
use types::{LinkName, Mac};

pub use frame::{Frame, announcements};

/// Why neighbours could not be told.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// There is no such link, or it has no link-layer address.
    #[error("link {link} cannot carry announcements")]
    Link {
        /// The link.
        link: LinkName,
        /// Why.
        source: std::io::Error,
    },
    /// A frame could not be sent.
    #[error("cannot announce {address} on {link}")]
    Send {
        /// The address.
        address: IpAddr,
        /// The link.
        link: LinkName,
        /// Why.
        source: std::io::Error,
    },
}

/// Announces what is new in each plan.
#[derive(Debug, Default)]
pub struct Announcer {
    announced: BTreeSet<(LinkName, IpAddr)>,
}

impl Announcer {
    /// Nothing is announced yet; a restarted agent announces everything once, which does no harm.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Announces every address that the plan before this one did not have.
    ///
    /// Call when the kernel holds the addresses already. What fails stays due.
    pub fn converge(&mut self, plan: &LbPlan) -> Report {
        let mut report = Report::default();
        let Some(link) = &plan.link else {
            self.announced.clear();
            return report;
        };
        self.announced.retain(|(old, address)| old == link && plan.announce.contains_key(address));
        let due = plan.announce.keys().filter(|address| !self.announced.contains(&(link.clone(), **address)));
        for address in due.copied().collect::<Vec<_>>() {
            match link_mac(link).and_then(|mac| announce(link, address, mac)) {
                Ok(()) => {
                    report.written += 1;
                    self.announced.insert((link.clone(), address));
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                    let why = format!("{error}{}", cause.unwrap_or_default());
                    report.failures.push(Failure { what: format!("announcement of {address}"), why });
                }
            }
        }
        report
    }
}

/// Tells all neighbours on a link that `address` is at `mac`, in every form that is understood somewhere.
///
/// # Errors
/// When the link is not there or is down, or raw sockets are not allowed.
pub fn announce(link: &LinkName, address: IpAddr, mac: Mac) -> Result<(), AnnounceError> {
    let socket = socket::open(link).map_err(|source| AnnounceError::Link { link: link.clone(), source })?;
    for frame in announcements(address, mac) {
        socket.send(&frame).map_err(|source| AnnounceError::Send { address, link: link.clone(), source })?;
    }
    Ok(())
}

/// The link-layer address of a link in this namespace.
///
/// # Errors
/// When the link is not there or is no Ethernet link.
pub fn link_mac(link: &LinkName) -> Result<Mac, AnnounceError> {
    socket::mac_of(link).map_err(|source| AnnounceError::Link { link: link.clone(), source })
}
