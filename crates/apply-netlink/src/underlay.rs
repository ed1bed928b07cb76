//! The network between nodes, which a lab has to make and a real cluster finds.
//!
//! What is made here lives as long as its namespaces and is never converged or pruned.

use std::net::IpAddr;
use std::os::fd::AsRawFd;

use netns::{Netns, run_in};
use types::{LinkName, Prefix};

use crate::address::{LinkAddress, UseAsSource};
use crate::error::unless;
use crate::link::{Change, VethEnd};
use crate::route::{KernelRoute, Nexthop};
use crate::{Netlink, NetlinkError};

/// One node's connection to the underlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The bridge, in the namespace of the [`Netlink`].
    pub bridge: LinkName,
    /// Name of the bridge's port.
    pub host_link: LinkName,
    /// Name of the link inside the node, such as `eth0`.
    pub link: LinkName,
    /// The node's address.
    pub address: IpAddr,
    /// Length of the underlay's prefix.
    pub prefix_len: u8,
    /// The node's default gateway, if any.
    pub gateway: Option<IpAddr>,
}

impl Netlink {
    /// Makes a bridge that nodes can be joined to, with an address of its own, and brings it up.
    ///
    /// # Errors
    /// When the name is taken or the kernel refuses.
    pub fn make_underlay(
        &mut self,
        bridge: &LinkName,
        address: IpAddr,
        prefix_len: u8,
    ) -> Result<(), NetlinkError> {
        self.channel.make_bridge(bridge, None)?;
        let link = self.channel.existing_link(bridge)?;
        self.channel.change_link(&link, Change::default().alias().up())?;
        let use_as_source = UseAsSource::Anywhere;
        self.channel.add_address(LinkAddress { link: link.index, address, prefix_len, use_as_source })
    }

    /// Gives a link of this namespace one more address, such as one of the other family.
    ///
    /// # Errors
    /// When there is no such link, or the kernel refuses.
    pub fn add_underlay_address(
        &mut self,
        link: &LinkName,
        address: IpAddr,
        prefix_len: u8,
    ) -> Result<(), NetlinkError> {
        let link = self.channel.existing_link(link)?.index;
        let use_as_source = UseAsSource::Anywhere;
        self.channel.add_address(LinkAddress { link, address, prefix_len, use_as_source })
    }

    /// Joins the namespace of a node to the bridge.
    ///
    /// # Errors
    /// When a name is taken or the kernel refuses; what was made by then goes away with the namespace.
    pub fn join_underlay(&mut self, node: &Netns, port: &Port) -> Result<(), NetlinkError> {
        let bridge = self.channel.existing_link(&port.bridge)?;
        let end = |name| VethEnd { name, mac: None, mtu: None };
        self.channel.make_veth(end(&port.host_link), end(&port.link), node.as_raw_fd())?;
        let host = self.channel.existing_link(&port.host_link)?;
        self.channel.change_link(&host, Change::default().alias().bridge(bridge.index).up())?;
        run_in(node, || {
            let mut inside = Netlink::open()?;
            let link = inside.channel.existing_link(&port.link)?;
            inside.channel.change_link(&link, Change::default().up())?;
            let link = link.index;
            let (address, prefix_len) = (port.address, port.prefix_len);
            let use_as_source = UseAsSource::Anywhere;
            inside.channel.add_address(LinkAddress { link, address, prefix_len, use_as_source })?;
            let Some(gateway) = port.gateway else { return Ok(()) };
            let route = KernelRoute::new(everything(gateway), Nexthop::Via(gateway));
            inside.channel.add_static_route(&route)
        })?
    }

    /// Gives a link another MTU, as an administrator of the underlay would.
    ///
    /// # Errors
    /// When there is no such link or the kernel refuses the size.
    pub fn set_mtu(&mut self, link: &LinkName, mtu: u32) -> Result<(), NetlinkError> {
        let link = self.channel.existing_link(link)?;
        self.channel.change_link(&link, Change::default().mtu(mtu))
    }

    /// Sends a destination through a gateway, as the router of an underlay would.
    ///
    /// # Errors
    /// When the gateway cannot be reached directly.
    pub fn route_through(&mut self, destination: Prefix, gateway: IpAddr) -> Result<(), NetlinkError> {
        let route = KernelRoute::new(destination, Nexthop::Via(gateway));
        unless(self.channel.add_static_route(&route), &[libc::EEXIST])
    }
}

/// The destination of a default route.
pub(crate) fn everything(like: IpAddr) -> Prefix {
    Prefix::new(like, 0).expect("0 is a valid length in both families")
}
