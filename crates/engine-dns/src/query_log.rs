//! Which queries are written to the log, and what of them (CoreDNS, plugin log).

use std::net::IpAddr;

use plan::{DnsBlock, LogClass};

use crate::message::{HEADER, Query, u16_at};
use crate::zones::Zones;
use crate::{Name, RecordType, Zone};

/// The rules of a block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs(Vec<(Zones, Vec<LogClass>)>);

/// A query with its response, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryRecord {
    /// Who asked, where that is known.
    pub client: Option<IpAddr>,
    /// The question's name.
    pub name: Name,
    /// The question's type.
    pub kind: RecordType,
    /// The response code in the header; `None` where nothing was said.
    pub rcode: Option<u8>,
    /// Length of the response, in bytes.
    pub size: usize,
}

impl Logs {
    pub(crate) fn of(block: &DnsBlock) -> Self {
        let rule = |log: &plan::DnsLog| (Zones::of(&log.zones), log.classes.iter().copied().collect());
        Self(block.logs.iter().map(rule).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first rule for a name decides.
    fn wants(&self, name: &[u8], class: LogClass) -> bool {
        let rule = self.0.iter().find(|(zones, _)| zones.contains(name));
        rule.is_some_and(|(_, classes)| classes.is_empty() || classes.contains(&class))
    }
}

/// What the log is to say of a query; `None` where it is to say nothing. An empty response is none.
#[must_use]
pub fn query_record(
    zone: &Zone,
    client: Option<IpAddr>,
    packet: &[u8],
    response: &[u8],
) -> Option<QueryRecord> {
    if !zone.has_logs() {
        return None;
    }
    let query = Query::parse(packet).ok()?;
    let logs = zone.logs(zone.block_of(query.name())?)?;
    let rcode = (response.len() >= HEADER).then(|| response[3] & 0x0f);
    logs.wants(query.name(), class(rcode, response)).then(|| QueryRecord {
        client,
        name: Name::from_checked_wire(query.name()),
        kind: query.kind,
        rcode,
        size: response.len(),
    })
}

/// What CoreDNS calls a response (`plugin/pkg/response`).
fn class(rcode: Option<u8>, response: &[u8]) -> LogClass {
    match rcode {
        Some(0) if u16_at(response, 6) != Some(0) => LogClass::Success,
        Some(0 | 3) => LogClass::Denial,
        _ => LogClass::Error,
    }
}
