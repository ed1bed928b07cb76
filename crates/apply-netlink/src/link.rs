//! Links: what the kernel has, and how they are made, changed and removed.

use std::net::IpAddr;
use std::os::fd::RawFd;
use std::time::Duration;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoPortData, InfoVeth, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
    State, VxlanDf,
};
use types::{LinkName, Mac};

use crate::channel::Channel;
use crate::port::PortSettings;
use crate::{LINK_ALIAS, NetlinkError};

/// How often the state of a link is looked at, and how long is waited in between: a second, the longest that the kernel
/// puts such work off.
const CARRIER_LOOKS: u32 = 1000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// A link as read back.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: LinkName,
    pub(crate) alias: Option<String>,
    pub(crate) kind: Option<InfoKind>,
    pub(crate) mac: Option<Mac>,
    pub(crate) mtu: u32,
    pub(crate) is_up: bool,
    /// Whether the kernel sends through it, and knows that it does.
    pub(crate) is_operational: bool,
    /// Index of the bridge it is a port of.
    pub(crate) bridge: Option<u32>,
    /// What that bridge does with it.
    pub(crate) port: Option<PortSettings>,
    pub(crate) tunnel: Option<Tunnel>,
}

/// What makes a VXLAN link that link; none of it can be changed later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tunnel {
    pub(crate) vni: u32,
    pub(crate) port: u16,
    pub(crate) local: Option<IpAddr>,
    pub(crate) is_learning: bool,
    /// Whether the outer IPv4 packet may be fragmented on the way.
    pub(crate) fragmenting: Fragmenting,
}

/// `IFLA_VXLAN_DF` of `linux/if_link.h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fragmenting {
    /// Always: routers on the way cut and hide that the path is narrow, until one of them does not.
    #[default]
    Allowed,
    /// As the inner packet says: what Pods forbid to cut is not cut, and the path tells its size or loses it; what they
    /// allow to cut still gets there.
    AsInner,
    /// Another value.
    Other(u8),
}

/// One end of a veth pair, to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VethEnd<'a> {
    pub(crate) name: &'a LinkName,
    pub(crate) mac: Option<Mac>,
    pub(crate) mtu: Option<u32>,
}

/// What is changed on a link that exists.
#[derive(Debug, Default)]
pub(crate) struct Change {
    message: LinkMessage,
}

impl Link {
    /// Whether it carries our alias and a name of ours.
    pub(crate) fn is_ours(&self) -> bool {
        self.alias.as_deref() == Some(LINK_ALIAS)
            && (self.name.0.starts_with("sl") || self.name.0.starts_with("sealane"))
    }

    /// Whether it is the host's end of a Pod, as far as its name tells.
    pub(crate) fn is_pod_link(&self) -> bool {
        self.name.0.starts_with("sl") && self.kind == Some(InfoKind::Veth)
    }

    fn parse(message: LinkMessage) -> Option<Self> {
        let mut link = Self {
            index: message.header.index,
            name: LinkName(String::new()),
            alias: None,
            kind: None,
            mac: None,
            mtu: 0,
            is_up: message.header.flags.contains(LinkFlags::Up),
            is_operational: false,
            bridge: None,
            port: None,
            tunnel: None,
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = LinkName(name),
                LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
                LinkAttribute::Address(bytes) => link.mac = bytes.try_into().ok().map(Mac),
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::OperState(state) => link.is_operational = state == State::Up,
                LinkAttribute::Controller(index) => link.bridge = Some(index),
                LinkAttribute::LinkInfo(infos) => link.read_infos(infos),
                _ => {}
            }
        }
        (!link.name.0.is_empty()).then_some(link)
    }

    fn read_infos(&mut self, infos: Vec<LinkInfo>) {
        for info in infos {
            match info {
                LinkInfo::Kind(kind) => self.kind = Some(kind),
                LinkInfo::Data(InfoData::Vxlan(fields)) => self.tunnel = Some(Tunnel::parse(&fields)),
                LinkInfo::PortData(InfoPortData::BridgePort(fields)) => {
                    self.port = Some(PortSettings::parse(&fields));
                }
                _ => {}
            }
        }
    }
}

impl Tunnel {
    fn parse(fields: &[InfoVxlan]) -> Self {
        let mut tunnel = Self::default();
        for field in fields {
            match field {
                InfoVxlan::Id(vni) => tunnel.vni = *vni,
                InfoVxlan::Port(port) => tunnel.port = *port,
                InfoVxlan::Local(address) => tunnel.local = Some(IpAddr::V4(*address)),
                InfoVxlan::Local6(address) => tunnel.local = Some(IpAddr::V6(*address)),
                InfoVxlan::Learning(is_on) => tunnel.is_learning = *is_on,
                InfoVxlan::Df(df) => tunnel.fragmenting = (*df).into(),
                _ => {}
            }
        }
        tunnel
    }
}

impl From<VxlanDf> for Fragmenting {
    fn from(df: VxlanDf) -> Self {
        match df {
            VxlanDf::Unset => Self::Allowed,
            VxlanDf::Inherit => Self::AsInner,
            other => Self::Other(other.into()),
        }
    }
}

impl From<Fragmenting> for VxlanDf {
    fn from(fragmenting: Fragmenting) -> Self {
        match fragmenting {
            Fragmenting::Allowed => Self::Unset,
            Fragmenting::AsInner => Self::Inherit,
            Fragmenting::Other(value) => value.into(),
        }
    }
}

