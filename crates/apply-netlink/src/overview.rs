//! Everything a node's network is made of, ours or not, for whoever wants to judge it. Read only.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use netlink_packet_route::link::InfoKind;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use types::{LinkName, Mac, Prefix, SubnetAddress};

use crate::link::VethEnd;
use crate::{Netlink, NetlinkError, ROUTE_PROTOCOL};

/// Links and routes of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// All links.
    pub links: Vec<LinkOverview>,
    /// Routes of the main table.
    pub routes: Vec<RouteOverview>,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkOverview {
    /// Name.
    pub name: String,
    /// Kind, such as `vxlan`; empty for hardware.
    pub kind: String,
    /// It carries our marks.
    pub is_ours: bool,
    /// It is up.
    pub is_up: bool,
    /// MTU in bytes.
    pub mtu: u32,
    /// Its addresses.
    pub addresses: Vec<SubnetAddress>,
    /// UDP port of a VXLAN link, and its own address.
    pub tunnel: Option<(u16, Option<IpAddr>)>,
}

/// A route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteOverview {
    /// Where to.
    pub destination: Prefix,
    /// Name of the link; empty when there is none.
    pub link: String,
    /// It carries our protocol number.
    pub is_ours: bool,
}

impl Netlink {
    /// Reads all links, their addresses, and the main table of both families.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn overview(&mut self) -> Result<Overview, NetlinkError> {
        let links = self.channel.links()?;
        let held = self.channel.addresses()?;
        let name_of = |index: u32| {
            let link = links.iter().find(|link| link.index == index);
            link.map(|link| link.name.to_string()).unwrap_or_default()
        };
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut filter = RouteMessage::default();
            filter.header.address_family = family;
            filter.header.table = RouteHeader::RT_TABLE_MAIN;
            let answers = match self.channel.read_all("routes", &RouteNetlinkMessage::GetRoute(filter)) {
                // The kernel has no main table before its first route.
                Err(error) if error.is_refusal(libc::ENOENT) => Vec::new(),
                answers => answers?,
            };
            let found = answers.iter().filter_map(|answer| match answer {
                RouteNetlinkMessage::NewRoute(message) if message.header.address_family == family => {
                    route(message)
                }
                _ => None,
            });
            routes.extend(found.map(|(destination, index, is_ours)| RouteOverview {
                destination,
                link: index.map(name_of).unwrap_or_default(),
                is_ours,
            }));
        }
        let links = links.iter().map(|link| LinkOverview {
            name: link.name.to_string(),
            kind: link.kind.as_ref().map(kind_word).unwrap_or_default(),
            is_ours: link.is_ours(),
            is_up: link.is_up,
            mtu: link.mtu,
            addresses: (held.iter().filter(|address| address.link == link.index))
                .filter_map(|address| SubnetAddress::new(address.address, address.prefix_len))
                .collect(),
            tunnel: link.tunnel.map(|tunnel| (tunnel.port, tunnel.local)),
        });
        Ok(Overview { links: links.collect(), routes })
    }

    /// Makes one link of each kind that a node needs, to see whether this kernel can; meant for a namespace that is
    /// thrown away.
    ///
    /// # Errors
    /// Never as a whole: each kind has its own outcome.
    pub fn try_links(&mut self) -> [(&'static str, Result<(), NetlinkError>); 3] {
        let vxlan = crate::link::Tunnel { vni: 1, port: 8472, ..crate::link::Tunnel::default() };
        let (bridge, tunnel) = (LinkName::from("try-bridge"), LinkName::from("try-vxlan"));
        [
            ("bridges", self.channel.make_bridge(&bridge, None)),
            ("veth pairs", self.try_veth()),
            ("VXLAN links", self.channel.make_vxlan(&tunnel, vxlan, Mac::derived("try"), 1400)),
        ]
    }
}

impl Netlink {
    fn try_veth(&mut self) -> Result<(), NetlinkError> {
        let own = File::open("/proc/thread-self/ns/net").map_err(NetlinkError::Socket)?;
        let (here, there) = (LinkName::from("try-veth"), LinkName::from("try-peer"));
        let end = |name| VethEnd { name, mac: None, mtu: None };
        self.channel.make_veth(end(&here), end(&there), own.as_raw_fd())
    }
}

fn kind_word(kind: &InfoKind) -> String {
    match kind {
        InfoKind::Vxlan => "vxlan".to_owned(),
        InfoKind::Veth => "veth".to_owned(),
        InfoKind::Bridge => "bridge".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn route(message: &RouteMessage) -> Option<(Prefix, Option<u32>, bool)> {
    if message.header.table != RouteHeader::RT_TABLE_MAIN {
        return None;
    }
    let (mut destination, mut link): (IpAddr, Option<u32>) = match message.header.address_family {
        AddressFamily::Inet => (Ipv4Addr::UNSPECIFIED.into(), None),
        _ => (Ipv6Addr::UNSPECIFIED.into(), None),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => destination = (*address).into(),
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => destination = (*address).into(),
            RouteAttribute::Oif(index) => link = Some(*index),
            _ => {}
        }
    }
    let is_ours = message.header.protocol == RouteProtocol::Other(ROUTE_PROTOCOL);
    Some((Prefix::new(destination, message.header.destination_prefix_length)?, link, is_ours))
}
