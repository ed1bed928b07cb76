//! Neighbours that never have to be asked for, and where a tunnel sends a link-layer address.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use types::Mac;

use crate::NetlinkError;
use crate::address::family_of;
use crate::channel::Channel;
use crate::route::OURS;

/// A permanent neighbour: on this link, this address has this link-layer address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Neighbour {
    pub(crate) link: u32,
    pub(crate) address: IpAddr,
    pub(crate) mac: Mac,
}

/// An address that this node stands for on a link: its kernel answers neighbours who ask for it.
///
/// Over IPv4 the kernel answers on every link for every address that it has; over IPv6 only on the link that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Proxied {
    pub(crate) link: u32,
    pub(crate) address: IpAddr,
}

/// A forwarding entry of a VXLAN link: frames to this link-layer address go to this underlay address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FdbEntry {
    pub(crate) link: u32,
    pub(crate) mac: Mac,
    pub(crate) remote: IpAddr,
}

impl Neighbour {
    fn message(self) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = family_of(self.address);
        message.header.ifindex = self.link;
        message.header.state = NeighbourState::Permanent;
        message.attributes = vec![
            NeighbourAttribute::Destination(to_netlink(self.address)),
            NeighbourAttribute::LinkLayerAddress(self.mac.0.to_vec()),
        ];
        message
    }
}

impl Proxied {
    fn message(self) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = family_of(self.address);
        message.header.ifindex = self.link;
        message.header.flags = NeighbourFlags::Proxy;
        message.attributes = vec![
            NeighbourAttribute::Destination(to_netlink(self.address)),
            // The mark of what is ours: the link is not.
            NeighbourAttribute::Protocol(OURS),
        ];
        message
    }
}

impl FdbEntry {
    fn message(self) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.header.ifindex = self.link;
        message.header.state = NeighbourState::Permanent;
        message.header.flags = NeighbourFlags::Own;
        message.attributes = vec![
            NeighbourAttribute::LinkLayerAddress(self.mac.0.to_vec()),
            NeighbourAttribute::Destination(to_netlink(self.remote)),
        ];
        message
    }
}

impl Channel {
    /// Permanent neighbours on one link.
    pub(crate) fn neighbours(&mut self, link: u32) -> Result<Vec<Neighbour>, NetlinkError> {
        let mut filter = NeighbourMessage::default();
        filter.attributes.push(NeighbourAttribute::IfIndex(link));
        let answers = self.read_all("neighbours", &RouteNetlinkMessage::GetNeighbour(filter))?;
        let parsed = answers.iter().filter_map(|answer| {
            let (header, address, mac) = parse(answer)?;
            (header.ifindex == link && header.state == NeighbourState::Permanent).then_some(Neighbour {
                link,
                address,
                mac,
            })
        });
        Ok(parsed.collect())
    }

    /// Addresses that we stand for, on all links.
    pub(crate) fn proxied(&mut self) -> Result<Vec<Proxied>, NetlinkError> {
        let mut filter = NeighbourMessage::default();
        filter.header.family = AddressFamily::Inet6;
        filter.header.flags = NeighbourFlags::Proxy;
        let answers = self.read_all("proxied neighbours", &RouteNetlinkMessage::GetNeighbour(filter))?;
        let parsed = answers.iter().filter_map(|answer| {
            let RouteNetlinkMessage::NewNeighbour(message) = answer else { return None };
            let is_ours = message.attributes.contains(&NeighbourAttribute::Protocol(OURS));
            let address = message.attributes.iter().find_map(|attribute| match attribute {
                NeighbourAttribute::Destination(destination) => from_netlink(destination),
                _ => None,
            });
            let is_proxied = message.header.flags.contains(NeighbourFlags::Proxy);
            (is_ours && is_proxied).then_some(Proxied { link: message.header.ifindex, address: address? })
        });
        Ok(parsed.collect())
    }

    pub(crate) fn put_proxied(&mut self, proxied: Proxied) -> Result<(), NetlinkError> {
        let what = || format!("stand for {}", proxied.address);
        let message = RouteNetlinkMessage::NewNeighbour(proxied.message());
        self.write(what, message, NLM_F_CREATE | NLM_F_REPLACE)
    }

    pub(crate) fn delete_proxied(&mut self, proxied: Proxied) -> Result<(), NetlinkError> {
        let what = || format!("stand for {} no more", proxied.address);
        self.write(what, RouteNetlinkMessage::DelNeighbour(proxied.message()), 0)
    }

    /// Forwarding entries of one VXLAN link.
    pub(crate) fn fdb(&mut self, link: u32) -> Result<Vec<FdbEntry>, NetlinkError> {
        let mut filter = NeighbourMessage::default();
        filter.header.family = AddressFamily::Bridge;
        filter.attributes.push(NeighbourAttribute::IfIndex(link));
        let answers = self.read_all("forwarding entries", &RouteNetlinkMessage::GetNeighbour(filter))?;
        let parsed = answers.iter().filter_map(|answer| {
            let (header, remote, mac) = parse(answer)?;
            (header.ifindex == link).then_some(FdbEntry { link, mac, remote })
        });
        Ok(parsed.collect())
    }

    pub(crate) fn put_neighbour(&mut self, neighbour: Neighbour) -> Result<(), NetlinkError> {
        let what = || format!("write neighbour {}", neighbour.address);
        let message = RouteNetlinkMessage::NewNeighbour(neighbour.message());
        self.write(what, message, NLM_F_CREATE | NLM_F_REPLACE)
    }

    pub(crate) fn delete_neighbour(&mut self, neighbour: Neighbour) -> Result<(), NetlinkError> {
        let what = || format!("delete neighbour {}", neighbour.address);
        self.write(what, RouteNetlinkMessage::DelNeighbour(neighbour.message()), 0)
    }

    pub(crate) fn put_fdb(&mut self, entry: FdbEntry) -> Result<(), NetlinkError> {
        let what = || format!("write forwarding entry {} to {}", entry.mac, entry.remote);
        let message = RouteNetlinkMessage::NewNeighbour(entry.message());
        self.write(what, message, NLM_F_CREATE | NLM_F_REPLACE)
    }

    pub(crate) fn delete_fdb(&mut self, entry: FdbEntry) -> Result<(), NetlinkError> {
        let what = || format!("delete forwarding entry {} to {}", entry.mac, entry.remote);
        self.write(what, RouteNetlinkMessage::DelNeighbour(entry.message()), 0)
    }
}

fn parse(
    answer: &RouteNetlinkMessage,
) -> Option<(&netlink_packet_route::neighbour::NeighbourHeader, IpAddr, Mac)> {
    let RouteNetlinkMessage::NewNeighbour(message) = answer else { return None };
    let (mut address, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(destination) => address = from_netlink(destination),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.as_slice().try_into().ok().map(Mac),
            _ => {}
        }
    }
    Some((&message.header, address?, mac?))
}

fn to_netlink(address: IpAddr) -> NeighbourAddress {
    match address {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    }
}

/// Forwarding entries are of the bridge family, whose addresses the decoder leaves as bytes.
fn from_netlink(address: &NeighbourAddress) -> Option<IpAddr> {
    match address {
        NeighbourAddress::Inet(address) => Some(IpAddr::V4(*address)),
        NeighbourAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        NeighbourAddress::Other(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(bytes.as_slice()).ok().map(IpAddr::from),
            16 => <[u8; 16]>::try_from(bytes.as_slice()).ok().map(IpAddr::from),
            _ => None,
        },
        _ => None,
    }
}
