//! One reply that is kept: which replies are, for how long, and how they are written again.

use plan::{CacheLimits, DnsCache, Prefetch};

use super::{CacheKey, Question};
use crate::asking::question_end;
use crate::message::{FLAG_AA, FLAG_QR, FLAG_RA, HEADER, QUESTION, Rcode, parse_name, u16_at};
use crate::received::{Received, RecordAt, error_option, push_opt, set_opt_length};
use crate::{Keep, RecordType};

/// What kind of reply it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There are records.
    Success,
    /// There are none: NXDOMAIN or NODATA.
    Denial,
    /// SERVFAIL, or no reply at all.
    Failure,
}

/// A reply and what is known of its use.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) hash: u64,
    forward: usize,
    keep: Keep,
    query: Box<[u8]>,
    /// The reply without its OPT record, its times to live as they were when it was stored.
    message: Box<[u8]>,
    /// Where the times to live are.
    ttls: Box<[u16]>,
    /// The options of its OPT record that clients see.
    errors: Box<[u8]>,
    /// When it was stored, in milliseconds, as all that follows.
    pub(crate) stored: u64,
    /// When its shortest time to live has ended.
    pub(crate) ends: u64,
    /// Nobody is told to ask anew before then.
    pub(crate) asked_again_at: u64,
    /// How often it was looked for without too long a pause.
    pub(crate) hits: u32,
    last_hit: u64,
}

impl Kind {
    /// In which store such entries are.
    pub(crate) fn store(self) -> usize {
        match self {
            Self::Success => 0,
            Self::Denial | Self::Failure => 1,
        }
    }
}

impl Entry {
    /// The entry of a reply; `None` when it is not to be kept.
    pub(crate) fn of(reply: &Received<'_>, settings: &DnsCache, now: u64) -> Option<Self> {
        let kind = kind_of(reply)?;
        let mut entry = Self::new(kind, reply.bytes[..reply.end].to_vec(), now);
        let mut shortest = u32::MAX;
        let limits = limits_of(settings, kind);
        entry.ttls = reply
            .records()
            .map(|record| {
                let own = ttl_of(reply, record);
                let ttl = limits.map_or(own, |limits| within(own, limits));
                shortest = shortest.min(ttl);
                entry.message[record.ttl..record.ttl + 4].copy_from_slice(&ttl.to_be_bytes());
                // A reply to a query of ours is no longer than a message over TCP: 65 535 bytes.
                u16::try_from(record.ttl).unwrap_or(u16::MAX)
            })
            .collect();
        let seconds = if kind == Kind::Failure { settings.failure_seconds } else { shortest };
        entry.ends = now + u64::from(seconds) * 1000;
        entry.errors = reply.errors().flatten().copied().collect();
        Some(entry)
    }

    /// That there was no reply.
    pub(crate) fn failure(query: &[u8], seconds: u32, now: u64) -> Self {
        let end = question_end(query).unwrap_or(query.len());
        let mut entry = Self::new(Kind::Failure, query[..end].to_vec(), now);
        entry.ends = now + u64::from(seconds) * 1000;
        if entry.message.len() >= HEADER {
            entry.message[2] |= FLAG_QR;
            entry.message[3] = FLAG_RA | Rcode::ServFail as u8;
        }
        entry
    }

    fn new(kind: Kind, mut message: Vec<u8>, now: u64) -> Self {
        if message.len() >= HEADER {
            // What comes from here later is not from the server that has authority.
            message[2] &= !FLAG_AA;
            message[10..HEADER].fill(0);
        }
        Self {
            kind,
            hash: 0,
            forward: 0,
            keep: Keep { success: true, denial: true },
            query: Box::default(),
            message: message.into(),
            ttls: Box::default(),
            errors: Box::default(),
            stored: now,
            ends: now,
            asked_again_at: 0,
            hits: 0,
            last_hit: now,
        }
    }

    pub(crate) fn set_key(&mut self, key: &CacheKey<'_>) {
        let Question { forward, keep, query } = key.question;
        self.hash = key.hash;
        (self.forward, self.keep, self.query) = (forward, keep, query.into());
    }

    pub(crate) fn is_of(&self, question: &Question<'_>) -> bool {
        let own = Question { forward: self.forward, keep: self.keep, query: &self.query };
        own == *question
    }

