//! Making our table equal to a ruleset.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use plan::{Failure, NodePlan, Report};
use ruleset::{
    Data, Element, End, Following, Key, Rendered, Rightful, Ruleset, Step, TableFamily, Transaction,
    apply_in_place, declared_sets, diff, frontends_that_lose, is_client_current, render, render_frames,
    shrinks_a_pool,
};
use types::IpFamily;

use crate::conntrack::Tracked;
use crate::error::NftError;
use crate::load::{Batch, batches, batches_of_plan};
use crate::socket::Socket;
use crate::{conntrack, read};

/// nftables and connection tracking of one network namespace.
///
/// The namespace is that of the thread that called [`Nft::open`]; afterwards any thread may use it.
pub struct Nft {
    socket: Socket,
    /// The tables as of a generation: true as long as the kernel's generation is that one.
    known: BTreeMap<TableFamily, (u32, Known)>,
    /// UDP frontends that lost backends since connections were looked through.
    losing: BTreeSet<End>,
    /// What connections were looked through for last.
    looked_for: LookedFor,
}

/// What a table has.
enum Known {
    /// These rules.
    Rules(Ruleset),
    /// Those of this plan, which are rendered where they are needed: the plan is a fraction of their size.
    Plan(Box<Rendered>),
}

/// What connections were looked through for.
#[derive(PartialEq, Eq)]
enum LookedFor {
    /// Nothing that is still rightful.
    Nothing,
    /// What the plan known to be in force permits.
    Plan,
    /// This.
    Rightful(Rightful),
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
            looked_for: LookedFor::Nothing,
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
            Some((known, Known::Rules(actual))) if known == generation => (actual, false),
            Some((known, Known::Plan(rendered))) if known == generation => (rendered.rules(), false),
            _ => (read::read_back(&mut self.socket, desired.family)?, true),
        };
        let transaction = diff(&actual, desired);
        // Before it is tried: what fails half-way is not in the next difference any more.
        self.losing.extend(frontends_that_lose(&transaction));
        let batches = self.commit(&transaction, &actual)?;
        if let Some(now) = self.advance(generation, batches)? {
            apply_in_place(&transaction, &mut actual);
            self.known.insert(desired.family, (now, Known::Rules(actual)));
        }
        let mut report = Report { written: transaction.len(), failures: Vec::new() };
        let is_concerned = is_fresh || shrinks_a_pool(&transaction);
        if desired.family == TableFamily::Inet && is_concerned {
            report = report.and(self.forget_all_clients(desired));
        }
        Ok(report)
    }

    /// Makes all of a node's plan true that is ours here: both tables, and which connections there are.
    ///
    /// After a plan that was brought about so, and while nobody else writes, only what differs from it is looked at.
    pub fn converge_plan(&mut self, plan: &NodePlan, look: Look) -> Report {
        let frames = self.converge(&render_frames(plan));
        let rules = match self.follow(plan) {
            Ok(Some(report)) => report,
            Ok(None) => self.converge_whole(plan),
            Err(error) => {
                let error = &error as &dyn Error;
                tracing::debug!(error, "nftables refuses a change, reading the table again");
                self.known.clear();
                self.converge_whole(plan)
            }
        };
        frames.and(rules).and(self.forget_connections_of(plan, look))
    }

    /// Writes what differs from the plan in force; none where that is not known.
    fn follow(&mut self, plan: &NodePlan) -> Result<Option<Report>, NftError> {
        let generation = read::generation(&mut self.socket)?;
        let mut rendered = match self.known.remove(&TableFamily::Inet) {
            Some((known, Known::Plan(rendered))) if known == generation => rendered,
            Some(other) => {
                self.known.insert(TableFamily::Inet, other);
                return Ok(None);
            }
            None => return Ok(None),
        };
        let Following { transaction, is_rightful_new } = rendered.follow(plan);
        if is_rightful_new {
            self.looked_for = LookedFor::Nothing;
        }
        self.losing.extend(frontends_that_lose(&transaction));
        let batches = self.commit(&transaction, declared_sets())?;
        let pools = shrinks_a_pool(&transaction).then(|| rendered.pools());
        if let Some(now) = self.advance(generation, batches)? {
            self.known.insert(TableFamily::Inet, (now, Known::Plan(rendered)));
        }
        let report = Report { written: transaction.len(), failures: Vec::new() };
        let forgotten = pools.map(|pools| self.forget_all_clients(&pools)).unwrap_or_default();
        Ok(Some(report.and(forgotten)))
    }

    fn converge_whole(&mut self, plan: &NodePlan) -> Report {
        self.looked_for = LookedFor::Nothing;
        match self.load(plan) {
            Ok(Some(report)) => return report,
            Ok(None) => {}
            Err(error) => {
                let error = &error as &dyn Error;
                tracing::debug!(error, "nftables refuses a load, reading the table again");
                self.known.clear();
            }
        }
        let report = self.converge(&render(plan));
        if let Some((_, known)) = self.known.get_mut(&TableFamily::Inet) {
            *known = Known::Plan(Box::new(Rendered::new(plan)));
        }
        report
    }

    /// Loads a plan where there is no table yet, without making a value of all its rules first; none where there is one.
    fn load(&mut self, plan: &NodePlan) -> Result<Option<Report>, NftError> {
        let generation = read::generation(&mut self.socket)?;
        let actual = match self.known.remove(&TableFamily::Inet) {
            Some((known, Known::Rules(actual))) if known == generation => actual,
            _ => read::read_back(&mut self.socket, TableFamily::Inet)?,
        };
        if !actual.is_absent() {
            self.known.insert(TableFamily::Inet, (generation, Known::Rules(actual)));
            return Ok(None);
        }
        let (batches, written) = batches_of_plan(plan, self.socket.batch_limit);
        let sent = self.send(batches)?;
        if let Some(now) = self.advance(generation, sent)? {
            let rendered = Known::Plan(Box::new(Rendered::new(plan)));
            self.known.insert(TableFamily::Inet, (now, rendered));
        }
        Ok(Some(Report { written, failures: Vec::new() }))
    }

    /// The kernel's generation after so many batches of ours; none when somebody else committed meanwhile, or the number
    /// 0 was skipped: then the tables are read again.
    fn advance(&mut self, from: u32, batches: u32) -> Result<Option<u32>, NftError> {
        let now = read::generation(&mut self.socket)?;
        if now != from.wrapping_add(batches) {
            return Ok(None);
        }
        // What we wrote into one table changed nothing in the other.
        let others = self.known.values_mut().filter(|(known, _)| *known == from);
        others.for_each(|(known, _)| *known = now);
        Ok(Some(now))
    }

    /// Sends a transaction; in how many batches.
    fn commit(&mut self, transaction: &Transaction, actual: &Ruleset) -> Result<u32, NftError> {
        self.send(batches(transaction, actual, self.socket.batch_limit))
    }

    fn send(&mut self, batches: Vec<Batch>) -> Result<u32, NftError> {
        let mut sent = 0;
        for mut batch in batches {
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
        let is_same = matches!(&self.looked_for, LookedFor::Rightful(last) if last == rightful);
        let report = self.look_through(rightful, is_same && look == Look::IfChanged);
        if report.failures.is_empty() {
            self.looked_for = LookedFor::Rightful(rightful.clone());
        }
        report
    }

    fn forget_connections_of(&mut self, plan: &NodePlan, look: Look) -> Report {
        let is_done = self.looked_for == LookedFor::Plan && look == Look::IfChanged;
        let known = self.known.remove(&TableFamily::Inet);
        let report = match &known {
            Some((_, Known::Plan(rendered))) => self.look_through(rendered.rightful(), is_done),
            _ => self.look_through(&Rightful::of(plan), false),
        };
        self.looked_for = match &known {
            Some((_, Known::Plan(_))) if report.failures.is_empty() => LookedFor::Plan,
            _ => LookedFor::Nothing,
        };
        self.known.extend(known.map(|known| (TableFamily::Inet, known)));
        report
    }

    fn look_through(&mut self, rightful: &Rightful, is_done: bool) -> Report {
        let has_nothing = rightful.is_empty() && self.losing.is_empty();
        if has_nothing || (is_done && self.losing.is_empty()) {
            return Report::default();
        }
        let losing = &self.losing;
        match conntrack::forget(&mut self.socket, |connection| rightful.is_stale(connection, losing)) {
            Ok(forgotten) => {
                self.losing.clear();
                Report { written: forgotten, failures: Vec::new() }
            }
            Err(error) => {
                self.looked_for = LookedFor::Nothing;
                failed("UDP connections to removed endpoints", &error)
            }
        }
    }

    /// Forgets which backend clients had, where it has gone.
    fn forget_all_clients(&mut self, pools: &Ruleset) -> Report {
        let mut report = Report::default();
        for (family, clients) in [(IpFamily::V4, "clients4"), (IpFamily::V6, "clients6")] {
            match self.forget_clients(pools, family, clients) {
                Ok(forgotten) => report.written += forgotten,
                Err(error) => report = report.and(failed("clients of removed backends", &error)),
            }
        }
        report
    }

    /// Removes the elements of a dynamic map that no pool has any more; how many.
    fn forget_clients(&mut self, pools: &Ruleset, family: IpFamily, name: &str) -> Result<usize, NftError> {
        let Some(set) = pools.sets.get(name) else { return Ok(0) };
        let generation = read::generation(&mut self.socket)?;
        let stale: Vec<(Key, Element)> = read::clients(&mut self.socket, name, set)?
            .into_iter()
            .filter(|(key, data)| !is_client_current(pools, family, key, data))
            .map(|(key, _)| (Key::exact(key), Element { data: Data::None, comment: String::new() }))
            .collect();
        let (mut forgotten, mut batches) = (0, 0);
        // One by one: an element may expire meanwhile, and that must not keep the others.
        for client in stale {
            let removal = Transaction { steps: vec![Step::RemoveElements(name.to_owned(), vec![client])] };
            match self.commit(&removal, declared_sets()) {
                Ok(sent) => {
                    forgotten += 1;
                    batches += sent;
                }
                Err(error) if error.is_absent() => {}
                Err(error) => return Err(error),
            }
        }
        self.advance(generation, batches)?;
        Ok(forgotten)
    }
}

fn failed(what: &str, error: &NftError) -> Report {
    let why = types::with_causes(error);
    Report { written: 0, failures: vec![Failure { what: what.to_owned(), why }] }
}
