//! Ports of a policy rule: numbers as they are, names as the destination Pod declares them.

use std::collections::BTreeSet;

use model::{PolicyPort, PortMatch};
use plan::PortRange;
use types::{Port, Protocol};

/// The ports with every name looked up; a name that is not found allows nothing (semantics NP8).
pub(super) fn resolve(
    ports: &[PolicyPort],
    number_of: impl Fn(&str, Protocol) -> Option<Port>,
) -> BTreeSet<PortRange> {
    let range = |entry: &PolicyPort| {
        let protocol = entry.protocol;
        match &entry.port {
            PortMatch::Any => Some(PortRange { protocol, first: None, last: None }),
            PortMatch::Range(first, last) => {
                Some(PortRange { protocol, first: Some(*first), last: Some(*last) })
            }
            PortMatch::Name(name) => {
                let port = number_of(name, protocol)?;
                Some(PortRange { protocol, first: Some(port), last: Some(port) })
            }
        }
    };
    ports.iter().filter_map(range).collect()
}

/// Whether any of the ports is a name.
pub(super) fn has_names(ports: &[PolicyPort]) -> bool {
    ports.iter().any(|entry| matches!(entry.port, PortMatch::Name(_)))
}
