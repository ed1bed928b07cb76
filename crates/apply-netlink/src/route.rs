//! Routes of ours in the main table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteProtocol,
    RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use types::{IpFamily, Prefix};

use crate::address::family_of;
use crate::channel::Channel;
use crate::{NetlinkError, ROUTE_PROTOCOL};

pub(crate) const OURS: RouteProtocol = RouteProtocol::Other(ROUTE_PROTOCOL);

/// A route to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KernelRoute {
    pub(crate) destination: Prefix,
    pub(crate) nexthop: Nexthop,
    /// Larger packets do not get there in one piece, although the link would carry them.
    pub(crate) mtu: Option<u32>,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nexthop {
    /// The destination itself is on the link with this index.
    Link(u32),
    /// Through this neighbour, on whichever link it is.
    Via(IpAddr),
    /// Through this neighbour on this link, whatever the addresses of the link say.
    ViaOnLink(IpAddr, u32),
}

/// A route as read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ActualRoute {
    pub(crate) destination: Prefix,
    via: Option<IpAddr>,
    pub(crate) link: Option<u32>,
    is_onlink: bool,
    mtu: Option<u32>,
}

impl KernelRoute {
    /// A route without an MTU of its own.
    pub(crate) fn new(destination: Prefix, nexthop: Nexthop) -> Self {
        Self { destination, nexthop, mtu: None }
    }

    /// The same with an MTU.
    pub(crate) fn with_mtu(self, mtu: u32) -> Self {
        Self { mtu: Some(mtu), ..self }
    }

    fn message(&self, protocol: RouteProtocol) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: family_of(self.destination.first()),
            destination_prefix_length: self.destination.len(),
            table: RouteHeader::RT_TABLE_MAIN,
            protocol,
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        message.attributes.push(RouteAttribute::Destination(self.destination.first().into()));
        match self.nexthop {
            Nexthop::Link(link) => {
                message.header.scope = RouteScope::Link;
                message.attributes.push(RouteAttribute::Oif(link));
            }
            Nexthop::Via(address) => message.attributes.push(RouteAttribute::Gateway(address.into())),
            Nexthop::ViaOnLink(address, link) => {
                message.header.flags = RouteFlags::Onlink;
                message.attributes.push(RouteAttribute::Gateway(address.into()));
                message.attributes.push(RouteAttribute::Oif(link));
            }
        }
        if let Some(mtu) = self.mtu {
            message.attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
        }
        message
    }

    /// Whether the kernel's route is this one.
    pub(crate) fn is(&self, actual: &ActualRoute) -> bool {
        let nexthop = match self.nexthop {
            Nexthop::Link(link) => actual.via.is_none() && actual.link == Some(link),
            Nexthop::Via(address) => actual.via == Some(address) && !actual.is_onlink,
            Nexthop::ViaOnLink(address, link) => {
                actual.via == Some(address) && actual.link == Some(link) && actual.is_onlink
            }
        };
        nexthop && self.destination == actual.destination && self.mtu == actual.mtu
    }
}

impl ActualRoute {
    fn parse(message: &RouteMessage) -> Option<Self> {
        let is_ours = message.header.protocol == OURS && message.header.table == RouteHeader::RT_TABLE_MAIN;
        let unspecified: IpAddr = match message.header.address_family {
            AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
            AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
            _ => return None,
        };
        let (mut destination, mut via, mut link, mut mtu) = (unspecified, None, None, None);
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(address) => destination = ip(address)?,
                RouteAttribute::Gateway(address) => via = ip(address),
                RouteAttribute::Oif(index) => link = Some(*index),
                RouteAttribute::Metrics(metrics) => mtu = metrics.iter().find_map(mtu_of),
                _ => {}
            }
        }
        let destination = Prefix::new(destination, message.header.destination_prefix_length)?;
        let is_onlink = message.header.flags.contains(RouteFlags::Onlink);
        is_ours.then_some(Self { destination, via, link, is_onlink, mtu })
    }
}

impl Channel {
    /// All routes with our protocol number in the main table.
    pub(crate) fn routes(&mut self, family: IpFamily) -> Result<Vec<ActualRoute>, NetlinkError> {
        let mut filter = RouteMessage::default();
        filter.header.address_family = match family {
            IpFamily::V4 => AddressFamily::Inet,
            IpFamily::V6 => AddressFamily::Inet6,
        };
        filter.header.table = RouteHeader::RT_TABLE_MAIN;
        filter.header.protocol = OURS;
        let answers = match self.read_all("routes", &RouteNetlinkMessage::GetRoute(filter)) {
            // The kernel has no main table before its first route.
            Err(error) if error.is_refusal(libc::ENOENT) => Vec::new(),
            answers => answers?,
        };
        let parsed = answers.iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(message) => ActualRoute::parse(message),
            _ => None,
        });
        // A kernel without IPv6 answers a question about it with all that it has.
        Ok(parsed.filter(|route| route.destination.family() == family).collect())
    }

    /// Adds a route; refused when there is another for the same destination, whoever made it.
    pub(crate) fn add_route(&mut self, route: &KernelRoute) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewRoute(route.message(OURS));
        self.write(|| format!("add route {}", route.destination), message, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Adds a route as an administrator would: without our mark, so that it is nobody's to prune.
    pub(crate) fn add_static_route(&mut self, route: &KernelRoute) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewRoute(route.message(RouteProtocol::Static));
        self.write(|| format!("add route {}", route.destination), message, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Changes the nexthop of a route that is ours, without a moment in between.
    pub(crate) fn replace_route(&mut self, route: &KernelRoute) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewRoute(route.message(OURS));
        self.write(|| format!("replace route {}", route.destination), message, NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Deletes a route of ours; one of somebody else for the same destination stays.
    pub(crate) fn delete_route(&mut self, destination: Prefix) -> Result<(), NetlinkError> {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: family_of(destination.first()),
            destination_prefix_length: destination.len(),
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: OURS,
            // `ip route del` says so too: any scope.
            scope: RouteScope::NoWhere,
            ..RouteHeader::default()
        };
        message.attributes.push(RouteAttribute::Destination(destination.first().into()));
        self.write(|| format!("delete route {destination}"), RouteNetlinkMessage::DelRoute(message), 0)
    }
}

fn mtu_of(metric: &RouteMetric) -> Option<u32> {
    match metric {
        RouteMetric::Mtu(mtu) => Some(*mtu),
        _ => None,
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}
