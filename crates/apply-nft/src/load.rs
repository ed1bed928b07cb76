//! A transaction as netlink messages, and messages as batches that fit the socket.

use plan::NodePlan;
use ruleset::{
    Element, Entry, Hook, HookPoint, Key, Kind, Rule, Ruleset, Sink, Step, TABLE, TableFamily, Transaction,
    diff, is_entry, put_services, render_without_services,
};
use types::IpFamily;

use crate::attribute::{Head, Message};
use crate::element::{put_comment, put_declaration, put_element, put_entry};
use crate::lower::lower;

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
/// `NFNL_MSG_BATCH_BEGIN` and `…END`.
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// An element list is an attribute, whose length is 16 bits; one element is far below the rest.
const CHUNK: usize = 48 * 1024;

// `enum nf_tables_msg_types`.
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const DELETE_CHAIN: u16 = 5;
const NEW_RULE: u16 = 6;
const DELETE_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const DELETE_SET: u16 = 11;
const NEW_ELEMENTS: u16 = 12;
const DELETE_ELEMENTS: u16 = 14;

/// `NFPROTO_INET` and `NFPROTO_BRIDGE`.
pub(crate) fn family_number(family: TableFamily) -> u8 {
    match family {
        TableFamily::Inet => 1,
        TableFamily::Bridge => 7,
    }
}

/// A message of nf_tables about our table of a family.
pub(crate) fn message(family: TableFamily, number: u16, flags: i32) -> Message {
    let mut message = Message::new(head(family, number, flags));
    // In every kind of message that names a table, attribute 1 does.
    message.text(1, TABLE);
    message
}

fn head(family: TableFamily, number: u16, flags: i32) -> Head {
    let flags = u16::try_from(flags).expect("netlink flags are 16 bits");
    Head { kind: SUBSYSTEM << 8 | number, flags, family: family_number(family), resource: 0 }
}

/// One thing that must not be cut: messages that belong together.
struct Unit {
    what: String,
    messages: Vec<Vec<u8>>,
}

/// One batch: its messages, bounds included, and what each is for.
pub(crate) struct Batch {
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) names: Vec<String>,
}

/// The transaction from `actual` as few batches as the limit permits; each leaves a correct state.
pub(crate) fn batches(transaction: &Transaction, actual: &Ruleset, limit: usize) -> Vec<Batch> {
    let mut encoder = Encoder::new(actual);
    transaction.steps.iter().for_each(|step| encoder.step(step));
    pack(encoder.units, limit)
}

/// All rules of a plan, where there is no table yet, as few batches; and how many objects they make.
///
/// The elements of Services go from the plan into messages one by one, in the places that a transaction has for them.
pub(crate) fn batches_of_plan(plan: &NodePlan, limit: usize) -> (Vec<Batch>, usize) {
    let absent = Ruleset::absent(TableFamily::Inet);
    let transaction = diff(&absent, &render_without_services(plan));
    let mut lists = Lists::default();
    put_services(plan, &mut lists);
    let made = transaction.len() + lists.len;
    let (data, entries) = lists.finish();
    let mut encoder = Encoder::new(&absent);
    let is_rule = |step: &Step| matches!(step, Step::AddRules(..));
    let first_rule = transaction.steps.iter().position(is_rule).unwrap_or(transaction.steps.len());
    let (before, after) = transaction.steps.split_at(first_rule);
    before.iter().for_each(|step| encoder.step(step));
    encoder.units.extend(data);
    after.iter().for_each(|step| encoder.step(step));
    encoder.units.extend(entries);
    (pack(encoder.units, limit), made)
}

fn pack(units: Vec<Unit>, limit: usize) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut size = 0;
    for unit in units {
        let unit_size: usize = unit.messages.iter().map(Vec::len).sum();
        if batches.is_empty() || size + unit_size > limit {
            batches.push(Batch { messages: vec![bound(BATCH_BEGIN)], names: vec!["the batch".to_owned()] });
            // Both bounds.
            size = 40;
        }
        let batch = batches.last_mut().expect("the first unit makes a batch");
        size += unit_size;
        batch.names.extend(vec![unit.what; unit.messages.len()]);
        batch.messages.extend(unit.messages);
    }
    for batch in &mut batches {
        batch.messages.push(bound(BATCH_END));
        batch.names.push("the batch".to_owned());
    }
    batches
}

/// Lists of new elements, set by set.
#[derive(Default)]
struct Lists {
    lists: Vec<List>,
    full: Vec<(bool, Unit)>,
    len: usize,
}

