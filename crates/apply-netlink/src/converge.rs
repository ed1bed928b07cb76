//! A node's side of the Pod network: make the kernel's state equal to the plan, writing only what differs.

mod bridge;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netlink_packet_route::link::InfoKind;
use plan::{Failure, LocalAddress, PodNetwork, Report, Via, Vxlan};
use types::{IpFamily, LinkName, Prefix};

use crate::address::{LinkAddress, UseAsSource};
use crate::channel::Channel;
use crate::error::unless;
use crate::link::{Change, Fragmenting, Link, Tunnel};
use crate::neighbour::{FdbEntry, Neighbour, Proxied};
use crate::route::{ActualRoute, KernelRoute, Nexthop};
use crate::sysctl::{self, ReversePath, Setting};
use crate::{LINK_ALIAS, LOCAL_LINK, Netlink, NetlinkError};

impl Netlink {
    /// Makes links, addresses, neighbours, routes and settings of this node as planned.
    ///
    /// Reads back, compares, writes the difference, and removes what is ours and no longer planned. What fails is in
    /// the report and does not keep the rest from being done. Links and routes of single Pods are left alone, but for ports
    /// of the bridge, which are put back where they belong.
    pub fn converge(&mut self, plan: &PodNetwork) -> Report {
        let mut round = Round { channel: &mut self.channel, report: Report::default() };
        round.settings(plan);
        round.links(plan);
        match &plan.bridge {
            Some(bridge) => round.bridge(bridge),
            None => round.no_bridge(),
        }
        round.addresses(plan);
        if let Some(vxlan) = &plan.vxlan {
            round.tunnel_peers(plan, vxlan);
        }
        round.routes(plan);
        round.report
    }
}

/// One pass, and what came of it so far.
struct Round<'a> {
    channel: &'a mut Channel,
    report: Report,
}

