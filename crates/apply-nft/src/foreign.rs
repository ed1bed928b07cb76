//! Base chains of others that Pods' packets meet, as far as one must know them to say that they drop. Read only.

use std::collections::BTreeMap;

use crate::Nft;
use crate::attribute::{Attributes, Head, Message};
use crate::error::NftError;
use crate::socket::Socket;

// `enum nf_tables_msg_types` below `NFNL_SUBSYS_NFTABLES`.
const GET_CHAIN: u16 = 10 << 8 | 4;
const GET_RULE: u16 = 10 << 8 | 7;
/// How often a dump that another transaction interrupted is begun again.
const ATTEMPTS: usize = 10;

/// A base chain of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignChain {
    /// Family, table and name, as `nft list chain` takes them.
    pub name: String,
    /// Where it is.
    pub hook: ForeignHook,
    /// Its policy is drop.
    pub drops: bool,
    /// How many rules it has.
    pub rules: usize,
    /// How many of them drop or reject.
    pub dropping: usize,
}

/// The hooks that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignHook {
    /// `forward`.
    Forward,
    /// `input`.
    Input,
}

/// Family, table, chain.
type ChainKey = (u8, String, String);

impl Nft {
    /// Base chains on `forward` and `input` that are not in our table, in all tables that concern IP.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn foreign_chains(&mut self) -> Result<Vec<ForeignChain>, NftError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match read(self.socket()) {
                Err(NftError::Refused { source, .. })
                    if source.raw_os_error() == Some(libc::EINTR) && attempt < ATTEMPTS => {}
                result => return result,
            }
        }
    }
}

fn read(socket: &mut Socket) -> Result<Vec<ForeignChain>, NftError> {
    let mut chains: BTreeMap<ChainKey, ForeignChain> = BTreeMap::new();
    let dump =
        |kind| Message::new(Head { kind, flags: libc::NLM_F_DUMP as u16, family: 0, resource: 0 }).finish();
    socket.ask(dump(GET_CHAIN), "chains", |answer| {
        let (family, attributes) = (answer.family(), answer.attributes());
        if let Some((key, chain)) = chain_of(family, attributes) {
            chains.insert(key, chain);
        }
    })?;
    socket.ask(dump(GET_RULE), "rules", |answer| {
        let attributes = answer.attributes();
        let (Some(table), Some(name)) = (attributes.text(1), attributes.text(2)) else { return };
        if let Some(chain) = chains.get_mut(&(answer.family(), table, name)) {
            chain.rules += 1;
            chain.dropping += usize::from(drops(attributes));
        }
    })?;
    Ok(chains.into_values().collect())
}

fn chain_of(family: u8, attributes: Attributes<'_>) -> Option<(ChainKey, ForeignChain)> {
    // `NFPROTO_INET`, `NFPROTO_IPV4`, `NFPROTO_IPV6`.
    let word = match family {
        1 => "inet",
        2 => "ip",
        10 => "ip6",
        _ => return None,
    };
    let (table, name) = (attributes.text(1)?, attributes.text(3)?);
    // `enum nf_inet_hooks`.
    let hook = match attributes.nested(4)?.u32(1)? {
        1 => ForeignHook::Input,
        2 => ForeignHook::Forward,
        _ => return None,
    };
    let is_ours = word == "inet" && table == ruleset::TABLE;
    // `NF_DROP` is 0.
    let drops = attributes.u32(5) == Some(0);
    let chain = ForeignChain { name: format!("{word} {table} {name}"), hook, drops, rules: 0, dropping: 0 };
    (!is_ours).then_some(((family, table, name), chain))
}

/// Whether a rule's own verdict drops or rejects; chains that it jumps to are not followed.
fn drops(rule: Attributes<'_>) -> bool {
    let expressions = rule.nested(4).into_iter().flatten().map(|(_, expression)| Attributes::of(expression));
    let mut dropping = expressions.filter(|expression| match expression.text(1).as_deref() {
        Some("reject") => true,
        // `NFTA_IMMEDIATE_DATA`, `NFTA_DATA_VERDICT`, `NFTA_VERDICT_CODE`.
        Some("immediate") => {
            let data = expression.nested(2).and_then(|data| data.nested(2));
            data.and_then(|data| data.nested(2)).and_then(|verdict| verdict.u32(1)) == Some(0)
        }
        _ => false,
    });
    dropping.next().is_some()
}
