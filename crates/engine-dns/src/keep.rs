//! For which names the replies of upstream servers are kept (CoreDNS, plugin cache: its zones, and `disable`).

use plan::DnsCache;

use crate::zones::Zones;

/// Which replies to a question are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Keep {
    /// Those with records.
    pub success: bool,
    /// Those without, and failures.
    pub denial: bool,
}

/// The zones of a block's cache.
#[derive(Clone, Debug)]
pub(crate) struct KeptZones {
    zones: Zones,
    no_success: Zones,
    no_denial: Zones,
}

impl KeptZones {
    pub(crate) fn of(cache: &DnsCache) -> Self {
        Self {
            zones: Zones::of(&cache.zones),
            no_success: Zones::of(&cache.no_success),
            no_denial: Zones::of(&cache.no_denial),
        }
    }

    /// Which replies about a name in lower-case wire form are kept; `None`: the cache is not for it.
    pub(crate) fn keep(&self, name: &[u8]) -> Option<Keep> {
        self.zones.contains(name).then(|| Keep {
            success: !self.no_success.contains(name),
            denial: !self.no_denial.contains(name),
        })
    }
}
