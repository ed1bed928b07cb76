//! Making our table equal to a ruleset.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use plan::{Failure, Report};
use ruleset::{
    Data, Element, End, Key, Rightful, Ruleset, Step, TableFamily, Transaction, apply_in_place, diff,
    frontends_that_lose, is_client_current, shrinks_a_pool,
};
use types::IpFamily;

use crate::conntrack::Tracked;
use crate::error::NftError;
use crate::load::batches;
use crate::socket::Socket;
use crate::{conntrack, read};

/// nftables and connection tracking of one network namespace.
///
/// The namespace is that of the thread that called [`Nft::open`]; afterwards any thread may use it.
pub struct Nft {
    socket: Socket,
    /// The tables as of a generation: true as long as the kernel's generation is that one.
    known: BTreeMap<TableFamily, (u32, Ruleset)>,
    /// UDP frontends that lost backends since connections were looked through.
    losing: BTreeSet<End>,
    /// What connections were looked through for last.
    looked_for: Option<Rightful>,
}

/// When to look through all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// When what is rightful has changed since the last look.
    IfChanged,
    /// In any case: a packet on its way while rules changed can leave a connection that nobody expects.
    Again,
}

impl Nft {
    /// Opens the socket this value keeps.
    ///
    /// # Errors
    /// When the kernel has no netfilter netlink, or no more sockets are allowed.
    pub fn open() -> Result<Self, NftError> {
        Ok(Self {
            socket: Socket::open()?,
            known: BTreeMap::new(),
            losing: BTreeSet::new(),
            looked_for: None,
        })
    }

    pub(crate) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Our table of a family as the kernel has it, or that there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_back(&mut self, family: TableFamily) -> Result<Ruleset, NftError> {
        read::read_back(&mut self.socket, family)
    }

    /// Every connection that the kernel tracks.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn connections(&mut self) -> Result<Vec<Tracked>, NftError> {
        conntrack::all(&mut self.socket)
    }

    /// Makes our table of this family equal to `desired`; writes nothing when it is. What failed stays due: call again.
    pub fn converge(&mut self, desired: &Ruleset) -> Report {
        // Somebody else may change the table between our reading and our writing; then the kernel refuses what does
        // not fit, and a second look finds what they did.
        let result = self.converge_once(desired).or_else(|error| {
            tracing::debug!(
                error = &error as &dyn Error,
                "nftables refuses a change, reading the table again"
            );
            self.known.clear();
            self.converge_once(desired)
        });
        result.unwrap_or_else(|error| {
            self.known.clear();
            failed(&format!("table {} {}", desired.family, ruleset::TABLE), &error)
        })
    }

    fn converge_once(&mut self, desired: &Ruleset) -> Result<Report, NftError> {
        let generation = read::generation(&mut self.socket)?;
        let (mut actual, is_fresh) = match self.known.remove(&desired.family) {
            Some((known, actual)) if known == generation => (actual, false),
            _ => (read::read_back(&mut self.socket, desired.family)?, true),
        };
        let transaction = diff(&actual, desired);
        // Before it is tried: what fails half-way is not in the next difference any more.
        self.losing.extend(frontends_that_lose(&transaction));
        let batches = self.commit(&transaction, &actual)?;
        let now = read::generation(&mut self.socket)?;
        // Counted wrong when somebody else committed meanwhile, or the number 0 was skipped: then it is read again.
        if now == generation.wrapping_add(batches) {
            apply_in_place(&transaction, &mut actual);
            self.known.insert(desired.family, (now, actual));
            // What we wrote into one table changed nothing in the other.
            let others = self.known.values_mut().filter(|(known, _)| *known == generation);
            others.for_each(|(known, _)| *known = now);
        }
        let mut report = Report { written: transaction.len(), failures: Vec::new() };
        if desired.family == TableFamily::Inet && (is_fresh || !transaction.is_empty()) {
            report = report.and(self.forget_all_clients(&transaction, desired, is_fresh));
        }
        Ok(report)
    }

    /// Sends a transaction; in how many batches.
    fn commit(&mut self, transaction: &Transaction, actual: &Ruleset) -> Result<u32, NftError> {
        let mut sent = 0;
        for mut batch in batches(transaction, actual, self.socket.batch_limit) {
            let names = batch.names;
            let last = batch.messages.len() - 2;
            self.socket.transact(&mut batch.messages, last, |index| names[index].clone())?;
            sent += 1;
        }
        Ok(sent)
    }

    /// Forgets the UDP connections that lead where they should not any more. To be called after [`Nft::converge`].
    ///
    /// What is there is compared with what should be, so neither a change that was missed nor a restart matters.
    pub fn forget_connections(&mut self, rightful: &Rightful, look: Look) -> Report {
        let is_settled = self.looked_for.as_ref() == Some(rightful) && self.losing.is_empty();
        let has_nothing = rightful.is_empty() && self.losing.is_empty();
        if has_nothing || (is_settled && look == Look::IfChanged) {
            return Report::default();
        }
        let losing = &self.losing;
        match conntrack::forget(&mut self.socket, |connection| rightful.is_stale(connection, losing)) {
            Ok(forgotten) => {
                self.losing.clear();
                self.looked_for = Some(rightful.clone());
                Report { written: forgotten, failures: Vec::new() }
            }
            Err(error) => {
                self.looked_for = None;
                failed("UDP connections to removed endpoints", &error)
            }
        }
    }

    /// Forgets which backend clients had, where it has gone.
    fn forget_all_clients(&mut self, done: &Transaction, after: &Ruleset, is_fresh: bool) -> Report {
        let mut report = Report::default();
        if !is_fresh && !shrinks_a_pool(done) {
            return report;
        }
        for (family, clients) in [(IpFamily::V4, "clients4"), (IpFamily::V6, "clients6")] {
            match self.forget_clients(after, family, clients) {
                Ok(forgotten) => report.written += forgotten,
                Err(error) => report = report.and(failed("clients of removed backends", &error)),
            }
        }
        report
    }

    /// Removes the elements of a dynamic map that no pool has any more; how many.
    fn forget_clients(&mut self, rules: &Ruleset, family: IpFamily, name: &str) -> Result<usize, NftError> {
        let Some(set) = rules.sets.get(name) else { return Ok(0) };
        let stale: Vec<(Key, Element)> = read::clients(&mut self.socket, name, set)?
            .into_iter()
            .filter(|(key, data)| !is_client_current(rules, family, key, data))
            .map(|(key, _)| (Key::exact(key), Element { data: Data::None, comment: String::new() }))
            .collect();
        let mut forgotten = 0;
        // One by one: an element may expire meanwhile, and that must not keep the others.
        for client in stale {
            let removal = Transaction { steps: vec![Step::RemoveElements(name.to_owned(), vec![client])] };
            match self.commit(&removal, rules) {
                Ok(_) => forgotten += 1,
                Err(error) if error.is_absent() => {}
                Err(error) => return Err(error),
            }
        }
        if forgotten > 0 {
            self.known.clear();
        }
        Ok(forgotten)
    }
}

fn failed(what: &str, error: &NftError) -> Report {
    let why = types::with_causes(error);
    Report { written: 0, failures: vec![Failure { what: what.to_owned(), why }] }
}