/// A list that is not full yet.
struct List {
    set: &'static str,
    family: IpFamily,
    name: String,
    message: Message,
    /// Where the attribute with the elements begins.
    start: usize,
}

impl List {
    fn new(entry: &Entry<'_>) -> Self {
        let name = format!("{}{}", entry.set, entry.digit());
        let (message, start) = new_list(&name);
        Self { set: entry.set, family: entry.family, name, message, start }
    }

    /// What is in it as a unit, and whether that leads packets to other sets.
    fn take(&mut self) -> (bool, Unit) {
        let (message, start) = new_list(&self.name);
        let mut full = std::mem::replace(&mut self.message, message);
        full.close(std::mem::replace(&mut self.start, start));
        let what = format!("elements of {}", self.name);
        (is_entry(&self.name), Unit { what, messages: vec![full.finish()] })
    }
}

/// An element list without elements, and where the attribute begins that is to have them.
fn new_list(name: &str) -> (Message, usize) {
    let head = head(TableFamily::Inet, NEW_ELEMENTS, libc::NLM_F_CREATE);
    let mut message = Message::with_room(head, CHUNK + 1024);
    message.text(1, TABLE);
    message.text(2, name);
    let start = message.open_nest(3);
    (message, start)
}

impl Sink for Lists {
    fn put(&mut self, entry: &Entry<'_>) {
        let is_its = |list: &List| list.family == entry.family && list.set == entry.set;
        let at = self.lists.iter().position(is_its).unwrap_or_else(|| {
            self.lists.push(List::new(entry));
            self.lists.len() - 1
        });
        let list = &mut self.lists[at];
        put_entry(&mut list.message, entry);
        if list.message.len() >= CHUNK {
            self.full.push(list.take());
        }
        self.len += 1;
    }
}

impl Lists {
    /// Those with data, and those that lead to them.
    fn finish(mut self) -> (Vec<Unit>, Vec<Unit>) {
        self.full.extend(self.lists.iter_mut().map(List::take));
        let (entries, data): (Vec<_>, Vec<_>) = self.full.into_iter().partition(|(is_entry, _)| *is_entry);
        let units = |lists: Vec<(bool, Unit)>| lists.into_iter().map(|(_, unit)| unit).collect();
        (units(data), units(entries))
    }
}

fn bound(kind: u16) -> Vec<u8> {
    Message::new(Head { kind, flags: 0, family: 0, resource: SUBSYSTEM }).finish()
}

struct Encoder<'a> {
    actual: &'a Ruleset,
    /// Sets this transaction declares.
    added: Ruleset,
    units: Vec<Unit>,
    next_set: u32,
}

