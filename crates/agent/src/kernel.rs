//! What the node's kernel cannot do.

use std::path::Path;

/// Whether connection tracking is there and knows nothing of SCTP (`CONFIG_NF_CT_PROTO_SCTP`), so that no rule can
/// translate its ports. Before our rules are loaded, connection tracking may not be there yet.
pub(crate) fn lacks_sctp() -> bool {
    let is_there = |name: &str| Path::new("/proc/sys/net/netfilter").join(name).exists();
    is_there("nf_conntrack_max") && !is_there("nf_conntrack_sctp_timeout_established")
}
