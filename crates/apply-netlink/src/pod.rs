//! One Pod's link: made by ADD, verified by CHECK, removed by DEL.
//!
//! The Pod's side has its addresses and a default route through an address that nobody has, whose link-layer address is
//! written down; so the Pod never asks for a neighbour. The node's side has a route to each address and no address. Or it is
//! a port of the bridge, whose link-layer address is then the gateway's: nothing else differs inside the Pod.
//!
//! The link may be larger than the path to other nodes. Then the default route has the path's MTU, so that TCP announces
//! a segment size and datagrams are cut into fragments that get everywhere, and only routes to what never leaves the
//! node have not. When the path becomes narrower, or such a range moves to another node, the node's own routes say so:
//! it answers packets that are too large (ICMP, RFC 1191 and RFC 8201), and the Pod's kernel remembers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use netns::{Netns, run_in};
use types::{Attachment, IpFamily, LinkName, Mac, NetworkMode, PodLink, Prefix, pod_bridge_mac};

use crate::address::{LinkAddress, UseAsSource};
use crate::error::unless;
use crate::link::{Change, Link, VethEnd};
use crate::neighbour::Neighbour;
use crate::route::{KernelRoute, Nexthop};
use crate::sysctl::{self, ReversePath};
use crate::underlay::everything;
use crate::{Netlink, NetlinkError};

/// The gateway that a Pod sees for IPv4: link-local (RFC 3927), the same in every Pod.
pub const POD_GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// The gateway that a Pod sees for IPv6: link-local (RFC 4291 section 2.5.6), the same in every Pod.
pub const POD_GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

impl Netlink {
    /// Makes the link between this namespace, the node's, and a Pod's, complete or not at all.
    ///
    /// # Errors
    /// [`NetlinkError::ForeignLink`] when the Pod has a link of that name already; otherwise what the kernel refused.
    pub fn attach(
        &mut self,
        netns: &Netns,
        attachment: &Attachment,
        link: &PodLink,
    ) -> Result<(), NetlinkError> {
        let end = |name, mac: Mac| VethEnd { name, mac: Some(mac), mtu: Some(link.mtu) };
        let host = end(&attachment.host_link, attachment.host_mac);
        let pod = end(&attachment.ifname, attachment.pod_mac);
        // When this fails, a link of that name may be somebody's, so nothing is removed.
        if let Err(error) = self.channel.make_veth(host, pod, netns.as_raw_fd()) {
            if error.is_refusal(libc::EEXIST) {
                run_in(netns, || refuse_existing(&attachment.ifname))??;
            }
            return Err(error);
        }
        let attached = self.join(netns, attachment, link);
        if attached.is_err() {
            // The first error counts; DEL or GC comes again for what cannot be removed now.
            let _ = self.detach(&attachment.host_link);
            let _ = self.forget_pod(attachment);
        }
        attached
    }

    /// Removes the link of a Pod with its routes; succeeds when it is gone already.
    ///
    /// # Errors
    /// When a link of that name is not a Pod's, or the kernel refuses.
    pub fn detach(&mut self, host_link: &LinkName) -> Result<(), NetlinkError> {
        match self.channel.link(host_link)? {
            None => Ok(()),
            Some(link) if link.is_pod_link() => unless(self.channel.delete_link(&link), &[libc::ENODEV]),
            Some(_) => Err(NetlinkError::ForeignLink {
                name: host_link.0.clone(),
                reason: "it is not one end of a veth pair".into(),
            }),
        }
    }

