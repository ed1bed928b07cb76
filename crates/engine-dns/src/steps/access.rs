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
        if self.blocked.is_empty() {
            return Verdict::Pass;
        }
        let mut start = 0;
        while name[start] != 0 {
            if let Some((answer, at)) = self.blocked.get(&name[start..]) {
                return blocked_answer(name, kind, answer, at);
            }
            start += 1 + usize::from(name[start]);
        }
        Verdict::Pass
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
