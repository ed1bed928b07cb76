//! Addresses on links.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use types::IpFamily;

use crate::NetlinkError;
use crate::channel::Channel;

/// An address of a link, with the length of its subnet's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkAddress {
    pub(crate) link: u32,
    pub(crate) address: IpAddr,
    pub(crate) prefix_len: u8,
    pub(crate) use_as_source: UseAsSource,
}

/// Whether the kernel may choose an address as the source of packets that leave by another link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum UseAsSource {
    /// Yes: an ordinary address, scope `global`.
    Anywhere,
    /// No, scope `link`: it is only there to be answered.
    Never,
}

impl LinkAddress {
    /// An address alone, with no subnet.
    pub(crate) fn host(link: u32, address: IpAddr, use_as_source: UseAsSource) -> Self {
        Self { link, address, prefix_len: IpFamily::of(address).host_prefix_len(), use_as_source }
    }

    fn message(self) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.family = family_of(self.address);
        message.header.index = self.link;
        message.header.prefix_len = self.prefix_len;
        message.header.scope = match self.use_as_source {
            UseAsSource::Anywhere => AddressScope::Universe,
            UseAsSource::Never => AddressScope::Link,
        };
        if self.address.is_ipv6() {
            // Our addresses are unique by allocation; probing would only delay their use by a second.
            message.header.flags = AddressHeaderFlags::Nodad;
        }
        message.attributes =
            vec![AddressAttribute::Local(self.address), AddressAttribute::Address(self.address)];
        message
    }

    fn parse(message: &AddressMessage) -> Option<Self> {
        // For a link with a far end, `Address` is the far end's and `Local` is ours; IPv6 has `Address` only.
        let local = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        });
        let other = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        });
        let address = local.or(other)?;
        // For IPv6 the kernel derives the scope from the address itself and ignores ours.
        let use_as_source = match message.header.scope {
            AddressScope::Link if address.is_ipv4() => UseAsSource::Never,
            _ => UseAsSource::Anywhere,
        };
        let (link, prefix_len) = (message.header.index, message.header.prefix_len);
        Some(Self { link, address, prefix_len, use_as_source })
    }

    /// The same address as [`Channel::addresses`] would show it.
    pub(crate) fn as_read_back(self) -> Self {
        match self.address {
            IpAddr::V4(_) => self,
            IpAddr::V6(_) => Self { use_as_source: UseAsSource::Anywhere, ..self },
        }
    }
}

impl Channel {
    /// All addresses of the namespace, without the link-local ones that the kernel makes by itself for IPv6.
    pub(crate) fn addresses(&mut self) -> Result<BTreeSet<LinkAddress>, NetlinkError> {
        let answers =
            self.read_all("addresses", &RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
        let parsed = answers.iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(message) => LinkAddress::parse(message),
            _ => None,
        });
        let is_automatic =
            |address: IpAddr| matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        Ok(parsed.filter(|address| !is_automatic(address.address)).collect())
    }

    pub(crate) fn add_address(&mut self, address: LinkAddress) -> Result<(), NetlinkError> {
        let what = || format!("add address {}/{}", address.address, address.prefix_len);
        let message = RouteNetlinkMessage::NewAddress(address.message());
        self.write(what, message, NLM_F_CREATE | NLM_F_EXCL)
    }

    pub(crate) fn delete_address(&mut self, address: LinkAddress) -> Result<(), NetlinkError> {
        let what = || format!("delete address {}/{}", address.address, address.prefix_len);
        self.write(what, RouteNetlinkMessage::DelAddress(address.message()), 0)
    }
}

/// Address family in netlink's words.
pub(crate) fn family_of(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
