//! Zones in which the cluster's names stand besides the cluster domain: `kubernetes cluster.local clusterset.example`.

use plan::DnsKubernetes;

use super::Undo;
use crate::Name;
use crate::name::{MAX_NAME, suffix_start};
use crate::zones::Zones;

/// The further zones of a block.
#[derive(Clone, Debug, Default)]
pub(super) struct Aliases {
    zones: Zones,
    origin: Option<Name>,
}

impl Aliases {
    pub(super) fn of(kubernetes: Option<&DnsKubernetes>, origin: &Name) -> Self {
        let zones = kubernetes.map(|kubernetes| kubernetes.zones.as_slice()).unwrap_or_default();
        let is_other = |zone: &&String| Name::parse(zone).is_ok_and(|zone| zone != *origin);
        Self { zones: Zones::of(zones.iter().filter(is_other)), origin: Some(origin.clone()) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.zones.iter().next().is_none()
    }

    /// The same name in the cluster domain, and how its answer becomes one for the name. A zone below the cluster domain is no
    /// part of it.
    pub(super) fn of_name(&self, wire: &[u8]) -> Option<(Name, Undo)> {
        let (zone, origin) = (self.zones.of_name(wire)?, self.origin.as_ref()?);
        let is_of_origin = suffix_start(wire, origin.as_wire()).is_some();
        if is_of_origin && origin.as_wire().len() > zone.as_wire().len() {
            return None;
        }
        let end = suffix_start(wire, zone.as_wire())?;
        let name = [&wire[..end], origin.as_wire()].concat();
        let undo =
            Undo::Zone { from: origin.as_wire().to_vec(), to: zone.as_wire().to_vec(), name: name.clone() };
        (name.len() <= MAX_NAME).then(|| (Name::from_checked_wire(&name), undo))
    }
}
