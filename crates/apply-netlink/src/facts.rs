//! What a node has before we touch it.

use std::net::IpAddr;

use types::{LinkName, Mac};

use crate::channel::Channel;
use crate::{Netlink, NetlinkError};

/// What is known of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkFacts {
    /// Its number in this namespace.
    pub index: u32,
    /// Its addresses and the lengths of their subnets' prefixes, IPv4 first, no IPv6 link-local ones.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Its link-layer address, if it has one.
    pub mac: Option<Mac>,
}

impl Netlink {
    /// Reads addresses, MTU and link-layer address of a link.
    ///
    /// # Errors
    /// When there is no such link.
    pub fn facts(&mut self, link: &LinkName) -> Result<LinkFacts, NetlinkError> {
        let link = self.channel.existing_link(link)?;
        let addresses = self.channel.addresses()?.into_iter().filter(|address| address.link == link.index);
        let addresses = addresses.map(|address| (address.address, address.prefix_len)).collect();
        Ok(LinkFacts { index: link.index, addresses, mtu: link.mtu, mac: link.mac })
    }

    /// The link that has this address.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn link_with(&mut self, address: IpAddr) -> Result<Option<LinkName>, NetlinkError> {
        self.channel.link_with(address)
    }
}

impl Channel {
    pub(crate) fn link_with(&mut self, address: IpAddr) -> Result<Option<LinkName>, NetlinkError> {
        let Some(held) = self.addresses()?.into_iter().find(|held| held.address == address) else {
            return Ok(None);
        };
        Ok(self.links()?.into_iter().find(|link| link.index == held.link).map(|link| link.name))
    }
}
