//! The commands, each a list of steps.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use apply_netlink::Netlink;
use engine_ipam::{IpRange, IpamError, allocate};
use netns::Netns;
use types::{AgentAnswer, AgentRequest, Attachment, LinkName, Mac, NodeNetwork, Prefix};

use crate::CniError;
use crate::agent;
use crate::config::{NetworkConfig, SUPPORTED_VERSIONS, asked_version, parse_address};
use crate::invocation::{Command, Invocation};
use crate::output::{AddResult, Answer, VersionAnswer};
use crate::store::{self, Attachments, LastGiven, Store};

/// Serves every command but VERSION.
pub(crate) fn serve(call: &Invocation, config: &NetworkConfig) -> Result<Option<Answer>, CniError> {
    let store = Store::new(&config.state_dir);
    match call.command {
        Command::Add => add(call, config, &store).map(|result| Some(Answer::Added(result))),
        Command::Del => del(call, &store).map(|()| None),
        Command::Check => check(call, config, &store).map(|()| None),
        Command::Gc => gc(config, &store).map(|()| None),
        Command::Status => status(&store).map(|()| None),
        Command::Version => Ok(None),
    }
}

pub(crate) fn version(input: &[u8]) -> Result<Option<Answer>, CniError> {
    let cni_version = asked_version(input);
    Ok(Some(Answer::Version(VersionAnswer { cni_version, supported_versions: &SUPPORTED_VERSIONS })))
}

// === ADD ===

fn add(call: &Invocation, config: &NetworkConfig, store: &Store) -> Result<AddResult, CniError> {
    if config.prev_result.is_some() {
        let reason = "it makes the Pod's first link; put it first in the configuration list";
        return Err(CniError::UnsupportedField { field: "prevResult", reason });
    }
    let network = network(store)?;
    let netns = open(&call.netns)?;
    let attachment = reserve(call, config, store, &network)?;
    let attached = open_netlink().and_then(|mut netlink| {
        netlink.attach(&netns, &attachment, &network.link).map_err(network_error("attach the Pod"))
    });
    if let Err(error) = attached {
        // The kernel holds nothing of a failed attach. The first error counts; DEL and GC come after.
        let _ = store.remove(&call.container_id, &call.ifname);
        return Err(error);
    }
    if let Err(error) = confirm(store, call) {
        let _ = del(call, store);
        return Err(error);
    }
    Ok(AddResult::new(&config.cni_version, &attachment, &network.link))
}

