//! Chains of others in nftables, those of `iptables-nft` among them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fate, ForeignChain, ForeignHook, Known, Table, told};
use crate::attribute::{Attributes, Head, Message};
use crate::error::NftError;
use crate::socket::Socket;

// `enum nf_tables_msg_types` below `NFNL_SUBSYS_NFTABLES`.
const GET_CHAIN: u16 = 10 << 8 | 4;
const GET_RULE: u16 = 10 << 8 | 7;
const GET_ELEMENTS: u16 = 10 << 8 | 13;

/// Family and table.
type TableKey = (u8, String);
/// Chains whose rules look their verdict up, by table and map.
type Lookups = BTreeMap<(TableKey, String), BTreeSet<String>>;

pub(super) fn read(socket: &mut Socket) -> Result<Vec<ForeignChain>, NftError> {
    let mut tables: BTreeMap<TableKey, Table> = BTreeMap::new();
    socket.ask(question(GET_CHAIN, 0).finish(), "chains", |answer| {
        let attributes = answer.attributes();
        let table = table_of(answer.family(), attributes);
        if let (Some(table), Some(name)) = (table, attributes.text(3)) {
            let known = Known { base: base_of(attributes), ..Known::default() };
            tables.entry(table).or_default().insert(name, known);
        }
    })?;
    let mut lookups = Lookups::new();
    socket.ask(question(GET_RULE, 0).finish(), "rules", |answer| {
        let rule = answer.attributes();
        let (Some(table), Some(name)) = (table_of(answer.family(), rule), rule.text(2)) else { return };
        if let Some(known) = tables.get_mut(&table).and_then(|chains| chains.get_mut(&name)) {
            known.count(expressions(rule).map(fate));
            for map in expressions(rule).filter_map(verdict_map) {
                lookups.entry((table.clone(), map)).or_default().insert(name.clone());
            }
        }
    })?;
    for ((table, map), chains) in lookups {
        let fates = fates_in(socket, &table, &map)?;
        for name in chains {
            let known = tables.get_mut(&table).and_then(|found| found.get_mut(&name));
            let known = known.expect("its rules were counted");
            // The rule with the map is counted already; as one that drops, if the map does.
            known.rules -= 1;
            known.count(fates.iter().map(|fate| match fate {
                Fate::To(chain) => Fate::To(chain.clone()),
                Fate::Dropped => Fate::Dropped,
                Fate::Other => Fate::Other,
            }));
        }
    }
    let title = |(family, table): &TableKey| format!("{} {table}", word(*family).unwrap_or_default());
    let titled = tables.iter().map(|(key, table)| (title(key), table));
    Ok(titled.flat_map(|(title, table)| told(&title, table).collect::<Vec<_>>()).collect())
}

fn question(kind: u16, family: u8) -> Message {
    Message::new(Head { kind, flags: libc::NLM_F_DUMP as u16, family, resource: 0 })
}

/// `NFPROTO_INET`, `NFPROTO_IPV4`, `NFPROTO_IPV6`.
fn word(family: u8) -> Option<&'static str> {
    match family {
        1 => Some("inet"),
        2 => Some("ip"),
        10 => Some("ip6"),
        _ => None,
    }
}

/// The table that a chain or rule is in; none that is ours, or no IP packets meet.
fn table_of(family: u8, attributes: Attributes<'_>) -> Option<TableKey> {
    let (word, table) = (word(family)?, attributes.text(1)?);
    let is_ours = word == "inet" && table == ruleset::TABLE;
    (!is_ours).then_some((family, table))
}

/// Hook and policy of a base chain.
fn base_of(chain: Attributes<'_>) -> Option<(ForeignHook, bool)> {
    let hook = ForeignHook::of(chain.nested(4)?.u32(1)?)?;
    // `NF_DROP` is 0.
    Some((hook, chain.u32(5) == Some(0)))
}

fn expressions(rule: Attributes<'_>) -> impl Iterator<Item = Attributes<'_>> {
    rule.nested(4).into_iter().flatten().map(|(_, expression)| Attributes::of(expression))
}

/// What an expression by itself makes of a packet.
fn fate(expression: Attributes<'_>) -> Fate {
    let data = expression.nested(2);
    match expression.text(1).as_deref() {
        Some("reject") => Fate::Dropped,
        // How iptables-nft writes targets that have no expression.
        Some("target") if data.and_then(|data| data.text(1)).as_deref() == Some("REJECT") => Fate::Dropped,
        // `NFTA_IMMEDIATE_DATA`.
        Some("immediate") => data.and_then(|data| data.nested(2)).map_or(Fate::Other, of_data),
        _ => Fate::Other,
    }
}

/// The fate in `struct nft_data`: `NFTA_DATA_VERDICT`, with `NFTA_VERDICT_CODE` and `NFTA_VERDICT_CHAIN`.
fn of_data(data: Attributes<'_>) -> Fate {
    let verdict = data.nested(2);
    let code = verdict.and_then(|verdict| verdict.u32(1)).map(u32::cast_signed);
    match (code, verdict.and_then(|verdict| verdict.text(2))) {
        (Some(0), _) => Fate::Dropped,
        // `NFT_JUMP` and `NFT_GOTO`.
        (Some(-3 | -4), Some(chain)) => Fate::To(chain),
        _ => Fate::Other,
    }
}

/// The map that says the verdict: a `lookup` whose result (`NFTA_LOOKUP_DREG`) is in the register of verdicts, which is 0.
fn verdict_map(expression: Attributes<'_>) -> Option<String> {
    let data = expression.nested(2).filter(|_| expression.text(1).as_deref() == Some("lookup"))?;
    data.text(1).filter(|_| data.u32(3) == Some(0))
}

/// What becomes of packets by the elements of a map of verdicts.
fn fates_in(socket: &mut Socket, table: &TableKey, map: &str) -> Result<Vec<Fate>, NftError> {
    let mut question = question(GET_ELEMENTS, table.0);
    question.text(1, &table.1);
    question.text(2, map);
    let mut fates = Vec::new();
    socket.ask(question.finish(), "elements", |answer| {
        let elements = answer.attributes().nested(3).into_iter().flatten();
        let data = elements.filter_map(|(_, element)| Attributes::of(element).nested(2));
        fates.extend(data.map(of_data));
    })?;
    Ok(fates)
}
