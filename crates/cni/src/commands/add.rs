//! ADD as the plugin that makes the Pod's link.

use apply_netlink::NetlinkError;
use types::{Attachment, LinkOrigin, Mac, NodeNetwork, POD_BRIDGE, PortMapping};

use super::{addresses, confirm, del, host_link, network, network_error, open, open_netlink};
use crate::CniError;
use crate::config::NetworkConfig;
use crate::invocation::Invocation;
use crate::output::AddResult;
use crate::store::{Attachments, LastGiven, Store};

pub(super) fn add(call: &Invocation, config: &NetworkConfig, store: &Store) -> Result<AddResult, CniError> {
    let network = network(store)?;
    let netns = open(&call.netns)?;
    let attachment = reserve(call, config, store, &network)?;
    let attached = open_netlink()
        .and_then(|mut netlink| netlink.attach(&netns, &attachment, &network.link).map_err(not_attached));
    if let Err(error) = attached {
        // The kernel holds nothing of a failed attach. The first error counts; DEL and GC come after.
        let _ = store.remove(&call.container_id, &call.ifname);
        return Err(error);
    }
    if let Err(error) = confirm(store, call) {
        let _ = del::del(call, store);
        return Err(error);
    }
    Ok(AddResult::new(&config.cni_version, &attachment, &network.link))
}

/// Without the bridge, which the agent makes, another try is worth while.
fn not_attached(error: NetlinkError) -> CniError {
    match error {
        NetlinkError::NoLink { name } if name == POD_BRIDGE => {
            let reason = format!("bridge {name} is not there; the node's agent makes it, see its log");
            CniError::TryLater { reason }
        }
        error => network_error("attach the Pod")(error),
    }
}

/// Chooses addresses and writes them down before anything is made, so that nobody else gets them.
fn reserve(
    call: &Invocation,
    config: &NetworkConfig,
    store: &Store,
    network: &NodeNetwork,
) -> Result<Attachment, CniError> {
    let _lock = store.lock()?;
    refuse_second(call, store)?;
    let port_mappings = config.runtime_config.port_mappings()?;
    if !port_mappings.is_empty() {
        refuse_taken_ports(&port_mappings, &store.attachments()?)?;
    }
    let wishes = config.runtime_config.addresses()?;
    let wishes = if wishes.is_empty() { &call.wishes } else { &wishes };
    let resting = store.quarantine().resting(config.quarantine())?;
    let in_use = store.taken().addresses()?;
    let pool = addresses::Pool { in_use: &in_use, resting: &resting, last: &store.last_given() };
    let derived = Mac::derived(&format!("{} {} pod", call.container_id, call.ifname));
    let attachment = Attachment {
        container_id: call.container_id.clone(),
        ifname: call.ifname.clone(),
        netns: call.netns.clone(),
        pod: call.pod.clone(),
        host_link: host_link(&call.container_id, &call.ifname),
        host_mac: Mac::derived(&format!("{} {} host", call.container_id, call.ifname)),
        pod_mac: config.runtime_config.mac()?.unwrap_or(derived),
        link: Some(network.link.clone()),
        addresses: pool.choose(&network.pod_cidrs, wishes)?,
        origin: LinkOrigin::Own,
        port_mappings,
        bandwidth: config.runtime_config.bandwidth()?,
    };
    store.put(&attachment)?;
    store.put_last_given(&LastGiven { addresses: attachment.addresses.clone() })?;
    Ok(attachment)
}

pub(super) fn refuse_second(call: &Invocation, store: &Store) -> Result<(), CniError> {
    // What cannot be read is none, and is written anew.
    match store.attachment(&call.container_id, &call.ifname) {
        Ok(Some(_)) => Err(CniError::AlreadyAttached {
            container_id: call.container_id.clone(),
            ifname: call.ifname.to_string(),
        }),
        _ => Ok(()),
    }
}

/// Of two attachments, the one that is there keeps the port; what else there is, the agent knows.
pub(super) fn refuse_taken_ports(
    mappings: &[PortMapping],
    attachments: &Attachments,
) -> Result<(), CniError> {
    for (index, mapping) in mappings.iter().enumerate() {
        let has_it = |other: &&Attachment| other.port_mappings.iter().any(|taken| taken.meets(mapping));
        if let Some(other) = attachments.readable.iter().find(has_it) {
            let owner = match &other.pod {
                Some(pod) => format!("Pod {pod} (container {})", other.container_id),
                None => format!("container {}", other.container_id),
            };
            let (port, protocol) = (mapping.host_port, mapping.protocol);
            let reason = format!(
                "runtimeConfig.portMappings[{index}].hostPort: {port}/{protocol} already belongs to {owner}"
            );
            return Err(CniError::PortTaken { reason });
        }
    }
    Ok(())
}
