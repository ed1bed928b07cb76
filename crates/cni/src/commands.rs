//! The commands, each a list of steps.

mod add;
mod addresses;
mod chained;
mod check;
mod del;
mod gc;
mod loopback;
mod status;

use std::collections::BTreeSet;
use std::path::Path;

use apply_netlink::Netlink;
use netns::Netns;
use types::{AgentAnswer, AgentRequest, LinkName, Mac, NodeNetwork};

use crate::CniError;
use crate::agent;
use crate::config::{NetworkConfig, SUPPORTED_VERSIONS, asked_version};
use crate::invocation::{Command, Invocation};
use crate::output::{Answer, VersionAnswer};
use crate::store::Store;

/// Serves every command but VERSION.
pub(crate) fn serve(call: &Invocation, config: &NetworkConfig) -> Result<Option<Answer>, CniError> {
    if config.is_loopback() {
        return loopback::serve(call, config).map(|answer| answer.map(Answer::Passed));
    }
    let store = Store::new(&config.state_dir);
    match call.command {
        Command::Add => match config.previous()? {
            None if config.chained => Err(chained::no_previous()),
            None => add::add(call, config, &store).map(Answer::Added).map(Some),
            Some(previous) => chained::add(call, config, &previous, &store).map(Answer::Passed).map(Some),
        },
        Command::Del => del::del(call, &store).map(|()| None),
        Command::Check => check::check(call, config.previous()?.as_ref(), &store).map(|()| None),
        Command::Gc => gc::gc(config, &store).map(|()| None),
        Command::Status if config.chained => chained::status(&store).map(|()| None),
        Command::Status => status::status(&store).map(|()| None),
        Command::Version => Ok(None),
    }
}

pub(crate) fn version(input: &[u8]) -> Result<Option<Answer>, CniError> {
    let cni_version = asked_version(input);
    Ok(Some(Answer::Version(VersionAnswer { cni_version, supported_versions: &SUPPORTED_VERSIONS })))
}

/// The node's end is named after the attachment, so that DEL finds it with no memory at all.
fn host_link(container_id: &str, ifname: &LinkName) -> LinkName {
    let Mac([a, b, c, d, e, f]) = Mac::derived(&format!("{container_id} {ifname} link"));
    LinkName(format!("sl{a:02x}{b:02x}{c:02x}{d:02x}{e:02x}{f:02x}"))
}

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

/// Returns when the Pod's policy is in the kernel, so that its first packet meets it.
fn confirm(store: &Store, call: &Invocation) -> Result<(), CniError> {
    let (container_id, ifname) = (call.container_id.clone(), call.ifname.clone());
    let request = AgentRequest::Added { container_id, ifname };
    match agent::ask(&store.agent_socket(), &request) {
        Ok(AgentAnswer::Ready { .. }) => Ok(()),
        Ok(AgentAnswer::TryLater { reason }) => Err(CniError::TryLater { reason }),
        Ok(AgentAnswer::Refused { reason }) => Err(CniError::PortTaken { reason }),
        Err(error) => Err(CniError::TryLater { reason: away(store, &error) }),
    }
}

fn ready(store: &Store, request: &AgentRequest) -> Result<(), String> {
    match agent::ask_once(&store.agent_socket(), request, agent::RESTART) {
        Ok(AgentAnswer::Ready { .. }) => Ok(()),
        Ok(AgentAnswer::TryLater { reason } | AgentAnswer::Refused { reason }) => Err(reason),
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
