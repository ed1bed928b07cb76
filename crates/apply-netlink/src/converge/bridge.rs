//! The bridge that Pods are ports of: its link, its ports, and where each Pod is.

use std::collections::BTreeSet;

use netlink_packet_route::link::InfoKind;
use plan::PodBridge;
use types::{LinkName, POD_BRIDGE};

use super::{Round, find, finish_link, foreign, may_adopt, owned};
use crate::channel::Channel;
use crate::error::unless;
use crate::link::{Change, Link};
use crate::neighbour::Neighbour;
use crate::port::{POD_PORT, PortEntry};
use crate::sysctl::{self, ReversePath};

impl Round<'_> {
    /// Link, ports, and what is written down of them.
    pub(super) fn bridge(&mut self, bridge: &PodBridge) {
        let Some(mut links) = self.read("links", Channel::links) else { return };
        let written = self.report.written;
        self.bridge_link(bridge, find(&links, &bridge.link));
        if self.report.written > written {
            let Some(anew) = self.read("links", Channel::links) else { return };
            links = anew;
        }
        // Without the link, its own failure is in the report already.
        let Some(index) = owned(&links, &bridge.link, &InfoKind::Bridge) else { return };
        self.put(&sysctl::reverse_path(&bridge.link, ReversePath::Strict));
        self.put(&sysctl::forward_from(&bridge.link));
        self.put(&sysctl::send_no_redirects_on(&bridge.link));
        let ports: Vec<(&Link, &plan::BridgePort)> = (bridge.ports.iter())
            .filter_map(|(name, port)| Some((find(&links, name).filter(|link| link.is_pod_link())?, port)))
            .collect();
        for (link, _) in &ports {
            self.port(link, index);
        }
        self.bridge_mtu(&links, index);
        // Read before the forwarding entries: ADD writes them in the other order, and what it just wrote is no leftover.
        let Some(neighbours) = self.read("neighbours", |channel| channel.neighbours(index)) else { return };
        let Some(known) = self.read("forwarding entries", |channel| channel.port_entries(index)) else {
            return;
        };
        let wanted: BTreeSet<PortEntry> =
            ports.iter().map(|(link, port)| PortEntry { port: link.index, mac: port.mac }).collect();
        let known: BTreeSet<PortEntry> = known.into_iter().collect();
        self.port_entries(&wanted, &known);
        let wanted: BTreeSet<Neighbour> = (ports.iter())
            .flat_map(|(_, port)| port.addresses.iter().map(|address| (*address, port.mac)))
            .map(|(address, mac)| Neighbour { link: index, address, mac })
            .collect();
        let is_here = |neighbour: &Neighbour| known.iter().any(|entry| entry.mac == neighbour.mac);
        let arriving = neighbours.iter().filter(|neighbour| is_here(neighbour)).copied();
        let kept: BTreeSet<Neighbour> = wanted.iter().copied().chain(arriving).collect();
        self.pod_neighbours(&wanted, &kept, &neighbours);
    }

    /// Removes the bridge once no Pod is on it, whether or not we know of that Pod.
    pub(super) fn no_bridge(&mut self) {
        let Some(links) = self.read("links", Channel::links) else { return };
        let name = LinkName::from(POD_BRIDGE);
        let Some(index) = owned(&links, &name, &InfoKind::Bridge) else { return };
        if let Some(link) =
            find(&links, &name).filter(|_| !links.iter().any(|link| link.bridge == Some(index)))
        {
            self.write(format!("link {name}"), |channel| unless(channel.delete_link(link), &[libc::ENODEV]));
        }
    }

    fn bridge_link(&mut self, bridge: &PodBridge, actual: Option<&Link>) {
        let name = &bridge.link;
        let what = format!("link {name}");
        match actual {
            None => self.write(what, |channel| {
                channel.make_bridge(name, Some(bridge.mac))?;
                // While it is down: an address that the kernel has given stays.
                sysctl::no_link_local(name).map_or(Ok(false), |setting| setting.put())?;
                finish_link(channel, name)
            }),
            Some(link) if !may_adopt(link, &InfoKind::Bridge) => self.fail(what, &foreign(link)),
            Some(link) => {
                if let Some(setting) = sysctl::no_link_local(name) {
                    self.put(&setting);
                }
                let mut change = Change::default();
                if link.mac != Some(bridge.mac) {
                    change = change.mac(bridge.mac);
                }
                if !link.is_ours() {
                    change = change.alias();
                }
                if !link.is_up {
                    change = change.up();
                }
                if !change.is_empty() {
                    self.write(what, |channel| channel.change_link(link, change));
                }
            }
        }
    }

    fn port(&mut self, link: &Link, bridge: u32) {
        let what = format!("port {}", link.name);
        if link.bridge != Some(bridge) {
            self.write(what, |channel| channel.make_port(link, bridge));
        } else if link.port != Some(POD_PORT) {
            self.write(what, |channel| channel.settle_port(link));
        }
    }

    /// The kernel gives a bridge the least MTU of its ports, unless somebody has set another.
    fn bridge_mtu(&mut self, links: &[Link], index: u32) {
        let least = links.iter().filter(|link| link.bridge == Some(index)).map(|link| link.mtu).min();
        let Some(bridge) = links.iter().find(|link| link.index == index) else { return };
        if let Some(least) = least.filter(|least| *least != bridge.mtu) {
            self.write(format!("link {}", bridge.name), |channel| {
                channel.change_link(bridge, Change::default().mtu(least))
            });
        }
    }

    fn port_entries(&mut self, wanted: &BTreeSet<PortEntry>, known: &BTreeSet<PortEntry>) {
        let name = |entry: &PortEntry| format!("forwarding entry {}", entry.mac);
        for entry in wanted.difference(known) {
            self.write(name(entry), |channel| channel.put_port_entry(*entry));
        }
        // A port that is not planned may be one that ADD is making.
        let is_planned = |entry: &&PortEntry| wanted.iter().any(|wanted| wanted.port == entry.port);
        for entry in known.difference(wanted).filter(is_planned) {
            self.write(name(entry), |channel| unless(channel.delete_port_entry(*entry), &[libc::ENOENT]));
        }
    }

    fn pod_neighbours(
        &mut self,
        wanted: &BTreeSet<Neighbour>,
        kept: &BTreeSet<Neighbour>,
        actual: &[Neighbour],
    ) {
        let name = |neighbour: &Neighbour| format!("neighbour {}", neighbour.address);
        for neighbour in wanted.iter().filter(|wanted| !actual.contains(wanted)) {
            self.write(name(neighbour), |channel| channel.put_neighbour(*neighbour));
        }
        let is_surplus = |neighbour: &&Neighbour| {
            let is_kept = |kept: &Neighbour| kept.address == neighbour.address;
            // The kernel itself adds permanent entries for multicast.
            !kept.iter().any(is_kept) && !neighbour.address.is_multicast()
        };
        for neighbour in actual.iter().filter(is_surplus) {
            self.write(name(neighbour), |channel| {
                unless(channel.delete_neighbour(*neighbour), &[libc::ENOENT])
            });
        }
    }
}