impl<'a> Encoder<'a> {
    fn new(actual: &'a Ruleset) -> Self {
        Self { actual, added: Ruleset::default(), units: Vec::new(), next_set: 1 }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::DropTable => self.push("the table", vec![self.message(DELETE_TABLE, 0)]),
            Step::AddTable => self.push("the table", vec![self.message(NEW_TABLE, libc::NLM_F_CREATE)]),
            Step::AddSet(name, set) => {
                let mut new = self.message(NEW_SET, libc::NLM_F_CREATE);
                put_declaration(&mut new, name, set, self.next_set);
                self.next_set += 1;
                self.added.sets.insert(name.clone(), set.clone());
                self.push(&format!("set {name}"), vec![new]);
            }
            Step::AddChain(name, hook) => self.push(
                &format!("chain {name}"),
                vec![new_chain(self.message(NEW_CHAIN, libc::NLM_F_CREATE), name, *hook)],
            ),
            Step::AddElements(name, elements) => {
                self.elements(name, NEW_ELEMENTS, elements.iter().map(|(key, element)| (key, element)));
            }
            Step::RemoveElements(name, elements) => {
                self.elements(name, DELETE_ELEMENTS, elements.iter().map(|(key, element)| (key, element)));
            }
            Step::ReplaceElements(name, elements) => {
                // Removal and addition of a key stand in one unit: no packet sees it missing.
                for chunk in elements.chunks(200) {
                    let first = self.units.len();
                    self.elements(name, DELETE_ELEMENTS, chunk.iter().map(|one| (&one.key, &one.old)));
                    self.elements(name, NEW_ELEMENTS, chunk.iter().map(|one| (&one.key, &one.new)));
                    let messages = self.units.drain(first..).flat_map(|unit| unit.messages).collect();
                    self.units.push(Unit { what: format!("elements of {name}"), messages });
                }
            }
            Step::FlushChain(name) => {
                let mut flush = self.message(DELETE_RULE, 0);
                flush.text(2, name);
                self.push(&format!("rules of {name}"), vec![flush]);
            }
            Step::AddRules(name, rules) => {
                let new = || self.message(NEW_RULE, libc::NLM_F_CREATE | libc::NLM_F_APPEND);
                let rules = rules.iter().filter_map(|rule| new_rule(new(), name, rule)).collect();
                self.push(&format!("rules of {name}"), rules);
            }
            Step::RemoveChain(name) => {
                let mut removal = self.message(DELETE_CHAIN, 0);
                // `NFTA_CHAIN_NAME`
                removal.text(3, name);
                self.push(&format!("chain {name}"), vec![removal]);
            }
            Step::RemoveSet(name) => {
                let mut removal = self.message(DELETE_SET, 0);
                removal.text(2, name);
                self.push(&format!("set {name}"), vec![removal]);
            }
        }
    }

    fn message(&self, number: u16, flags: i32) -> Message {
        message(self.actual.family, number, flags)
    }

    fn push(&mut self, what: &str, messages: Vec<Message>) {
        let messages = messages.into_iter().map(Message::finish).collect();
        self.units.push(Unit { what: what.to_owned(), messages });
    }

    /// Element lists below 64 KiB, each a unit of its own.
    fn elements<'e>(
        &mut self,
        name: &str,
        number: u16,
        elements: impl Iterator<Item = (&'e Key, &'e Element)>,
    ) {
        let Some(set) = self.added.sets.get(name).or_else(|| self.actual.sets.get(name)) else { return };
        let set = set.bare();
        let flags = if number == NEW_ELEMENTS { libc::NLM_F_CREATE } else { 0 };
        let mut elements = elements.peekable();
        while elements.peek().is_some() {
            let mut list = self.message(number, flags);
            list.text(2, name);
            list.nest(3, |list| {
                while let Some((key, element)) = elements.next_if(|_| list.len() < CHUNK) {
                    put_element(list, &set, key, element);
                }
            });
            self.push(&format!("elements of {name}"), vec![list]);
        }
    }
}

fn new_chain(mut message: Message, name: &str, hook: Option<Hook>) -> Message {
    message.text(3, name);
    if let Some(hook) = hook {
        message.nest(4, |message| {
            message.u32(1, hook_number(hook.point));
            message.bytes(2, &hook.priority.to_be_bytes());
        });
        // `NFTA_CHAIN_POLICY` and `NF_ACCEPT`
        message.u32(5, 1);
        message.text(7, kind_word(hook.kind));
    }
    message
}

/// `enum nf_inet_hooks`, and `NF_BR_PRE_ROUTING` and its sisters, which have the same numbers.
pub(crate) fn hook_number(point: HookPoint) -> u32 {
    match point {
        HookPoint::Prerouting => 0,
        HookPoint::Input => 1,
        HookPoint::Forward => 2,
        HookPoint::Output => 3,
        HookPoint::Postrouting => 4,
    }
}

/// A base chain's type by the kernel's name.
pub(crate) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Filter => "filter",
        Kind::Nat => "nat",
    }
}

/// `None` for a rule that was read back and is not ours: it is never desired.
fn new_rule(mut message: Message, chain: &str, rule: &Rule) -> Option<Message> {
    let expressions = lower(rule)?;
    message.text(2, chain);
    message.nest(4, |message| expressions.iter().for_each(|expression| expression.put(message)));
    put_comment(&mut message, 7, &rule.comment);
    Some(message)
}

#[cfg(test)]
mod tests {
    use ruleset::fixed_rules;

    use super::*;

    #[test]
    fn batches_stay_below_the_limit_and_begin_and_end() {
        let (empty, rules) = (Ruleset::default(), fixed_rules());
        let transaction = diff(&empty, &rules);
        let whole = batches(&transaction, &empty, usize::MAX);
        assert_eq!(whole.len(), 1);
        let limit = 8 * 1024;
        let parts = batches(&transaction, &empty, limit);
        assert!(parts.len() > 1);
        for batch in &parts {
            assert!(batch.messages.iter().map(Vec::len).sum::<usize>() <= limit);
            assert_eq!(batch.messages.first(), Some(&bound(BATCH_BEGIN)));
            assert_eq!(batch.messages.last(), Some(&bound(BATCH_END)));
            assert_eq!(batch.messages.len(), batch.names.len());
        }
        let messages =
            |batches: &[Batch]| -> usize { batches.iter().map(|batch| batch.messages.len() - 2).sum() };
        assert_eq!(messages(&parts), messages(&whole));
    }
}