    /// Host links of all Pods of this node.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn pod_links(&mut self) -> Result<Vec<LinkName>, NetlinkError> {
        let links = self.channel.links()?;
        Ok(links
            .into_iter()
            .filter(|link| link.is_pod_link() && link.is_ours())
            .map(|link| link.name)
            .collect())
    }

    /// Compares the link of a Pod with what [`Netlink::attach`] made; an empty answer means that all is there.
    ///
    /// What others added to the Pod is not looked at.
    ///
    /// # Errors
    /// When the kernel cannot be asked or the namespace is gone.
    pub fn verify(&mut self, netns: &Netns, attachment: &Attachment) -> Result<Vec<String>, NetlinkError> {
        let mut missing = Vec::new();
        match self.channel.link(&attachment.host_link)? {
            None => missing.push(format!("link {} of the node is missing", attachment.host_link)),
            Some(link) => self.verify_host(&link, attachment, &mut missing)?,
        }
        missing.extend(run_in(netns, || verify_inside(attachment))??);
        Ok(missing)
    }

    /// The node's end comes up first, so that the Pod's can send from the moment it is up; nothing is led into the Pod
    /// before its routes are complete.
    fn join(&mut self, netns: &Netns, attachment: &Attachment, link: &PodLink) -> Result<(), NetlinkError> {
        match link.mode {
            NetworkMode::Routed => self.raise_routed(attachment)?,
            NetworkMode::Bridge => self.raise_port(attachment)?,
        }
        run_in(netns, || configure_inside(attachment, link))??;
        match link.mode {
            NetworkMode::Routed => self.route_pod(attachment)?,
            NetworkMode::Bridge => self.reach_port(attachment)?,
        }
        self.channel.await_carrier(&attachment.host_link)
    }

    fn raise_routed(&mut self, attachment: &Attachment) -> Result<(), NetlinkError> {
        let name = &attachment.host_link;
        let link = self.channel.existing_link(name)?;
        // Strict: a Pod cannot send with a source address that is not its own.
        sysctl::reverse_path(name, ReversePath::Strict).put()?;
        sysctl::forward_from(name).put()?;
        sysctl::send_no_redirects_on(name).put()?;
        if let Some(rate) = attachment.bandwidth.ingress {
            self.channel.shape(link.index, rate)?;
        }
        self.channel.change_link(&link, Change::default().alias().up())
    }

    fn route_pod(&mut self, attachment: &Attachment) -> Result<(), NetlinkError> {
        let link = self.channel.existing_link(&attachment.host_link)?;
        for address in &attachment.addresses {
            let (link, address, mac) = (link.index, *address, attachment.pod_mac);
            self.channel.put_neighbour(Neighbour { link, address, mac })?;
            let route = KernelRoute::new(Prefix::host(address), Nexthop::Link(link));
            self.channel.add_route(&route)?;
        }
        Ok(())
    }

    fn verify_host(
        &mut self,
        link: &Link,
        attachment: &Attachment,
        missing: &mut Vec<String>,
    ) -> Result<(), NetlinkError> {
        if !link.is_up {
            missing.push(format!("link {} of the node is down", link.name));
        }
        if link.mac != Some(attachment.host_mac) {
            missing.push(format!("link {} of the node has another link-layer address", link.name));
        }
        verify_mtu(link, attachment, "node", missing);
        let name = format!("link {} of the node", link.name);
        self.channel.verify_shaper((link.index, &name), attachment.bandwidth.ingress, missing)?;
        if attachment.is_bridged() {
            return self.verify_port(link, attachment, missing);
        }
        for address in &attachment.addresses {
            let route = KernelRoute::new(Prefix::host(*address), Nexthop::Link(link.index));
            if !self.channel.routes(IpFamily::of(*address))?.iter().any(|actual| route.is(actual)) {
                missing.push(format!("the node has no route to {address}"));
            }
        }
        Ok(())
    }
}

/// The gateway a Pod uses for an address family.
pub(crate) fn gateway(family: IpFamily) -> IpAddr {
    match family {
        IpFamily::V4 => POD_GATEWAY_V4.into(),
        IpFamily::V6 => POD_GATEWAY_V6.into(),
    }
}

fn refuse_existing(ifname: &LinkName) -> Result<(), NetlinkError> {
    let mut inside = Netlink::open()?;
    match inside.channel.link(ifname)? {
        None => Ok(()),
        Some(_) => Err(NetlinkError::ForeignLink {
            name: ifname.0.clone(),
            reason: "the Pod has a link of this name".into(),
        }),
    }
}

