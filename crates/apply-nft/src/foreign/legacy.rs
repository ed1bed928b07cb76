//! Chains of legacy iptables, as the kernel hands them out to `iptables-legacy-save`.
//!
//! Layouts are those of `linux/netfilter_ipv4/ip_tables.h`, `linux/netfilter_ipv6/ip6_tables.h` and
//! `linux/netfilter/x_tables.h`.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use types::IpFamily;

use super::{Fate, ForeignChain, ForeignHook, Known, Table, told};

/// `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES`, the same numbers for IPv6.
const GET_INFO: libc::c_int = 64;
const GET_ENTRIES: libc::c_int = 65;
/// `XT_TABLE_MAXNAMELEN`.
const NAME: usize = 32;
/// `struct ipt_getinfo`: name, valid hooks, five entries, five underflows, number of entries, their size.
const INFO: usize = NAME + 13 * 4;
/// `struct ipt_get_entries` without its entries, which begin at a multiple of 8.
const ENTRIES: usize = NAME + 8;
/// Built-in chains, by `enum nf_inet_hooks`.
const BUILT_IN: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
/// How often the table may have become another one between the two questions.
const ATTEMPTS: usize = 10;
/// The verdict `NF_DROP` as a standard target writes it: below 0, and less 1.
const DROP: i32 = -1;

pub(super) fn read(family: IpFamily, table: &str) -> io::Result<Vec<ForeignChain>> {
    let (domain, level, title) = match family {
        IpFamily::V4 => (libc::AF_INET, libc::SOL_IP, "iptables-legacy"),
        IpFamily::V6 => (libc::AF_INET6, libc::SOL_IPV6, "ip6tables-legacy"),
    };
    // SAFETY: no pointer is passed.
    let socket = unsafe { libc::socket(domain, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was opened just now and is nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let mut attempt = 0;
    let (info, entries) = loop {
        attempt += 1;
        let mut info = named(table, INFO);
        ask(&socket, level, GET_INFO, &mut info)?;
        let size = number(&info, INFO - 4).unwrap_or_default();
        let mut entries = named(table, ENTRIES + size as usize);
        entries[NAME..NAME + 4].copy_from_slice(&size.to_ne_bytes());
        match ask(&socket, level, GET_ENTRIES, &mut entries) {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && attempt < ATTEMPTS => {}
            asked => break asked.map(|()| (info, entries.split_off(ENTRIES)))?,
        }
    };
    Ok(told(&format!("{title} {table}"), &chains(family, &info, &entries)).collect())
}

fn named(table: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let name = &table.as_bytes()[..table.len().min(NAME - 1)];
    bytes[..name.len()].copy_from_slice(name);
    bytes
}

fn ask(socket: &OwnedFd, level: libc::c_int, option: libc::c_int, buffer: &mut [u8]) -> io::Result<()> {
    let mut len = libc::socklen_t::try_from(buffer.len()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `len` bytes, which is how many there are.
    let answered = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, option, buffer.as_mut_ptr().cast(), &raw mut len)
    };
    if answered < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// One rule, or the mark in front of a chain of the user's.
struct Entry<'a> {
    at: u32,
    target: &'a [u8],
}

impl Entry<'_> {
    /// The target's name; a standard target has none.
    fn name(&self) -> String {
        text(self.target.get(2..31).unwrap_or_default())
    }

    /// What a standard target says: a verdict below 0, else where to go on.
    fn verdict(&self) -> Option<i32> {
        number(self.target, 32).filter(|_| self.name().is_empty()).map(u32::cast_signed)
    }
}

/// Reads all entries; what is not as it should be ends the reading.
fn entries(family: IpFamily, bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    // `target_offset` and behind it `next_offset`.
    let offsets = if family == IpFamily::V4 { 88 } else { 140 };
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest: &[u8] = bytes.get(at..)?;
        let half = |at: usize| Some(usize::from(u16::from_ne_bytes(rest.get(at..at + 2)?.try_into().ok()?)));
        let (target, next) = (half(offsets)?, half(offsets + 2).filter(|next| *next > offsets)?);
        let entry = Entry { at: u32::try_from(at).ok()?, target: rest.get(target..next)? };
        at += next;
        Some(entry)
    })
}

fn chains(family: IpFamily, info: &[u8], bytes: &[u8]) -> Table {
    let hooks = (0..5usize).filter(|hook| number(info, NAME).is_some_and(|valid| valid >> hook & 1 == 1));
    let begins: BTreeMap<u32, usize> =
        hooks.filter_map(|hook| Some((number(info, NAME + 4 + 4 * hook)?, hook))).collect();
    // Chains of the user's, by where their rules begin, which is what jumps say.
    let mut names: BTreeMap<u32, String> = BTreeMap::new();
    let mut is_marked = None;
    for entry in entries(family, bytes) {
        if let Some(name) = is_marked.take() {
            names.insert(entry.at, name);
        }
        is_marked = (entry.name() == "ERROR").then(|| text(entry.target.get(32..62).unwrap_or_default()));
    }
    let mut table = Table::new();
    let mut current = None;
    for entry in entries(family, bytes).filter(|entry| entry.name() != "ERROR") {
        if let Some(hook) = begins.get(&entry.at) {
            let policy = number(info, NAME + 24 + 4 * hook);
            let drops = policy.and_then(|at| entries(family, bytes).find(|entry| entry.at == at));
            let drops = drops.and_then(|entry| entry.verdict()) == Some(DROP);
            let base = u32::try_from(*hook).ok().and_then(ForeignHook::of).map(|hook| (hook, drops));
            table.insert(BUILT_IN[*hook].to_owned(), Known { base, ..Known::default() });
            current = Some(BUILT_IN[*hook].to_owned());
        } else if let Some(name) = names.get(&entry.at) {
            table.insert(name.clone(), Known::default());
            current = Some(name.clone());
        }
        if let Some(known) = current.as_ref().and_then(|name| table.get_mut(name)) {
            known.count([fate(&entry, &names)]);
        }
    }
    for known in table.values_mut() {
        // The last entry of each chain is its policy, or the return to who jumped.
        known.rules = known.rules.saturating_sub(1);
        known.dropping -= usize::from(known.base.is_some_and(|(_, drops)| drops));
    }
    table
}

fn fate(entry: &Entry<'_>, names: &BTreeMap<u32, String>) -> Fate {
    if ["REJECT", "DROP"].contains(&entry.name().as_str()) {
        return Fate::Dropped;
    }
    match entry.verdict() {
        Some(DROP) => Fate::Dropped,
        // A rule without a target goes on with the next one, which is no chain's first.
        Some(verdict) => u32::try_from(verdict)
            .ok()
            .and_then(|at| names.get(&at))
            .map_or(Fate::Other, |name| Fate::To(name.clone())),
        None => Fate::Other,
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
