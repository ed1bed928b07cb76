//! DEL: needs neither namespace, agent nor state directory.

use types::{AgentRequest, Attachment, LinkName, LinkOrigin};

use super::{host_link, network_error, open_netlink};
use crate::CniError;
use crate::agent;
use crate::invocation::Invocation;
use crate::store::Store;

pub(super) fn del(call: &Invocation, store: &Store) -> Result<(), CniError> {
    release(store, &call.container_id, &call.ifname)
}

pub(super) fn release(store: &Store, container_id: &str, ifname: &LinkName) -> Result<(), CniError> {
    // The link first: while it is there, its address must not be given to another. Where the link is another plugin's,
    // there is none of this name.
    let link = host_link(container_id, ifname);
    let mut netlink = open_netlink()?;
    netlink.detach(&link).map_err(network_error("remove the Pod's link"))?;
    // A file that cannot be read has no addresses that could rest.
    let attachment = store.attachment(container_id, ifname).ok().flatten();
    if let Some(bridged) = attachment.as_ref().filter(|attachment| attachment.is_bridged()) {
        netlink.forget_pod(bridged).map_err(network_error("forget where the Pod was"))?;
    }
    let ours = |attachment: &&Attachment| attachment.origin == LinkOrigin::Own;
    for address in attachment.iter().filter(ours).flat_map(|attachment| &attachment.addresses) {
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
