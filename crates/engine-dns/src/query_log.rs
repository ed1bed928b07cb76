//! Which queries are written to the log, and what of them (CoreDNS, plugin log).
//!
//! Of a rule that writes one in so many, a query's own random number tells whether it is one of these, and this is looked at
//! first: the others cost nothing, and can be answered by [`crate::Prepared`].

use std::net::IpAddr;
use std::num::NonZeroU32;

use plan::{DnsBlock, DnsLog, LogClass};

use crate::answer::Limits;
use crate::message::{HEADER, Query, u16_at};
use crate::zones::Zones;
use crate::{Name, RecordType, Zone};

/// The rules of a block.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    zones: Zones,
    classes: Vec<LogClass>,
    one_in: NonZeroU32,
}

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
    /// For how many such queries it stands: so many times, on average, the log would have them if it had all.
    pub one_in: NonZeroU32,
}

impl Logs {
    pub(crate) fn of(block: &DnsBlock) -> Self {
        let rule = |log: &DnsLog| Rule {
            zones: Zones::of(&log.zones),
            classes: log.classes.iter().copied().collect(),
            one_in: log.one_in,
        };
        Self(block.logs.iter().map(rule).collect())
    }

    /// Queries that drew more than this are written down by no rule; `None` when there is no rule.
    pub(crate) fn highest_draw(&self) -> Option<u64> {
        self.0.iter().map(|rule| highest_draw(rule.one_in)).max()
    }

    /// The rule that wants a query. The first rule for a name decides.
    fn rule(&self, name: &[u8], class: LogClass, draw: u64) -> Option<&Rule> {
        let rule = self.0.iter().find(|rule| rule.zones.contains(name))?;
        let is_wanted = rule.classes.is_empty() || rule.classes.contains(&class);
        (is_wanted && draw <= highest_draw(rule.one_in)).then_some(rule)
    }
}

/// One in so many numbers is not greater than this. It is the upper bits that count: the lower ones choose a record.
fn highest_draw(one_in: NonZeroU32) -> u64 {
    u64::MAX / u64::from(one_in.get())
}

/// What the log is to say of a query; `None` where it is to say nothing. An empty response is none.
#[must_use]
pub fn query_record(zone: &Zone, limits: Limits, packet: &[u8], response: &[u8]) -> Option<QueryRecord> {
    let Limits { client, draw, .. } = limits;
    if zone.highest_logged_draw().is_none_or(|highest| draw > highest) {
        return None;
    }
    let query = Query::parse(packet).ok()?;
    let logs = zone.logs(zone.block_of(query.name())?)?;
    let rcode = (response.len() >= HEADER).then(|| response[3] & 0x0f);
    let rule = logs.rule(query.name(), class(rcode, response), draw)?;
    Some(QueryRecord {
        client,
        name: Name::from_checked_wire(query.name()),
        kind: query.kind,
        rcode,
        size: response.len(),
        one_in: rule.one_in,
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