impl Round<'_> {
    /// Does one thing, and counts it or notes why not.
    fn write(
        &mut self,
        what: impl Into<String>,
        action: impl FnOnce(&mut Channel) -> Result<(), NetlinkError>,
    ) {
        match action(self.channel) {
            Ok(()) => self.report.written += 1,
            Err(error) => self.fail(what, &error),
        }
    }

    fn fail(&mut self, what: impl Into<String>, error: &NetlinkError) {
        self.report.failures.push(Failure { what: what.into(), why: types::with_causes(error) });
    }

    /// What was read, or nothing and a note.
    fn read<T>(
        &mut self,
        what: &str,
        action: impl FnOnce(&mut Channel) -> Result<T, NetlinkError>,
    ) -> Option<T> {
        action(self.channel).map_err(|error| self.fail(what, &error)).ok()
    }

    fn put(&mut self, setting: &Setting) {
        match setting.put() {
            Ok(wrote) => self.report.written += usize::from(wrote),
            Err(error) => self.fail(format!("setting {}", setting.name()), &error),
        }
    }

    // === settings ===

    fn settings(&mut self, plan: &PodNetwork) {
        let families: BTreeSet<_> = plan.pod_cidrs.iter().map(|range| range.family()).collect();
        for family in families {
            match family {
                IpFamily::V4 => {
                    self.put(&sysctl::forward_v4());
                    sysctl::send_no_redirects().iter().for_each(|setting| self.put(setting));
                }
                IpFamily::V6 => {
                    self.heed_routers(plan);
                    self.put(&sysctl::forward_v6());
                }
            }
        }
        let Some(vxlan) = &plan.vxlan else { return };
        let Some(underlay) = self.read("underlay link", |channel| channel.link_with(vxlan.underlay)) else {
            return;
        };
        // A Pod's packet to another node's own address comes in by the underlay and is answered through the tunnel.
        // That is two ways, which the strict check takes for forgery.
        if let Some(link) = underlay
            && sysctl::is_strict(&link)
        {
            self.put(&sysctl::reverse_path(&link, ReversePath::Loose));
        }
    }

    /// Keeps a node that learns its own IPv6 route or address from a router on the network: before forwarding begins,
    /// not after, for the kernel drops such routes at that moment. Only where routers are to be believed: on the link
    /// to the other nodes, and where one has been heard. A container behind any other link could claim to be one.
    fn heed_routers(&mut self, plan: &PodNetwork) {
        if sysctl::forwards_v6() {
            // Whoever turned it on has decided; `sealane check` names the link.
            return;
        }
        let mut links = sysctl::links_with_routers();
        links.extend(plan.uplink.clone());
        for link in links.iter().filter(|link| sysctl::heeds_routers_as_host(link)) {
            self.put(&sysctl::heed_routers(link));
        }
    }

    // === links ===

    fn links(&mut self, plan: &PodNetwork) {
        let Some(links) = self.read("links", Channel::links) else { return };
        let local = LinkName::from(LOCAL_LINK);
        if !plan.local_addresses.is_empty() {
            self.local_link(&local, find(&links, &local));
        }
        if let Some(vxlan) = &plan.vxlan {
            self.tunnel_link(vxlan, find(&links, &vxlan.link));
            self.put(&sysctl::reverse_path(&vxlan.link, ReversePath::Loose));
            self.put(&sysctl::send_no_redirects_on(&vxlan.link));
        }
        let wanted = |link: &Link| {
            (link.name == local && !plan.local_addresses.is_empty())
                || plan.vxlan.as_ref().is_some_and(|vxlan| vxlan.link == link.name)
        };
        // Only these two kinds are made by this function; other links with our marks are Pods' or a lab's.
        let is_ours =
            |link: &&Link| link.is_ours() && (link.name == local || link.kind == Some(InfoKind::Vxlan));
        for link in links.iter().filter(is_ours).filter(|link| !wanted(link)) {
            self.write(format!("link {}", link.name), |channel| {
                unless(channel.delete_link(link), &[libc::ENODEV])
            });
        }
    }

    fn local_link(&mut self, name: &LinkName, actual: Option<&Link>) {
        let what = format!("link {name}");
        match actual {
            None => self.write(what, |channel| {
                channel.make_bridge(name, None)?;
                finish_link(channel, name)
            }),
            Some(link) if !may_adopt(link, &InfoKind::Bridge) => self.fail(what, &foreign(link)),
            Some(link) if !link.is_ours() || !link.is_up => {
                self.write(what, |channel| channel.change_link(link, Change::default().alias().up()));
            }
            Some(_) => {}
        }
    }

    fn tunnel_link(&mut self, vxlan: &Vxlan, actual: Option<&Link>) {
        let what = format!("link {}", vxlan.link);
        let tunnel = Tunnel {
            vni: vxlan.vni,
            port: vxlan.port,
            local: Some(vxlan.underlay),
            is_learning: false,
            fragmenting: Fragmenting::AsInner,
        };
        let make = |channel: &mut Channel| {
            channel.make_vxlan(&vxlan.link, tunnel, vxlan.mac, vxlan.mtu)?;
            finish_link(channel, &vxlan.link)
        };
        match actual {
            None => self.write(what, make),
            Some(link) if !may_adopt(link, &InfoKind::Vxlan) => self.fail(what, &foreign(link)),
            // Its identity cannot be changed, only made anew.
            Some(link) if link.tunnel != Some(tunnel) => self.write(what, |channel| {
                channel.delete_link(link)?;
                make(channel)
            }),
            Some(link) => self.adjust_tunnel(vxlan, link),
        }
    }

    fn adjust_tunnel(&mut self, vxlan: &Vxlan, actual: &Link) {
        // Only what differs: writing even the same link-layer address makes the kernel forget all neighbours.
        let mut change = Change::default();
        if actual.mac != Some(vxlan.mac) {
            change = change.mac(vxlan.mac);
        }
        if actual.mtu != vxlan.mtu {
            change = change.mtu(vxlan.mtu);
        }
        if !actual.is_ours() {
            change = change.alias();
        }
        if !actual.is_up {
            change = change.up();
        }
        if !change.is_empty() {
            self.write(format!("link {}", actual.name), |channel| channel.change_link(actual, change));
        }
    }

    // === addresses ===

    fn addresses(&mut self, plan: &PodNetwork) {
        let Some(links) = self.read("links", Channel::links) else { return };
        let Some(held) = self.read("addresses", Channel::addresses) else { return };
        let local = owned(&links, &LinkName::from(LOCAL_LINK), &InfoKind::Bridge);
        let tunnel = plan
            .vxlan
            .as_ref()
            .and_then(|vxlan| Some((owned(&links, &vxlan.link, &InfoKind::Vxlan)?, &vxlan.addresses)));
        let mut wanted = BTreeSet::new();
        if let Some(link) = local {
            let addresses = plan.local_addresses.keys();
            wanted.extend(addresses.map(|address| LinkAddress::host(link, *address, UseAsSource::Never)));
        }
        if let Some((link, addresses)) = tunnel {
            let inner = |address: &IpAddr| LinkAddress::host(link, *address, UseAsSource::Anywhere);
            wanted.extend(addresses.iter().map(inner));
        }
        let on_ours = |address: &&LinkAddress| {
            Some(address.link) == local || tunnel.is_some_and(|(link, _)| link == address.link)
        };
        let expected: BTreeSet<_> = wanted.iter().map(|address| address.as_read_back()).collect();
        let surplus = held.iter().filter(on_ours).filter(|address| !expected.contains(address));
        // An address that is held with another prefix length would be in the way. The others go last: with the last
        // address of a link the kernel removes every route and neighbour of that family on it.
        let (in_the_way, surplus): (Vec<_>, Vec<_>) =
            surplus.partition(|held| wanted.iter().any(|wanted| wanted.address == held.address));
        self.remove_addresses(&in_the_way);
        for address in wanted.iter().filter(|address| !held.contains(&address.as_read_back())) {
            self.write(format!("address {}", address.address), |channel| channel.add_address(*address));
        }
        self.remove_addresses(&surplus);
        self.proxied(plan, &links);
    }

    /// LoadBalancer addresses of IPv6 are on a link of ours, and neighbours ask on another.
    fn proxied(&mut self, plan: &PodNetwork, links: &[Link]) {
        let link = plan.uplink.as_ref().and_then(|name| find(links, name));
        let is_balanced = |held: &LocalAddress| *held == LocalAddress::LoadBalancer;
        let addresses =
            plan.local_addresses.iter().filter(|(address, held)| address.is_ipv6() && is_balanced(held));
        let wanted: BTreeSet<Proxied> = link
            .into_iter()
            .flat_map(|link| {
                addresses.clone().map(|(address, _)| Proxied { link: link.index, address: *address })
            })
            .collect();
        if let (Some(name), false) = (&plan.uplink, wanted.is_empty()) {
            sysctl::answer_for_neighbours(name).iter().for_each(|setting| self.put(setting));
        }
        let Some(actual) = self.read("proxied neighbours", Channel::proxied) else { return };
        let actual: BTreeSet<Proxied> = actual.into_iter().collect();
        for proxied in wanted.difference(&actual) {
            self.write(format!("neighbour {}", proxied.address), |channel| channel.put_proxied(*proxied));
        }
        for proxied in actual.difference(&wanted) {
            self.write(format!("neighbour {}", proxied.address), |channel| {
                unless(channel.delete_proxied(*proxied), &[libc::ENOENT])
            });
        }
    }

    fn remove_addresses(&mut self, addresses: &[&LinkAddress]) {
        for address in addresses {
            self.write(format!("address {}", address.address), |channel| {
                unless(channel.delete_address(**address), &[libc::EADDRNOTAVAIL])
            });
        }
    }

    // === neighbours and forwarding entries ===

    fn tunnel_peers(&mut self, plan: &PodNetwork, vxlan: &Vxlan) {
        let Some(links) = self.read("links", Channel::links) else { return };
        // Without the link, its own failure is in the report already; so too below.
        let Some(link) = owned(&links, &vxlan.link, &InfoKind::Vxlan) else { return };
        let paths =
            plan.peers.values().flat_map(|peer| peer.paths.values().map(move |path| (peer, path.via)));
        let peers = paths.filter_map(|(peer, via)| match via {
            Via::Vxlan { address, mac } => Some((address, mac, peer.underlay)),
            Via::Direct { .. } => None,
        });
        let (mut neighbours, mut fdb) = (BTreeSet::new(), BTreeSet::new());
        for (address, mac, remote) in peers {
            neighbours.insert(Neighbour { link, address, mac });
            fdb.insert(FdbEntry { link, mac, remote });
        }
        if let Some(actual) = self.read("forwarding entries", |channel| channel.fdb(link)) {
            self.forwarding(&fdb, &actual.into_iter().collect());
        }
        if let Some(actual) = self.read("neighbours", |channel| channel.neighbours(link)) {
            self.neighbours(&neighbours, &actual.into_iter().collect());
        }
    }

    fn forwarding(&mut self, wanted: &BTreeSet<FdbEntry>, actual: &BTreeSet<FdbEntry>) {
        let name = |entry: &FdbEntry| format!("forwarding entry {} to {}", entry.mac, entry.remote);
        for entry in wanted.difference(actual) {
            self.write(name(entry), |channel| channel.put_fdb(*entry));
        }
        // Replacing has removed entries of the same link-layer address already.
        let replaced: BTreeSet<_> = wanted.iter().map(|entry| entry.mac).collect();
        for entry in actual.iter().filter(|entry| !replaced.contains(&entry.mac)) {
            self.write(name(entry), |channel| unless(channel.delete_fdb(*entry), &[libc::ENOENT]));
        }
    }

    fn neighbours(&mut self, wanted: &BTreeSet<Neighbour>, actual: &BTreeSet<Neighbour>) {
        for neighbour in wanted.difference(actual) {
            self.write(format!("neighbour {}", neighbour.address), |channel| {
                channel.put_neighbour(*neighbour)
            });
        }
        let kept: BTreeSet<_> = wanted.iter().map(|neighbour| neighbour.address).collect();
        // The kernel itself adds permanent entries for multicast.
        let is_surplus =
            |neighbour: &&Neighbour| !kept.contains(&neighbour.address) && !neighbour.address.is_multicast();
        for neighbour in actual.iter().filter(is_surplus) {
            self.write(format!("neighbour {}", neighbour.address), |channel| {
                unless(channel.delete_neighbour(*neighbour), &[libc::ENOENT])
            });
        }
    }

    // === routes ===

    fn routes(&mut self, plan: &PodNetwork) {
        let Some(links) = self.read("links", Channel::links) else { return };
        let vxlan = plan.vxlan.as_ref();
        let tunnel = vxlan.and_then(|vxlan| owned(&links, &vxlan.link, &InfoKind::Vxlan));
        let mut wanted = Vec::new();
        let paths = plan.peers.values().flat_map(|peer| peer.paths.iter().map(move |path| (peer, path)));
        for (peer, (destination, path)) in paths {
            let nexthop = match path.via {
                Via::Direct { nexthop } => Nexthop::Via(nexthop),
                Via::Vxlan { address, .. } => {
                    let Some(tunnel) = tunnel else { continue };
                    Nexthop::ViaOnLink(address, tunnel)
                }
            };
            wanted.push(KernelRoute::new(*destination, nexthop).with_mtu(peer.route_mtu(*destination, path)));
        }
        if let Some(bridge) = &plan.bridge
            && let Some(link) = owned(&links, &bridge.link, &InfoKind::Bridge)
        {
            wanted.extend(bridge.routes.iter().map(|range| KernelRoute::new(*range, Nexthop::Link(link))));
        }
        let pod_links: BTreeSet<_> =
            links.iter().filter(|link| link.is_pod_link()).map(|link| link.index).collect();
        for family in [IpFamily::V4, IpFamily::V6] {
            let Some(mut actual) = self.read("routes", |channel| channel.routes(family)) else { continue };
            // Routes to this node's own Pods are the CNI plugin's.
            actual.retain(|route| !route.link.is_some_and(|link| pod_links.contains(&link)));
            let wanted: Vec<_> = wanted.iter().filter(|route| route.destination.family() == family).collect();
            self.routes_of_family(&wanted, &actual);
        }
    }

    fn routes_of_family(&mut self, wanted: &[&KernelRoute], actual: &[ActualRoute]) {
        let by_destination: BTreeMap<Prefix, &ActualRoute> =
            actual.iter().map(|route| (route.destination, route)).collect();
        for route in wanted {
            let what = || format!("route {}", route.destination);
            match by_destination.get(&route.destination) {
                Some(actual) if route.is(actual) => {}
                Some(_) => self.write(what(), |channel| channel.replace_route(route)),
                None => self.write(what(), |channel| channel.add_route(route)),
            }
        }
        let kept: BTreeSet<Prefix> = wanted.iter().map(|route| route.destination).collect();
        for route in actual.iter().filter(|route| !kept.contains(&route.destination)) {
            self.write(format!("route {}", route.destination), |channel| {
                unless(channel.delete_route(route.destination), &[libc::ESRCH])
            });
        }
    }
}

