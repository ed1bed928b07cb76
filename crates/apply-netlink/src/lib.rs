//! Links, addresses, routes, neighbours: read back, diff, write.
//!
//! [`Netlink`] is one socket in one network namespace. [`Netlink::converge`] makes a node's side of the Pod network
//! as planned; [`Netlink::attach`] and [`Netlink::detach`] join a Pod's namespace to it, for the CNI plugin;
//! [`Netlink::facts`] reads what the node already has; [`underlay`] makes the network between nodes that a lab has and
//! a real cluster finds. Everything is synchronous: one exchange with the kernel takes some 10 µs.
//!
//! What is ours is known by its marks alone: links by name prefix and alias, routes by protocol number, addresses and
//! neighbours because they are on our links. Nothing else is ever changed.
#![allow(
    clippy::disallowed_methods,
    reason = "a shell crate: it is here that the kernel's network is changed"
)]

mod address;
mod channel;
mod converge;
mod error;
mod facts;
mod link;
mod neighbour;
mod notices;
mod overview;
mod pod;
mod port;
mod route;
mod shaper;
mod sysctl;
pub mod underlay;

pub use error::{NetlinkError, Refusal};
pub use facts::LinkFacts;
pub use notices::Notices;
pub use overview::{LinkOverview, Overview, RouteOverview};
pub use pod::{POD_GATEWAY_V4, POD_GATEWAY_V6};
pub use shaper::Shaper;

use channel::Channel;

/// Alias of every link of ours.
pub const LINK_ALIAS: &str = "sealane";

/// Protocol number of every route of ours; unassigned in the kernel's `rtnetlink.h` and iproute2's `rt_protos`.
pub const ROUTE_PROTOCOL: u8 = 94;

/// The link that holds this node's local addresses.
///
/// It is a bridge without ports: unlike a dummy link it needs no module that a kernel may lack (every node that runs
/// containers has bridges), unlike a veth it has no second end, and unlike `lo` it is ours, so that an address on it
/// can be recognised. It never carries a packet; the kernel answers for its addresses on all links.
pub const LOCAL_LINK: &str = "sealane0";

/// A connection to the kernel's network configuration, in the namespace it was opened in.
#[derive(Debug)]
pub struct Netlink {
    channel: Channel,
}

impl Netlink {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// Later calls must come from a thread in the same namespace: settings under `/proc/sys/net` belong to the thread's.
    ///
    /// # Errors
    /// When the kernel refuses a socket.
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self { channel: Channel::open()? })
    }
}