/// Chooses addresses and writes them down before anything is made, so that nobody else gets them.
fn reserve(
    call: &Invocation,
    config: &NetworkConfig,
    store: &Store,
    network: &NodeNetwork,
) -> Result<Attachment, CniError> {
    let _lock = store.lock()?;
    let attachments = store.attachments()?;
    let is_this =
        |other: &&Attachment| other.container_id == call.container_id && other.ifname == call.ifname;
    if attachments.readable.iter().any(|other| is_this(&other)) {
        let (container_id, ifname) = (call.container_id.clone(), call.ifname.to_string());
        return Err(CniError::AlreadyAttached { container_id, ifname });
    }
    let in_use = attachments.addresses();
    let resting = store.quarantine().resting(config.quarantine())?;
    let last = store.last_given();
    let addresses = network
        .pod_cidrs
        .iter()
        .map(|range| match config.wish(range.family())? {
            // Whoever asks for a certain address knows whose it was.
            Some(wish) => next_address(*range, &in_use, Some(wish), &last),
            None => next_rested(*range, &in_use, &resting, &last),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let derived = Mac::derived(&format!("{} {} pod", call.container_id, call.ifname));
    let attachment = Attachment {
        container_id: call.container_id.clone(),
        ifname: call.ifname.clone(),
        netns: call.netns.clone(),
        pod: call.pod.clone(),
        host_link: host_link(&call.container_id, &call.ifname),
        host_mac: Mac::derived(&format!("{} {} host", call.container_id, call.ifname)),
        pod_mac: config.wished_mac()?.unwrap_or(derived),
        link: Some(network.link.clone()),
        addresses,
    };
    store.put(&attachment)?;
    store.put_last_given(&LastGiven { addresses: attachment.addresses.clone() })?;
    Ok(attachment)
}

/// An address that no Pod has had for a while.
fn next_rested(
    range: Prefix,
    in_use: &BTreeSet<IpAddr>,
    resting: &BTreeSet<IpAddr>,
    last: &LastGiven,
) -> Result<IpAddr, CniError> {
    let taken = in_use.union(resting).copied().collect();
    match next_address(range, &taken, None, last) {
        Err(_) if next_address(range, in_use, None, last).is_ok() => Err(CniError::TryLater {
            reason: format!(
                "every free address of {range} was another Pod's until just now and is given to nobody for a while \
                 (quarantineSeconds)"
            ),
        }),
        result => result,
    }
}

fn next_address(
    range: Prefix,
    in_use: &BTreeSet<IpAddr>,
    wish: Option<IpAddr>,
    last: &LastGiven,
) -> Result<IpAddr, CniError> {
    let hosts = IpRange::hosts(range)
        .ok_or_else(|| CniError::Address(IpamError::Exhausted { ranges: range.to_string() }))?;
    let after = last.addresses.iter().copied().find(|address| hosts.contains(*address));
    Ok(allocate(&[hosts], in_use, wish, after)?)
}

/// Returns when the Pod's policy is in the kernel, so that its first packet meets it.
fn confirm(store: &Store, call: &Invocation) -> Result<(), CniError> {
    let (container_id, ifname) = (call.container_id.clone(), call.ifname.clone());
    let request = AgentRequest::Added { container_id, ifname };
    match agent::ask(&store.agent_socket(), &request) {
        Ok(AgentAnswer::Ready { .. }) => Ok(()),
        Ok(AgentAnswer::TryLater { reason }) => Err(CniError::TryLater { reason }),
        Err(error) => Err(CniError::TryLater { reason: away(store, &error) }),
    }
}

/// The node's end is named after the attachment, so that DEL finds it with no memory at all.
fn host_link(container_id: &str, ifname: &LinkName) -> LinkName {
    let Mac([a, b, c, d, e, f]) = Mac::derived(&format!("{container_id} {ifname} link"));
    LinkName(format!("sl{a:02x}{b:02x}{c:02x}{d:02x}{e:02x}{f:02x}"))
}

// === DEL ===

/// Needs neither namespace, agent nor state directory.
fn del(call: &Invocation, store: &Store) -> Result<(), CniError> {
    release(store, &call.container_id, &call.ifname)
}

fn release(store: &Store, container_id: &str, ifname: &LinkName) -> Result<(), CniError> {
    // The link first: while it is there, its address must not be given to another.
    let link = host_link(container_id, ifname);
    open_netlink()?.detach(&link).map_err(network_error("remove the Pod's link"))?;
    // A file that cannot be read has no addresses that could rest.
    let attachment = store.attachment(container_id, ifname).ok().flatten();
    for address in attachment.iter().flat_map(|attachment| &attachment.addresses) {
        // A full disk must not keep a Pod from going.
        let _ = store.quarantine().begin(*address);
    }
    store.remove(container_id, ifname)?;
    let (container_id, ifname) = (container_id.to_owned(), ifname.clone());
    let request = AgentRequest::Removed { container_id, ifname };
    // An agent that is away sees the missing file when it is back.
    let _ = agent::ask_once(&store.agent_socket(), &request, agent::COURTESY);
    Ok(())
}

// === CHECK ===

fn check(call: &Invocation, config: &NetworkConfig, store: &Store) -> Result<(), CniError> {
    let Some(previous) = &config.prev_result else {
        return Err(CniError::Config { reason: "prevResult is required for CHECK".into() });
    };
    let Some(attachment) = store.attachment(&call.container_id, &call.ifname)? else {
        return Err(CniError::Damaged {
            missing: vec!["the attachment is not in the state directory".into()],
        });
    };
    let netns = open(&call.netns)?;
    let mut missing =
        open_netlink()?.verify(&netns, &attachment).map_err(network_error("look at the Pod's link"))?;
    // Plugins behind us may have added addresses; ours must still be among them.
    let reported: BTreeSet<_> = previous.ips.iter().filter_map(|ip| parse_address(&ip.address)).collect();
    for address in attachment.addresses.iter().filter(|address| !reported.contains(address)) {
        missing.push(format!("address {address} is not in prevResult"));
    }
    if !missing.is_empty() {
        return Err(CniError::Damaged { missing });
    }
    ready(store).map_err(|reason| CniError::TryLater { reason })
}

// === GC ===

fn gc(config: &NetworkConfig, store: &Store) -> Result<(), CniError> {
    let Some(valid) = &config.valid_attachments else {
        // To take a missing list as an empty one would remove every Pod.
        return Err(CniError::Config { reason: "cni.dev/valid-attachments is required for GC".into() });
    };
    // Then nobody is in the middle of writing.
    let _lock = store.lock()?;
    let Attachments { readable, damaged } = store.attachments()?;
    let mut failures = Vec::new();
    let mut note = |what: String, result: Result<(), CniError>| {
        if let Err(error) = result {
            failures.push(format!("{what}: {error}: {}", error.details()));
        }
    };
    let is_valid = |attachment: &&Attachment| {
        valid
            .iter()
            .any(|valid| valid.container_id == attachment.container_id && valid.ifname == attachment.ifname)
    };
    for stale in readable.iter().filter(|attachment| !is_valid(attachment)) {
        let what = format!("{} of container {}", stale.ifname, stale.container_id);
        note(what, release(store, &stale.container_id, &stale.ifname));
    }
    for path in damaged {
        note(path.display().to_string(), store::remove(&path));
    }
    let kept: BTreeSet<_> = valid.iter().map(|valid| host_link(&valid.container_id, &valid.ifname)).collect();
    let mut netlink = open_netlink()?;
    let links = netlink.pod_links().map_err(network_error("list the Pods' links"))?;
    for link in links.into_iter().filter(|link| !kept.contains(link)) {
        note(format!("link {link}"), netlink.detach(&link).map_err(network_error("remove a link")));
    }
    if failures.is_empty() { Ok(()) } else { Err(CniError::Garbage { failures }) }
}

// === STATUS ===

fn status(store: &Store) -> Result<(), CniError> {
    let unavailable = |reason: String| CniError::NotAvailable { reason };
    let network = network(store).map_err(|error| unavailable(error.to_string()))?;
    let in_use = store.attachments()?.addresses();
    for range in &network.pod_cidrs {
        next_address(*range, &in_use, None, &LastGiven::default())
            .map_err(|error| unavailable(error.details()))?;
    }
    ready(store).map_err(unavailable)
}

// === what several commands need ===

fn network(store: &Store) -> Result<NodeNetwork, CniError> {
    let network = store.network()?.ok_or_else(|| CniError::TryLater {
        reason: "the node's agent has not written network.json yet; is `sealane agent` running?".into(),
    })?;
    let mut families = BTreeSet::new();
    match network.pod_cidrs.iter().all(|range| families.insert(range.family())) {
        true if !families.is_empty() => Ok(network),
        true => Err(CniError::TryLater { reason: "the node has no Pod range yet (spec.podCIDR)".into() }),
        false => Err(CniError::Config { reason: "network.json has two Pod ranges of one family".into() }),
    }
}

fn ready(store: &Store) -> Result<(), String> {
    match agent::ask_once(&store.agent_socket(), &AgentRequest::Status, agent::RESTART) {
        Ok(AgentAnswer::Ready { .. }) => Ok(()),
        Ok(AgentAnswer::TryLater { reason }) => Err(reason),
        Err(error) => Err(away(store, &error)),
    }
}

fn away(store: &Store, error: &std::io::Error) -> String {
    format!("the node's agent does not answer on {} ({error})", store.agent_socket().display())
}

fn open(netns: &str) -> Result<Netns, CniError> {
    Netns::open(Path::new(netns))
        .map_err(|source| CniError::UnknownContainer { netns: netns.to_owned(), source })
}

fn open_netlink() -> Result<Netlink, CniError> {
    Netlink::open().map_err(network_error("open a netlink socket"))
}

fn network_error(what: &'static str) -> impl FnOnce(apply_netlink::NetlinkError) -> CniError {
    move |source| CniError::Network { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_links_fit_and_differ() {
        let eth0 = LinkName::from("eth0");
        let names: BTreeSet<_> = (0..1000).map(|n| host_link(&format!("container-{n}"), &eth0)).collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|name| name.0.len() <= 15 && name.0.starts_with("sl")));
        assert_ne!(host_link("a", &eth0), host_link("a", &"eth1".into()));
    }
}
