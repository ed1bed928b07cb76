//! ADD, CHECK and STATUS behind the plugin that made the Pod's link: policy, Services and explain for a Pod of somebody else's.
//!
//! The link, its addresses and its routes stay theirs: we only tell the agent which Pod has which addresses, and hand
//! their result on as it came. Nothing is allocated, so nothing rests after DEL.

use apply_netlink::{Netlink, NetlinkError};
use netns::{Netns, run_in};
use serde_json::Value;
use types::{AgentRequest, Attachment, Bandwidth, LinkOrigin, Mac};

use super::{add, confirm, network_error, open, open_netlink, ready};
use crate::CniError;
use crate::config::NetworkConfig;
use crate::invocation::Invocation;
use crate::previous::{Endpoint, PreviousResult};
use crate::store::Store;

pub(super) fn add(
    call: &Invocation,
    config: &NetworkConfig,
    previous: &PreviousResult,
    store: &Store,
) -> Result<Value, CniError> {
    config.runtime_config.refuse_for_foreign_links()?;
    let endpoint = previous.endpoint(&call.ifname)?;
    let netns = open(&call.netns)?;
    let attachment = register(call, config, store, endpoint)?;
    let complete = open_netlink().and_then(|mut netlink| {
        let missing = verify(&mut netlink, &netns, &attachment);
        match missing.map_err(network_error("look at the Pod's link"))?.first() {
            None => confirm(store, call),
            Some(missing) => Err(CniError::Config { reason: format!("prevResult is not true: {missing}") }),
        }
    });
    if let Err(error) = complete {
        // The first error counts; DEL and GC come after.
        let _ = super::del::del(call, store);
        return Err(error);
    }
    Ok(previous.in_version(&config.cni_version))
}

/// Where the configuration says that there is a plugin before us, a link of ours would be one too many.
pub(super) fn no_previous() -> CniError {
    let reason = "prevResult is missing, and `chained` says that a plugin before this one makes the link";
    CniError::Config { reason: reason.to_owned() }
}

/// We give no address, so whether the node has a Pod range does not matter.
pub(super) fn status(store: &Store) -> Result<(), CniError> {
    ready(store, &AgentRequest::ChainedStatus).map_err(|reason| CniError::NotAvailable { reason })
}

fn register(
    call: &Invocation,
    config: &NetworkConfig,
    store: &Store,
    endpoint: Endpoint,
) -> Result<Attachment, CniError> {
    let _lock = store.lock()?;
    let attachments = store.attachments()?;
    add::refuse_second(call, store)?;
    let port_mappings = config.runtime_config.port_mappings()?;
    add::refuse_taken_ports(&port_mappings, &attachments)?;
    let has_one = |other: &&Attachment| other.addresses.iter().any(|held| endpoint.addresses.contains(held));
    for other in attachments.readable.iter().filter(has_one) {
        match other.origin {
            LinkOrigin::Own => {
                let (container_id, ifname) = (other.container_id.clone(), other.ifname.to_string());
                return Err(CniError::AddressTaken { container_id, ifname });
            }
            // Who gives the addresses gave it to somebody else since, so that one is gone.
            LinkOrigin::Previous => store.remove(&other.container_id, &other.ifname)?,
        }
    }
    let attachment = Attachment {
        container_id: call.container_id.clone(),
        ifname: call.ifname.clone(),
        netns: call.netns.clone(),
        pod: call.pod.clone(),
        addresses: endpoint.addresses,
        host_link: endpoint.host_link,
        // Nothing of ours depends on these two.
        host_mac: endpoint.host_mac.unwrap_or(Mac([0; 6])),
        pod_mac: endpoint.pod_mac.unwrap_or(Mac([0; 6])),
        link: None,
        origin: LinkOrigin::Previous,
        port_mappings,
        bandwidth: Bandwidth::default(),
    };
    store.put(&attachment)?;
    Ok(attachment)
}

/// What is missing of somebody else's link, as far as we depend on it.
pub(super) fn verify(
    netlink: &mut Netlink,
    netns: &Netns,
    attachment: &Attachment,
) -> Result<Vec<String>, NetlinkError> {
    let mut missing = Vec::new();
    match netlink.facts(&attachment.host_link) {
        Ok(_) => {}
        Err(NetlinkError::NoLink { name }) => missing.push(format!("link {name} of the node is missing")),
        Err(error) => return Err(error),
    }
    match run_in(netns, || Netlink::open()?.facts(&attachment.ifname))? {
        Ok(facts) => {
            let held: Vec<_> = facts.addresses.into_iter().map(|(address, _)| address).collect();
            let lacking = attachment.addresses.iter().filter(|address| !held.contains(address));
            missing.extend(lacking.map(|address| format!("the Pod does not have address {address}")));
        }
        Err(NetlinkError::NoLink { name }) => missing.push(format!("link {name} of the Pod is missing")),
        Err(error) => return Err(error),
    }
    Ok(missing)
}