/// The Pod's routes of one family.
fn inside_routes(family: IpFamily, link: u32, pod_link: &PodLink) -> Vec<KernelRoute> {
    let gateway = gateway(family);
    let via = |destination| KernelRoute::new(destination, Nexthop::ViaOnLink(gateway, link));
    let default = via(everything(gateway));
    if pod_link.mtu <= pod_link.path_mtu {
        return vec![default];
    }
    let local = pod_link.local.iter().filter(|range| range.family() == family);
    std::iter::once(default.with_mtu(pod_link.path_mtu)).chain(local.map(|range| via(*range))).collect()
}

fn configure_inside(attachment: &Attachment, pod_link: &PodLink) -> Result<(), NetlinkError> {
    let channel = &mut Netlink::open()?.channel;
    let link = channel.existing_link(&attachment.ifname)?;
    if let Some(rate) = attachment.bandwidth.egress {
        channel.shape(link.index, rate)?;
    }
    channel.change_link(&link, Change::default().up())?;
    let link = link.index;
    for address in &attachment.addresses {
        let family = IpFamily::of(*address);
        channel.add_address(LinkAddress::host(link, *address, UseAsSource::Anywhere))?;
        let mac = match pod_link.mode {
            NetworkMode::Routed => attachment.host_mac,
            NetworkMode::Bridge => pod_bridge_mac(),
        };
        let address = gateway(family);
        channel.put_neighbour(Neighbour { link, address, mac })?;
        for route in inside_routes(family, link, pod_link) {
            channel.add_route(&route)?;
        }
    }
    Ok(())
}

fn verify_inside(attachment: &Attachment) -> Result<Vec<String>, NetlinkError> {
    let channel = &mut Netlink::open()?.channel;
    let Some(link) = channel.link(&attachment.ifname)? else {
        return Ok(vec![format!("link {} of the Pod is missing", attachment.ifname)]);
    };
    let mut missing = Vec::new();
    if !link.is_up {
        missing.push(format!("link {} of the Pod is down", link.name));
    }
    if link.mac != Some(attachment.pod_mac) {
        missing.push(format!("link {} of the Pod has another link-layer address", link.name));
    }
    verify_mtu(&link, attachment, "Pod", &mut missing);
    let name = format!("link {} of the Pod", link.name);
    channel.verify_shaper((link.index, &name), attachment.bandwidth.egress, &mut missing)?;
    let held = channel.addresses()?;
    for address in &attachment.addresses {
        let family = IpFamily::of(*address);
        if !held.contains(&LinkAddress::host(link.index, *address, UseAsSource::Anywhere)) {
            missing.push(format!("the Pod does not have address {address}"));
        }
        let routes = channel.routes(family)?;
        match &attachment.link {
            Some(pod_link) => {
                let wanted = inside_routes(family, link.index, pod_link);
                let lost = wanted.iter().filter(|route| !routes.iter().any(|actual| route.is(actual)));
                missing.extend(lost.map(|route| lost_route(route, gateway(family))));
            }
            // Made before MTUs were written down: any default route of ours will do.
            None if routes.iter().any(|actual| actual.destination == everything(gateway(family))) => {}
            None => missing.push(format!("the Pod has no default route through {}", gateway(family))),
        }
    }
    Ok(missing)
}

fn lost_route(route: &KernelRoute, gateway: IpAddr) -> String {
    let what = match route.destination.len() {
        0 => "default route".to_owned(),
        _ => format!("route to {}", route.destination),
    };
    let mtu = route.mtu.map(|mtu| format!(" with MTU {mtu}")).unwrap_or_default();
    format!("the Pod has no {what} through {gateway}{mtu}")
}

fn verify_mtu(link: &Link, attachment: &Attachment, whose: &str, missing: &mut Vec<String>) {
    if let Some(wanted) = &attachment.link
        && link.mtu != wanted.mtu
    {
        missing.push(format!(
            "link {} of the {whose} has MTU {} in place of {}",
            link.name, link.mtu, wanted.mtu
        ));
    }
}