fn find<'a>(links: &'a [Link], name: &LinkName) -> Option<&'a Link> {
    links.iter().find(|link| link.name == *name)
}

/// Index of a link that is ours and of this kind.
fn owned(links: &[Link], name: &LinkName, kind: &InfoKind) -> Option<u32> {
    let link = find(links, name)?;
    (link.is_ours() && link.kind.as_ref() == Some(kind)).then_some(link.index)
}

/// Whether a link of our name is ours, or was left half made by a sealane that was killed between two steps.
fn may_adopt(link: &Link, kind: &InfoKind) -> bool {
    link.kind.as_ref() == Some(kind) && (link.is_ours() || link.alias.is_none())
}

fn foreign(link: &Link) -> NetlinkError {
    let reason = match &link.alias {
        Some(alias) if alias != LINK_ALIAS => format!("its alias is `{alias}`; rename or delete it"),
        _ => "it is of another kind; rename or delete it".to_owned(),
    };
    NetlinkError::ForeignLink { name: link.name.0.clone(), reason }
}

/// Marks a new link as ours and brings it up.
fn finish_link(channel: &mut Channel, name: &LinkName) -> Result<(), NetlinkError> {
    let link = channel.existing_link(name)?;
    channel.change_link(&link, Change::default().alias().up())
}
