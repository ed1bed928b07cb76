//! One Pod as a port of the bridge: made by ADD, verified by CHECK, removed by DEL.
//!
//! The port learns nothing and is flooded with nothing: where a Pod is, is written down. A frame may leave by the port it
//! came in by, for a Service that leads a Pod back to itself. Which frames a Pod may send is for `apply-nft`.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::link::{
    InfoBridgePort, InfoKind, InfoPortData, InfoPortKind, LinkAttribute, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use types::{Attachment, IpFamily, LinkName, Mac, POD_BRIDGE, pod_bridge_mac};

use crate::channel::Channel;
use crate::error::unless;
use crate::link::{Change, Link};
use crate::neighbour::Neighbour;
use crate::{Netlink, NetlinkError};

/// What a bridge does with one of its ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PortSettings {
    /// Frames may leave by the port they came in by.
    is_hairpin: bool,
    /// Sources of frames are taken for the place of that address.
    is_learning: bool,
    /// Frames to an unknown address, to a group, and to everybody are sent here, too.
    is_flooded: [bool; 3],
}

/// The settings of every port that is a Pod.
pub(crate) const POD_PORT: PortSettings =
    PortSettings { is_hairpin: true, is_learning: false, is_flooded: [false; 3] };

impl PortSettings {
    pub(crate) fn parse(fields: &[InfoBridgePort]) -> Self {
        let mut port = Self::default();
        for field in fields {
            match field {
                InfoBridgePort::HairpinMode(is_on) => port.is_hairpin = *is_on,
                InfoBridgePort::Learning(is_on) => port.is_learning = *is_on,
                InfoBridgePort::UnicastFlood(is_on) => port.is_flooded[0] = *is_on,
                InfoBridgePort::MulticastFlood(is_on) => port.is_flooded[1] = *is_on,
                InfoBridgePort::BroadcastFlood(is_on) => port.is_flooded[2] = *is_on,
                _ => {}
            }
        }
        port
    }

    fn fields(self) -> Vec<InfoBridgePort> {
        let [unicast, multicast, broadcast] = self.is_flooded;
        vec![
            InfoBridgePort::HairpinMode(self.is_hairpin),
            InfoBridgePort::Learning(self.is_learning),
            InfoBridgePort::UnicastFlood(unicast),
            InfoBridgePort::MulticastFlood(multicast),
            InfoBridgePort::BroadcastFlood(broadcast),
        ]
    }
}

/// Where a bridge sends frames to a link-layer address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PortEntry {
    /// Index of the port.
    pub(crate) port: u32,
    pub(crate) mac: Mac,
}

impl PortEntry {
    fn message(self) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.header.ifindex = self.port;
        // `bridge fdb add … static`: kept, and not an address of the node.
        message.header.state = NeighbourState::Noarp;
        message.header.flags = NeighbourFlags::Controller;
        message.attributes = vec![NeighbourAttribute::LinkLayerAddress(self.mac.0.to_vec())];
        message
    }
}

impl Netlink {
    /// Makes the node's end of a Pod's link a port of the bridge, and brings it up.
    pub(crate) fn raise_port(&mut self, attachment: &Attachment) -> Result<(), NetlinkError> {
        let bridge = self.channel.pod_bridge()?;
        let link = self.channel.existing_link(&attachment.host_link)?;
        if let Some(rate) = attachment.bandwidth.ingress {
            self.channel.shape(link.index, rate)?;
        }
        self.channel.change_link(&link, Change::default().alias())?;
        self.channel.make_port(&link, bridge.index)?;
        self.channel.put_port_entry(PortEntry { port: link.index, mac: attachment.pod_mac })?;
        self.channel.change_link(&link, Change::default().up())
    }

    /// Lets the node find a Pod on the bridge.
    pub(crate) fn reach_port(&mut self, attachment: &Attachment) -> Result<(), NetlinkError> {
        let bridge = self.channel.pod_bridge()?;
        for address in &attachment.addresses {
            let (link, address, mac) = (bridge.index, *address, attachment.pod_mac);
            self.channel.put_neighbour(Neighbour { link, address, mac })?;
        }
        Ok(())
    }

