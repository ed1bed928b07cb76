//! Whose questions are looked up, and names that nobody gets an address for (CoreDNS, `plugin/acl/acl.go`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use plan::{AccessAction, AccessRule, BlockedAnswer, DnsAccess, DnsBlock};

use crate::decoded::{Decoded, Item};
use crate::extended_error::ExtendedError;
use crate::message::Rcode;
use crate::zones::Zones;
use crate::{Name, RecordData, RecordType};

/// Seconds for which a blocked name's answer may be kept.
const BLOCKED_TTL: u32 = 60;

/// The rules of a block.
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    lists: Vec<(Zones, Vec<AccessRule>)>,
    /// Blocked names with what they answer and where that is said.
    blocked: BTreeMap<Name, (BlockedAnswer, String)>,
}

/// What becomes of a question.
pub(super) enum Verdict {
    Pass,
    Drop,
    Answer(Box<Decoded>),
}

impl Access {
    pub(super) fn of(block: &DnsBlock) -> Self {
        let list = |access: &DnsAccess| (Zones::of(&access.zones), access.rules.clone());
        let mut blocked = BTreeMap::new();
        // The first list that has a name decides.
        for list in block.blocklists.iter().rev() {
            for name in list.names.iter().filter_map(|name| Name::parse(name).ok()) {
                blocked.insert(name, (list.answer.clone(), list.at.clone()));
            }
        }
        Self { lists: block.access.iter().map(list).collect(), blocked }
    }

    pub(super) fn decide(&self, name: &[u8], kind: RecordType, client: Option<IpAddr>) -> Verdict {
        match self.rule(name, kind, client) {
            None => self.blocked(name, kind),
            Some(rule) => match rule.action {
                AccessAction::Allow => self.blocked(name, kind),
                AccessAction::Drop => Verdict::Drop,
                AccessAction::Block => {
                    let text = format!("blocked by {} (acl)", rule.at);
                    refuse(Rcode::Refused, &ExtendedError::blocked(text))
                }
                AccessAction::Filter => {
                    let text = format!("filtered by {} (acl)", rule.at);
                    refuse(Rcode::NoError, &ExtendedError::filtered(text))
                }
            },
        }
    }

    /// The line that decides, and what it does.
    pub(super) fn reason(
        &self,
        name: &[u8],
        kind: RecordType,
        client: Option<IpAddr>,
    ) -> Option<(String, String)> {
        let rule = self.rule(name, kind, client);
        let passes = rule.is_none_or(|rule| rule.action == AccessAction::Allow);
        match self.list_of(name).filter(|_| passes) {
            Some((_, at)) => Some((at.clone(), "on a block list".to_owned())),
            None => rule.map(|rule| (rule.at.clone(), format!("acl: {:?}", rule.action).to_lowercase())),
        }
    }

    /// The first rule for a question. Where it is not known who asks, only rules for everybody count.
    fn rule(&self, name: &[u8], kind: RecordType, client: Option<IpAddr>) -> Option<&AccessRule> {
        let is_for = |rule: &&AccessRule| {
            (rule.kinds.is_empty() || rule.kinds.contains(&kind.0))
                && (rule.clients.is_empty()
                    || client.is_some_and(|client| rule.clients.iter().any(|range| range.contains(client))))
        };
        let lists = self.lists.iter().filter(|(zones, _)| zones.contains(name));
        lists.flat_map(|(_, rules)| rules).find(is_for)
    }

    fn blocked(&self, name: &[u8], kind: RecordType) -> Verdict {
        let list = self.list_of(name);
        list.map_or(Verdict::Pass, |(answer, at)| blocked_answer(name, kind, answer, at))
    }

    /// The block list that a name or one above it is on.
    fn list_of(&self, name: &[u8]) -> Option<&(BlockedAnswer, String)> {
        if self.blocked.is_empty() {
            return None;
        }
        let mut start = 0;
        while name[start] != 0 {
            if let Some(list) = self.blocked.get(&name[start..]) {
                return Some(list);
            }
            start += 1 + usize::from(name[start]);
        }
        None
    }
}

fn refuse(rcode: Rcode, error: &ExtendedError) -> Verdict {
    let errors = vec![error.to_option()];
    Verdict::Answer(Box::new(Decoded { rcode: rcode.number(), errors, ..Decoded::default() }))
}

fn blocked_answer(name: &[u8], kind: RecordType, answer: &BlockedAnswer, at: &str) -> Verdict {
    let error = ExtendedError::blocked(format!("on the block list of {at}"));
    let BlockedAnswer::Addresses(addresses) = answer else { return refuse(Rcode::NxDomain, &error) };
    let data = addresses.iter().map(|address| match address {
        IpAddr::V4(address) => RecordData::A(*address),
        IpAddr::V6(address) => RecordData::Aaaa(*address),
    });
    let items = data.filter(|data| data.record_type() == kind);
    let items = items.filter_map(|data| Item::new(name, BLOCKED_TTL, &data)).collect();
    let errors = vec![error.to_option()];
    Verdict::Answer(Box::new(Decoded {
        sections: [items, Vec::new(), Vec::new()],
        errors,
        ..Decoded::default()
    }))
}
