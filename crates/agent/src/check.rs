//! Looks at the node that this process runs on, for `engine-check` to judge. Nothing of the node is changed; what has to be
//! tried is tried in a network namespace that is thrown away.

mod files;
mod trials;

use std::collections::BTreeMap;
use std::path::PathBuf;

use apply_netlink::Netlink;
use apply_nft::{ForeignChain, ForeignHook, Nft};
use engine_check::{Chain, CniFile, Hook, Link, Policy, Route, Seen};
use netns::Netns;
use types::{AgentRequest, IpFamily, with_causes};

pub use engine_check::{CheckResult, Expected, Verdict};

/// Where to look, and what is known of the cluster.
#[derive(Clone, Debug)]
pub struct CheckSettings {
    /// The node's network namespace; the caller's own if there is none.
    pub netns: Option<PathBuf>,
    /// The agent's state directory.
    pub state_dir: PathBuf,
    /// Where the container runtime looks for CNI configurations; none is not looked at.
    pub cni_config_dir: Option<PathBuf>,
    /// What is known of the cluster; ranges of which none are named are taken from the node.
    pub expected: Expected,
}

/// Looks, and judges.
///
/// # Errors
/// When the namespace cannot be entered, or links and routes cannot be read at all.
pub fn check(settings: &CheckSettings) -> anyhow::Result<Vec<CheckResult>> {
    let netns = match &settings.netns {
        Some(path) => Netns::open(path)?,
        None => Netns::current()?,
    };
    let seen = netns::run_in(&netns, || look(settings))??;
    let network = seen.network.as_ref().ok().and_then(Option::as_ref);
    Ok(engine_check::check(&seen, &settings.expected.clone().completed(network)))
}

/// Looks from a thread that is in the node's network namespace.
fn look(settings: &CheckSettings) -> anyhow::Result<Seen> {
    let overview = Netlink::open()?.overview()?;
    let links: Vec<Link> = overview.links.into_iter().map(link).collect();
    let route = |route: apply_netlink::RouteOverview| Route {
        destination: route.destination,
        link: route.link,
        is_ours: route.is_ours,
    };
    let network = files::network(&settings.state_dir);
    let (chains, unread_tables) = chains();
    let cni = settings.cni_config_dir.as_deref().map(files::configurations);
    let first = cni.as_ref().and_then(|files| files.as_ref().ok()?.first());
    let request = match first.and_then(CniFile::chained_behind) {
        Some(_) => &AgentRequest::ChainedStatus,
        None => &AgentRequest::Status,
    };
    Ok(Seen {
        settings: files::settings(links.iter().map(|link| link.name.as_str())),
        routes: overview.routes.into_iter().map(route).collect(),
        chains,
        unread_tables,
        features: trials::features(network.as_ref().ok().and_then(Option::as_ref)),
        conntrack: files::conntrack(),
        udp_ports: files::udp_ports(),
        network,
        agent: files::ask_agent(&settings.state_dir, request),
        cni,
        links,
    })
}

fn link(link: apply_netlink::LinkOverview) -> Link {
    let is_v6 =
        |local: Option<std::net::IpAddr>| local.is_some_and(|local| IpFamily::of(local) == IpFamily::V6);
    Link {
        tunnel: link.tunnel.map(|(port, local)| (port, is_v6(local))),
        name: link.name,
        kind: link.kind,
        is_ours: link.is_ours,
        is_up: link.is_up,
        mtu: link.mtu,
        addresses: link.addresses,
    }
}

/// Chains of nftables and of legacy iptables, and the tables that cannot be read.
fn chains() -> (Result<Vec<Chain>, String>, BTreeMap<String, String>) {
    let found = Nft::open().and_then(|mut nft| nft.foreign_chains());
    let mut found = found.map_err(|error| with_causes(&error));
    let mut unread = BTreeMap::new();
    for (family, table) in files::legacy_tables() {
        match (apply_nft::legacy_chains(family, &table), &mut found) {
            (Ok(more), Ok(found)) => found.extend(more),
            // That nothing could be read of nftables weighs more.
            (Ok(_), Err(_)) => {}
            (Err(error), _) => {
                let program = if family == IpFamily::V4 { "iptables" } else { "ip6tables" };
                unread.insert(format!("{program}-legacy {table}"), error.to_string());
            }
        }
    }
    (found.map(|found| found.into_iter().map(chain).collect()), unread)
}

fn chain(chain: ForeignChain) -> Chain {
    Chain {
        name: chain.name,
        hook: match chain.hook {
            ForeignHook::Forward => Hook::Forward,
            ForeignHook::Input => Hook::Input,
        },
        reached_from: chain.reached_from,
        policy: if chain.drops { Policy::Drop } else { Policy::Accept },
        rules: chain.rules,
        dropping: chain.dropping,
    }
}