    /// Removes what the node knows of a Pod that was on the bridge, after its link has gone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn forget_pod(&mut self, attachment: &Attachment) -> Result<(), NetlinkError> {
        let Some(bridge) = self.channel.link(&LinkName::from(POD_BRIDGE))?.filter(Link::is_ours) else {
            return Ok(());
        };
        let known = self.channel.neighbours(bridge.index)?;
        let is_theirs = |neighbour: &&Neighbour| {
            neighbour.mac == attachment.pod_mac && attachment.addresses.contains(&neighbour.address)
        };
        for neighbour in known.iter().filter(is_theirs) {
            unless(self.channel.delete_neighbour(*neighbour), &[libc::ENOENT])?;
        }
        Ok(())
    }

    /// What is missing of the node's side of a Pod on the bridge.
    pub(crate) fn verify_port(
        &mut self,
        link: &Link,
        attachment: &Attachment,
        missing: &mut Vec<String>,
    ) -> Result<(), NetlinkError> {
        let bridge = match self.channel.pod_bridge() {
            Ok(bridge) => bridge,
            Err(NetlinkError::NoLink { name }) => {
                missing.push(format!("bridge {name} of the node is missing"));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if bridge.mac != Some(pod_bridge_mac()) {
            missing.push(format!("{POD_BRIDGE} has another link-layer address than Pods have written down"));
        }
        let name = &link.name;
        if link.bridge != Some(bridge.index) {
            missing.push(format!("link {name} of the node is not a port of {POD_BRIDGE}"));
        } else if link.port != Some(POD_PORT) {
            missing.push(format!("link {name} of the node has other settings of a port than those of a Pod"));
        }
        let entry = PortEntry { port: link.index, mac: attachment.pod_mac };
        if !self.channel.port_entries(bridge.index)?.contains(&entry) {
            missing.push(format!("{POD_BRIDGE} does not know that {} is at {name}", entry.mac));
        }
        let neighbours = self.channel.neighbours(bridge.index)?;
        for address in &attachment.addresses {
            let known = Neighbour { link: bridge.index, address: *address, mac: attachment.pod_mac };
            if !neighbours.contains(&known) {
                missing.push(format!("the node does not know the link-layer address of {address}"));
            }
            if !self.leads_to(bridge.index, *address)? {
                missing.push(format!("the node has no route to {address}"));
            }
        }
        Ok(())
    }

    /// Whether the closest route of ours to an address leads to this link.
    fn leads_to(&mut self, link: u32, address: IpAddr) -> Result<bool, NetlinkError> {
        let routes = self.channel.routes(IpFamily::of(address))?;
        let covering = routes.iter().filter(|route| route.destination.contains(address));
        Ok(covering.max_by_key(|route| route.destination.len()).is_some_and(|route| route.link == Some(link)))
    }
}

impl Channel {
    /// The bridge that Pods are ports of, which the agent makes.
    pub(crate) fn pod_bridge(&mut self) -> Result<Link, NetlinkError> {
        let bridge = self.existing_link(&LinkName::from(POD_BRIDGE))?;
        match bridge.is_ours() && bridge.kind == Some(InfoKind::Bridge) {
            true => Ok(bridge),
            false => Err(NetlinkError::ForeignLink {
                name: POD_BRIDGE.to_owned(),
                reason: "it is no bridge with our alias; rename or delete it".into(),
            }),
        }
    }

    /// Makes a link a port of the bridge, as Pods are.
    pub(crate) fn make_port(&mut self, link: &Link, bridge: u32) -> Result<(), NetlinkError> {
        self.change_link(link, Change::default().bridge(bridge))?;
        self.settle_port(link)
    }

    /// Gives a port the settings that a Pod's has; the kernel takes them only from a port.
    pub(crate) fn settle_port(&mut self, link: &Link) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(POD_PORT.fields())),
        ]));
        let what = || format!("change port {}", link.name);
        self.write(what, RouteNetlinkMessage::NewLink(message), 0)
    }

    /// What is written down of where link-layer addresses are, on one bridge.
    pub(crate) fn port_entries(&mut self, bridge: u32) -> Result<Vec<PortEntry>, NetlinkError> {
        let mut filter = NeighbourMessage::default();
        filter.header.family = AddressFamily::Bridge;
        filter.attributes.push(NeighbourAttribute::Controller(bridge));
        let answers = self.read_all("forwarding entries", &RouteNetlinkMessage::GetNeighbour(filter))?;
        let parsed = answers.iter().filter_map(|answer| {
            let RouteNetlinkMessage::NewNeighbour(message) = answer else { return None };
            let is_here = |attribute: &NeighbourAttribute| {
                matches!(attribute, NeighbourAttribute::Controller(index) if *index == bridge)
            };
            let mac = message.attributes.iter().find_map(|attribute| match attribute {
                NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok().map(Mac),
                _ => None,
            })?;
            let is_written = message.header.state == NeighbourState::Noarp;
            (is_written && message.attributes.iter().any(is_here))
                .then_some(PortEntry { port: message.header.ifindex, mac })
        });
        Ok(parsed.collect())
    }

    pub(crate) fn put_port_entry(&mut self, entry: PortEntry) -> Result<(), NetlinkError> {
        let what = || format!("write forwarding entry {}", entry.mac);
        let message = RouteNetlinkMessage::NewNeighbour(entry.message());
        self.write(what, message, NLM_F_CREATE | NLM_F_REPLACE)
    }

    pub(crate) fn delete_port_entry(&mut self, entry: PortEntry) -> Result<(), NetlinkError> {
        let what = || format!("delete forwarding entry {}", entry.mac);
        self.write(what, RouteNetlinkMessage::DelNeighbour(entry.message()), 0)
    }
}
