//! Settings under `/proc/sys/net` of the calling thread's namespace.

use std::collections::BTreeSet;
use std::{fs, io};

use types::LinkName;

use crate::NetlinkError;

/// One setting and its wanted value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    name: String,
    value: &'static str,
}

/// `rp_filter`: whether a packet is dropped when the way back to its source is another one (RFC 3704).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReversePath {
    /// Drop unless the way back is the same link.
    Strict,
    /// Drop only when there is no way back at all.
    Loose,
}

/// Forwarding of IPv4 packets.
pub(crate) fn forward_v4() -> Setting {
    Setting { name: "net/ipv4/ip_forward".into(), value: "1" }
}

/// Forwarding of IPv6 packets.
pub(crate) fn forward_v6() -> Setting {
    Setting { name: "net/ipv6/conf/all/forwarding".into(), value: "1" }
}

/// Whether IPv6 packets are forwarded now.
pub(crate) fn forwards_v6() -> bool {
    value_of(&forward_v6().name) == Some(1)
}

/// Router advertisements of one link are heeded although the node forwards (`accept_ra` 2): a link that takes them
/// only from others (1) gives up its default route at the moment when forwarding begins.
pub(crate) fn heed_routers(link: &LinkName) -> Setting {
    Setting { name: accept_ra(link), value: "2" }
}

/// Whether a link heeds router advertisements only as long as the node does not forward.
pub(crate) fn heeds_routers_as_host(link: &LinkName) -> bool {
    value_of(&accept_ra(link)) == Some(1)
}

fn accept_ra(link: &LinkName) -> String {
    format!("net/ipv6/conf/{link}/accept_ra")
}

/// A link's kernel answers who asks for neighbours that it stands for, and at once.
pub(crate) fn answer_for_neighbours(link: &LinkName) -> [Setting; 2] {
    [
        Setting { name: format!("net/ipv6/conf/{link}/proxy_ndp"), value: "1" },
        Setting { name: format!("net/ipv6/neigh/{link}/proxy_delay"), value: "0" },
    ]
}

/// Links with an IPv6 default route that a router advertised (RTF_DEFAULT and RTF_ADDRCONF of `linux/ipv6_route.h`).
pub(crate) fn links_with_routers() -> BTreeSet<LinkName> {
    const ADVERTISED: u32 = 0x0001_0000 | 0x0004_0000;
    let table = fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default();
    // The last two columns are flags and link (`rt6_info_route` in the kernel).
    let links = table.lines().filter_map(|line| {
        let mut columns = line.split_whitespace().rev();
        let (link, flags) = (columns.next()?, columns.next()?);
        let flags = u32::from_str_radix(flags, 16).ok()?;
        (flags & ADVERTISED == ADVERTISED).then(|| LinkName(link.to_owned()))
    });
    links.collect()
}

/// Forwarding of IPv4 packets that come in by one link.
pub(crate) fn forward_from(link: &LinkName) -> Setting {
    Setting { name: format!("net/ipv4/conf/{link}/forwarding"), value: "1" }
}

/// The settings under which no link of ours, and none that nobody has set, tells senders of a better way.
///
/// A Pod that a Service leads back to itself is one for which there is no better way, and each such message counts
/// against the limit of ICMP errors to that Pod: refusals of UDP would then come late. A link sends them when its own
/// setting or the one for all links says so.
pub(crate) fn send_no_redirects() -> [Setting; 2] {
    [no_redirects("all"), no_redirects("default")]
}

/// The same of one link, which may be older than the setting for new links.
pub(crate) fn send_no_redirects_on(link: &LinkName) -> Setting {
    no_redirects(&link.0)
}

fn no_redirects(links: &str) -> Setting {
    Setting { name: format!("net/ipv4/conf/{links}/send_redirects"), value: "0" }
}

/// The reverse path check of one link; the kernel takes the higher of this and the one for all links.
pub(crate) fn reverse_path(link: &LinkName, check: ReversePath) -> Setting {
    let value = match check {
        ReversePath::Strict => "1",
        ReversePath::Loose => "2",
    };
    Setting { name: format!("net/ipv4/conf/{link}/rp_filter"), value }
}

/// No link-local IPv6 address of its own: a Pod's packet that leaves by the link it came in by would have the kernel tell
/// the Pod from that address to send straight to its neighbour (RFC 4861, section 8), which no rule allows. There is no
/// setting against that itself. None where the kernel has no IPv6.
pub(crate) fn no_link_local(link: &LinkName) -> Option<Setting> {
    let setting = Setting { name: format!("net/ipv6/conf/{link}/addr_gen_mode"), value: "1" };
    fs::exists(format!("/proc/sys/{}", setting.name)).unwrap_or(true).then_some(setting)
}

/// Whether the reverse path check of a link is strict now.
pub(crate) fn is_strict(link: &LinkName) -> bool {
    let read = |name: &str| value_of(&format!("net/ipv4/conf/{name}/rp_filter")).unwrap_or_default();
    read("all").max(read(&link.0)) == 1
}

fn value_of(name: &str) -> Option<u8> {
    fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().parse().ok()
}

impl Setting {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Writes the value unless it is there already; whether it wrote.
    pub(crate) fn put(&self) -> Result<bool, NetlinkError> {
        let path = format!("/proc/sys/{}", self.name);
        let put = || -> io::Result<bool> {
            if fs::read_to_string(&path)?.trim() == self.value {
                return Ok(false);
            }
            fs::write(&path, self.value)?;
            Ok(true)
        };
        put().map_err(|source| NetlinkError::Sysctl {
            name: self.name.clone(),
            value: self.value.to_owned(),
            source,
        })
    }
}