impl Change {
    pub(crate) fn up(mut self) -> Self {
        self.message.header.flags |= LinkFlags::Up;
        self.message.header.change_mask |= LinkFlags::Up;
        self
    }

    pub(crate) fn mtu(self, mtu: u32) -> Self {
        self.with(LinkAttribute::Mtu(mtu))
    }

    pub(crate) fn mac(self, mac: Mac) -> Self {
        self.with(LinkAttribute::Address(mac.0.to_vec()))
    }

    /// Marks the link as ours; the kernel takes no alias when it makes a link.
    pub(crate) fn alias(self) -> Self {
        self.with(LinkAttribute::IfAlias(LINK_ALIAS.to_owned()))
    }

    pub(crate) fn bridge(self, index: u32) -> Self {
        self.with(LinkAttribute::Controller(index))
    }

    /// Whether nothing would change.
    pub(crate) fn is_empty(&self) -> bool {
        self.message.attributes.is_empty() && self.message.header.change_mask.is_empty()
    }

    fn with(mut self, attribute: LinkAttribute) -> Self {
        self.message.attributes.push(attribute);
        self
    }
}

impl Channel {
    pub(crate) fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let answers = self.read_all("links", &RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        Ok(answers.into_iter().filter_map(parse).collect())
    }

    pub(crate) fn link(&mut self, name: &LinkName) -> Result<Option<Link>, NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.0.clone()));
        match self.read_one(|| format!("read link {name}"), RouteNetlinkMessage::GetLink(message)) {
            Ok(answer) => Ok(answer.and_then(parse)),
            Err(error) if error.is_refusal(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Like [`Channel::link`], when the link must be there.
    pub(crate) fn existing_link(&mut self, name: &LinkName) -> Result<Link, NetlinkError> {
        self.link(name)?.ok_or_else(|| NetlinkError::NoLink { name: name.0.clone() })
    }

    /// Waits until the kernel sends through a link whose other end has come up.
    ///
    /// It learns of that by work of its own (`linkwatch_event` in `net/core/link_watch.c`), and until then drops what is
    /// to be sent. Asking for the link makes newer kernels do that work (`rtnl_getlink`, 6.13). Waiting has an end: on a
    /// machine that is slow beyond it, a first packet may have to be sent again.
    pub(crate) fn await_carrier(&mut self, name: &LinkName) -> Result<(), NetlinkError> {
        for _ in 0..CARRIER_LOOKS {
            if self.existing_link(name)?.is_operational {
                break;
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        Ok(())
    }

    /// Makes a veth pair whose `peer` is born inside the namespace `netns`; both are down (`veth_open` in the kernel's
    /// `veth.c` refuses to bring an end up before the other exists).
    pub(crate) fn make_veth(
        &mut self,
        end: VethEnd<'_>,
        peer: VethEnd<'_>,
        netns: RawFd,
    ) -> Result<(), NetlinkError> {
        let mut inner = end_message(peer);
        inner.attributes.push(LinkAttribute::NetNsFd(netns));
        let mut message = end_message(end);
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(inner))),
        ]));
        self.make(&format!("links {} and {}", end.name, peer.name), message)
    }

    pub(crate) fn make_bridge(&mut self, name: &LinkName, mac: Option<Mac>) -> Result<(), NetlinkError> {
        let mut message = named(name);
        message.attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
        self.make(&format!("bridge {name}"), message)
    }

    pub(crate) fn make_vxlan(
        &mut self,
        name: &LinkName,
        tunnel: Tunnel,
        mac: Mac,
        mtu: u32,
    ) -> Result<(), NetlinkError> {
        let mut fields = vec![
            InfoVxlan::Id(tunnel.vni),
            InfoVxlan::Port(tunnel.port),
            InfoVxlan::Learning(tunnel.is_learning),
            InfoVxlan::Df(tunnel.fragmenting.into()),
        ];
        fields.extend(tunnel.local.map(|local| match local {
            IpAddr::V4(address) => InfoVxlan::Local(address),
            IpAddr::V6(address) => InfoVxlan::Local6(address),
        }));
        let mut message = named(name);
        message.attributes.extend([
            LinkAttribute::Address(mac.0.to_vec()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Vxlan),
                LinkInfo::Data(InfoData::Vxlan(fields)),
            ]),
        ]);
        self.make(&format!("VXLAN link {name}"), message)
    }

    /// Changes a link.
    pub(crate) fn change_link(&mut self, link: &Link, mut change: Change) -> Result<(), NetlinkError> {
        change.message.header.index = link.index;
        let what = || format!("change link {}", link.name);
        self.write(what, RouteNetlinkMessage::SetLink(change.message), 0)
    }

    pub(crate) fn delete_link(&mut self, link: &Link) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        self.write(|| format!("delete link {}", link.name), RouteNetlinkMessage::DelLink(message), 0)
    }

    fn make(&mut self, what: &str, message: LinkMessage) -> Result<(), NetlinkError> {
        let what = || format!("make {what}");
        self.write(what, RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
    }
}

fn parse(answer: RouteNetlinkMessage) -> Option<Link> {
    match answer {
        RouteNetlinkMessage::NewLink(message) => Link::parse(message),
        _ => None,
    }
}

fn named(name: &LinkName) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.0.clone()));
    message
}

fn end_message(end: VethEnd<'_>) -> LinkMessage {
    let mut message = named(end.name);
    message.attributes.extend(end.mtu.map(LinkAttribute::Mtu));
    message.attributes.extend(end.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    message
}
