//! GC: removes all that is of no valid attachment, and goes on after a failure.

use std::collections::BTreeSet;

use types::Attachment;

use super::{del, host_link, network_error, open_netlink};
use crate::CniError;
use crate::config::NetworkConfig;
use crate::store::{self, Attachments, Store};

pub(super) fn gc(config: &NetworkConfig, store: &Store) -> Result<(), CniError> {
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
        note(what, del::release(store, &stale.container_id, &stale.ifname));
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
