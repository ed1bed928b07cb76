//! Our table as the kernel has it.

use std::collections::BTreeMap;

use ruleset::{
    Chain, Data, Hook, HookPoint, Kind, Rule, Ruleset, Set, SetKind, Statement, TableFamily, Value,
    known_rules,
};

use crate::attribute::{Attributes, Head, Message, present};
use crate::element::{RawElement, assemble, comment_of, declaration_of, element_of};
use crate::error::NftError;
use crate::expression::Expression;
use crate::load::{family_number, hook_number, kind_word, message};
use crate::lower::lower;
use crate::socket::Socket;

// `enum nf_tables_msg_types`.
const GET_TABLE: u16 = 1;
const GET_CHAIN: u16 = 4;
const GET_RULE: u16 = 7;
const GET_SET: u16 = 10;
const GET_ELEMENTS: u16 = 13;
const GET_GENERATION: u16 = 16;

/// How often a dump that another transaction interrupted is begun again.
const ATTEMPTS: usize = 10;

/// Counts every committed transaction of this network namespace, by anybody.
pub(crate) fn generation(socket: &mut Socket) -> Result<u32, NftError> {
    let what = "the generation";
    let kind = 10 << 8 | GET_GENERATION;
    let question = Message::new(Head { kind, flags: 0, family: 0, resource: 0 }).finish();
    let mut found = None;
    socket.ask(question, what, |answer| found = answer.attributes().u32(1))?;
    present(found, what)
}

/// The whole of our table of a family, or that there is none. Elements of dynamic maps are left out.
pub(crate) fn read_back(socket: &mut Socket, family: TableFamily) -> Result<Ruleset, NftError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match read_once(socket, family) {
            Err(NftError::Refused { source, .. })
                if source.raw_os_error() == Some(libc::EINTR) && attempt < ATTEMPTS => {}
            Err(error) if error.is_absent() => return Ok(Ruleset::absent(family)),
            result => return result,
        }
    }
}

fn read_once(socket: &mut Socket, family: TableFamily) -> Result<Ruleset, NftError> {
    socket.ask(message(family, GET_TABLE, 0).finish(), "the table", |_| {})?;
    let mut rules = Ruleset::absent(family);
    dump(socket, family, message(family, GET_SET, libc::NLM_F_DUMP), "sets", |attributes| {
        let unlike_ours =
            || Set { key: Vec::new(), data: Data::None, kind: SetKind::Exact, elements: BTreeMap::new() };
        if let Some(name) = attributes.text(2) {
            rules.sets.insert(name, declaration_of(attributes).unwrap_or_else(unlike_ours));
        }
    })?;
    for (name, set) in rules.sets.iter_mut().filter(|(_, set)| set.kind != SetKind::Dynamic) {
        set.elements = assemble(set, elements(socket, family, name, set)?);
    }
    dump(socket, family, message(family, GET_CHAIN, libc::NLM_F_DUMP), "chains", |attributes| {
        if let Some(name) = attributes.text(3) {
            rules.chains.insert(name, Chain { hook: hook_of(attributes), rules: Vec::new() });
        }
    })?;
    let known = rules.chains.keys().map(|name| (name.clone(), lowered(name))).collect();
    dump(socket, family, message(family, GET_RULE, libc::NLM_F_DUMP), "rules", |attributes| {
        let Some(name) = attributes.text(2) else { return };
        if let Some(chain) = rules.chains.get_mut(&name) {
            chain.rules.push(rule_of(attributes, &known, &name));
        }
    })?;
    Ok(rules)
}

/// A remembered client: key and data of an element.
pub(crate) type Client = (Vec<Value>, Vec<Value>);

/// Every remembered client of a dynamic map.
pub(crate) fn clients(socket: &mut Socket, name: &str, set: &Set) -> Result<Vec<Client>, NftError> {
    let elements = assemble(set, elements(socket, TableFamily::Inet, name, set)?);
    let client = |(key, element): (ruleset::Key, ruleset::Element)| match element.data {
        Data::Values(data) => Some((key.first, data)),
        _ => None,
    };
    Ok(elements.into_iter().filter_map(client).collect())
}

fn elements(
    socket: &mut Socket,
    family: TableFamily,
    name: &str,
    set: &Set,
) -> Result<Vec<RawElement>, NftError> {
    let mut question = message(family, GET_ELEMENTS, libc::NLM_F_DUMP);
    question.text(2, name);
    let mut found = Vec::new();
    dump(socket, family, question, "elements", |attributes| {
        let list = attributes.nested(3).into_iter().flatten();
        found.extend(list.filter_map(|(_, element)| element_of(set, Attributes::of(element))));
    })?;
    Ok(found)
}

/// Dumps what belongs to our table; older kernels dump other tables of the family as well.
fn dump(
    socket: &mut Socket,
    family: TableFamily,
    question: Message,
    what: &'static str,
    mut take: impl FnMut(Attributes<'_>),
) -> Result<(), NftError> {
    socket.ask(question.finish(), what, |answer| {
        let attributes = answer.attributes();
        let ours = attributes.text(1).as_deref() == Some(ruleset::TABLE);
        if ours && answer.family() == family_number(family) {
            take(attributes);
        }
    })
}

/// A base chain's hook. One whose policy is not accept gets a priority no chain of ours has, so that it is replaced.
fn hook_of(attributes: Attributes<'_>) -> Option<Hook> {
    let hook = attributes.nested(4)?;
    let (number, priority) = (hook.u32(1)?, hook.u32(2)?.cast_signed());
    let word = attributes.text(7)?;
    let points = [
        HookPoint::Prerouting,
        HookPoint::Input,
        HookPoint::Forward,
        HookPoint::Output,
        HookPoint::Postrouting,
    ];
    let point = points.into_iter().find(|point| hook_number(*point) == number)?;
    let kind = [Kind::Filter, Kind::Nat].into_iter().find(|kind| kind_word(*kind) == word)?;
    let accepts = attributes.u32(5) == Some(1);
    Some(Hook { kind, point, priority: if accepts { priority } else { i32::MIN } })
}

/// The rules a chain of ours may have, in the kernel's terms.
type Known = BTreeMap<String, Vec<(Vec<Expression>, Rule)>>;

fn lowered(chain: &str) -> Vec<(Vec<Expression>, Rule)> {
    known_rules(chain).into_iter().filter_map(|rule| Some((lower(&rule)?, rule))).collect()
}

/// The rule of ours that has exactly these expressions, or a foreign one.
fn rule_of(attributes: Attributes<'_>, known: &Known, chain: &str) -> Rule {
    let comment = comment_of(attributes.bytes_at(7));
    let expressions: Option<Vec<Expression>> = attributes
        .nested(4)
        .into_iter()
        .flatten()
        .map(|(_, expression)| Expression::of(Attributes::of(expression)))
        .collect();
    let same = |(lowered, rule): &&(Vec<Expression>, Rule)| {
        Some(lowered) == expressions.as_ref() && rule.comment == comment
    };
    let ours = known.get(chain).and_then(|rules| rules.iter().find(same));
    ours.map_or(Rule { statements: vec![Statement::Foreign], comment }, |(_, rule)| rule.clone())
}