    /// How much memory it takes, about.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.query.len() + self.message.len() + 2 * self.ttls.len() + self.errors.len()
    }

    pub(crate) fn is_name_error(&self) -> bool {
        self.message[3] & 0x0f == 3
    }

    /// Goes on counting where the reply that this one replaces was.
    pub(crate) fn take_hits(&mut self, hits: u32, now: u64) {
        self.hits = hits;
        self.last_hit = now;
    }

    /// Counts a look-up, and tells whether the reply is asked for often and ends soon (CoreDNS, plugin cache,
    /// `shouldPrefetch`).
    pub(crate) fn is_ending(&mut self, prefetch: Option<&Prefetch>, now: u64) -> bool {
        let Some(prefetch) = prefetch else { return false };
        let is_pause = now.saturating_sub(self.last_hit) > u64::from(prefetch.pause_seconds) * 1000;
        self.hits = if is_pause { 1 } else { self.hits.saturating_add(1) };
        self.last_hit = now;
        let threshold = ((self.ends - self.stored) * u64::from(prefetch.percent)).div_ceil(100);
        self.kind != Kind::Failure && self.hits >= prefetch.amount && self.ends - now <= threshold
    }

    /// Writes the reply with other times to live, and with one more Extended DNS Error.
    pub(crate) fn write(&self, ttl: impl Fn(u32) -> u32, error: Option<u16>, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.message);
        for at in &self.ttls {
            let at = usize::from(*at);
            let Some(bytes) = out.get_mut(at..at + 4) else { continue };
            let stored = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            bytes.copy_from_slice(&ttl(stored).to_be_bytes());
        }
        if error.is_none() && self.errors.is_empty() {
            return;
        }
        let start = push_opt(false, out);
        out.extend_from_slice(&self.errors);
        let mut length = self.errors.len();
        if let Some(code) = error {
            let option = error_option(code);
            out.extend_from_slice(&option);
            length += option.len();
        }
        set_opt_length(start, length, out);
    }
}

/// Which replies are kept, as what. Truncated ones are not, nor those with other response codes, nor what says that there
/// is nothing without an SOA record that says for how long (RFC 2308 section 5).
fn kind_of(reply: &Received<'_>) -> Option<Kind> {
    if reply.is_truncated() {
        return None;
    }
    let has_soa = || reply.records().any(is_denying_soa);
    match reply.rcode() {
        0 if reply.count(0) > 0 => (!is_off_topic(reply)).then_some(Kind::Success),
        0 | 3 => has_soa().then_some(Kind::Denial),
        2 => Some(Kind::Failure),
        _ => None,
    }
}

/// Whether a reply has records and none of them is of the name asked for.
pub(crate) fn is_off_topic(reply: &Received<'_>) -> bool {
    let asked = parse_name(reply.bytes, QUESTION);
    let mut answers = reply.records().filter(|record| record.section == 0).peekable();
    answers.peek().is_some()
        && !answers.any(|record| {
            let is_pointer = reply.bytes[record.owner..].starts_with(&[0xc0, QUESTION as u8]);
            is_pointer
                || parse_name(reply.bytes, record.owner).map(|(name, _)| name) == name_of(asked.as_ref())
        })
}

fn name_of(parsed: Option<&(Vec<u8>, usize)>) -> Option<Vec<u8>> {
    parsed.map(|(name, _)| name.clone())
}

/// The SOA record of a zone that says that there is nothing.
fn is_denying_soa(record: RecordAt) -> bool {
    record.section == 1 && record.kind == RecordType::SOA
}

/// A record's time to live. That of the SOA record behind a denial is no longer than its last field (RFC 2308 section 5);
/// with the highest bit set it is zero (RFC 2181 section 8).
fn ttl_of(reply: &Received<'_>, record: RecordAt) -> u32 {
    let ttl = u32_at(reply.bytes, record.ttl);
    if !is_denying_soa(record) || record.end - record.data < 20 {
        return ttl;
    }
    ttl.min(u32_at(reply.bytes, record.end - 4))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let half = |at| u32::from(u16_at(bytes, at).unwrap_or(0));
    let number = half(at) << 16 | half(at + 2);
    if number > i32::MAX.unsigned_abs() { 0 } else { number }
}

fn within(ttl: u32, limits: &CacheLimits) -> u32 {
    ttl.max(limits.min_ttl_seconds).min(limits.max_ttl_seconds)
}

/// The limits for a kind of reply; a failure has its own time.
fn limits_of(settings: &DnsCache, kind: Kind) -> Option<&CacheLimits> {
    match kind {
        Kind::Success => Some(&settings.success),
        Kind::Denial => Some(&settings.denial),
        Kind::Failure => None,
    }
}
