//! Chains of others that Pods' packets meet, as far as one must know them to say that they drop. Read only.

mod legacy;
mod nftables;

use std::collections::{BTreeMap, BTreeSet};

use crate::Nft;
use crate::error::NftError;

/// How often a dump that another transaction interrupted is begun again.
const ATTEMPTS: usize = 10;

/// A chain of somebody else: a base chain, or one that a base chain leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignChain {
    /// Family, table and name, as `nft list chain` takes them, or the program and the table of legacy iptables.
    pub name: String,
    /// Where its packets come from.
    pub hook: ForeignHook,
    /// Name of the base chain that leads here; none of a base chain.
    pub reached_from: Option<String>,
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

impl ForeignHook {
    /// By its number in `enum nf_inet_hooks`.
    fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Input),
            2 => Some(Self::Forward),
            _ => None,
        }
    }
}

impl Nft {
    /// Chains that packets meet on `forward` and `input` and that are not in our table, in all tables that concern IP:
    /// every base chain, and behind it those that it leads to and that drop.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn foreign_chains(&mut self) -> Result<Vec<ForeignChain>, NftError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match nftables::read(self.socket()) {
                Err(NftError::Refused { source, .. })
                    if source.raw_os_error() == Some(libc::EINTR) && attempt < ATTEMPTS => {}
                result => return result,
            }
        }
    }
}

/// The same of one table of legacy iptables, for IPv4 or IPv6. A table that is not there would be made by the question,
/// so that it is for tables which `/proc/net/ip_tables_names` or its IPv6 sister shows.
///
/// # Errors
/// When it cannot be read.
pub fn legacy_chains(family: types::IpFamily, table: &str) -> std::io::Result<Vec<ForeignChain>> {
    legacy::read(family, table)
}

/// What is known of one chain.
#[derive(Debug, Default)]
struct Known {
    /// Hook, and whether the policy is drop.
    base: Option<(ForeignHook, bool)>,
    rules: usize,
    dropping: usize,
    leads_to: BTreeSet<String>,
}

/// The chains of one table by name.
type Table = BTreeMap<String, Known>;

/// What becomes of packets that a rule matches, as far as it matters here.
enum Fate {
    Dropped,
    To(String),
    Other,
}

impl Known {
    fn count(&mut self, fates: impl IntoIterator<Item = Fate>) {
        self.rules += 1;
        let mut is_dropping = false;
        for fate in fates {
            match fate {
                Fate::Dropped => is_dropping = true,
                Fate::To(chain) => drop(self.leads_to.insert(chain)),
                Fate::Other => {}
            }
        }
        self.dropping += usize::from(is_dropping);
    }
}

/// The base chains of a table, each followed by the chains that it leads to and that drop.
fn told<'a>(title: &'a str, table: &'a Table) -> impl Iterator<Item = ForeignChain> + 'a {
    table.iter().filter_map(|(name, known)| Some((name, known, known.base?))).flat_map(
        move |(base, known, (hook, drops))| {
            let mut reached = BTreeSet::from([base]);
            let mut unread = vec![known];
            while let Some(known) = unread.pop() {
                let next = known.leads_to.iter().filter_map(|name| table.get_key_value(name));
                unread.extend(next.filter(|(name, _)| reached.insert(name)).map(|(_, known)| known));
            }
            reached.remove(base);
            let chain = move |name: &String, known: &Known| ForeignChain {
                name: format!("{title} {name}"),
                hook,
                reached_from: (name != base).then(|| base.clone()),
                drops: name == base && drops,
                rules: known.rules,
                dropping: known.dropping,
            };
            let behind = reached.into_iter().map(|name| (name, &table[name]));
            let behind = behind.filter(|(_, known)| known.dropping > 0);
            std::iter::once((base, known)).chain(behind).map(move |(name, known)| chain(name, known))
        },
    )
}
