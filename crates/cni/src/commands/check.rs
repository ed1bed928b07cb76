//! CHECK: is everything as ADD left it?

use std::collections::BTreeSet;
use std::net::IpAddr;

use types::{AgentRequest, LinkOrigin};

use super::{chained, network_error, open, open_netlink, ready};
use crate::CniError;
use crate::invocation::Invocation;
use crate::previous::PreviousResult;
use crate::store::Store;

pub(super) fn check(
    call: &Invocation,
    previous: Option<&PreviousResult>,
    store: &Store,
) -> Result<(), CniError> {
    let Some(previous) = previous else {
        return Err(CniError::Config { reason: "prevResult is required for CHECK".into() });
    };
    let Some(attachment) = store.attachment(&call.container_id, &call.ifname)? else {
        return Err(CniError::Damaged {
            missing: vec!["the attachment is not in the state directory".into()],
        });
    };
    let netns = open(&call.netns)?;
    let mut netlink = open_netlink()?;
    let (request, verified) = match attachment.origin {
        LinkOrigin::Own => (AgentRequest::Status, netlink.verify(&netns, &attachment)),
        LinkOrigin::Previous => {
            (AgentRequest::ChainedStatus, chained::verify(&mut netlink, &netns, &attachment))
        }
    };
    let mut missing = verified.map_err(network_error("look at the Pod's link"))?;
    // Plugins behind us may have added addresses; ours must still be among them.
    let reported: BTreeSet<IpAddr> = previous.addresses().collect();
    for address in attachment.addresses.iter().filter(|address| !reported.contains(address)) {
        missing.push(format!("address {address} is not in prevResult"));
    }
    if !missing.is_empty() {
        return Err(CniError::Damaged { missing });
    }
    ready(store, &request).map_err(|reason| CniError::TryLater { reason })
}
