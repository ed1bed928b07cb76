//! Limits of how fast a link sends: one token bucket (`sch_tbf` of the kernel) in place of the link's queue.

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_REPLACE, Nla, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage, TcOption};
use types::{LinkName, Rate};

use crate::channel::Channel;
use crate::{Netlink, NetlinkError};

const KIND: &str = "tbf";

/// `TCA_TBF_PARMS`, `TCA_TBF_RATE64` and `TCA_TBF_BURST` of `linux/pkt_sched.h`.
const PARAMETERS: u16 = 1;
const RATE_64: u16 = 4;
const BURST: u16 = 6;

/// How long a packet may wait, in parts of a second: 25 ms, as the `bandwidth` plugin has it (`latencyInMillis`).
const WAITS_PER_SECOND: u64 = 40;

/// Where `struct tc_tbf_qopt` has the `rate` of its first `struct tc_ratespec`, and where its `limit`.
const RATE_AT: usize = 8;
const LIMIT_AT: usize = 24;
const PARAMETERS_LEN: usize = 36;
/// `TC_LINKLAYER_ETHERNET`: the kernel then needs no table of transmission times.
const ETHERNET: u8 = 1;

/// A limit in force, and what it did so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shaper {
    /// Bytes per second.
    pub bytes_per_second: u64,
    /// Bytes that may wait.
    pub limit: u32,
    /// Bytes that passed.
    pub passed: u64,
    /// How often a packet had to wait.
    pub waits: u32,
    /// Packets dropped because too many waited.
    pub dropped: u32,
}

impl Netlink {
    /// How fast a link may send; `None` when nothing of our kind limits it.
    ///
    /// # Errors
    /// When there is no such link or the kernel cannot be asked.
    pub fn shaper(&mut self, link: &LinkName) -> Result<Option<Shaper>, NetlinkError> {
        let link = self.channel.existing_link(link)?;
        self.channel.shaper(link.index)
    }
}

impl Channel {
    /// Lets the link with this index send so fast and no faster.
    pub(crate) fn shape(&mut self, link: u32, rate: Rate) -> Result<(), NetlinkError> {
        let mut message = at_root(link);
        message.attributes = vec![TcAttribute::Kind(KIND.to_owned()), TcAttribute::Options(options(rate))];
        let what = || format!("limit a link to {} bytes per second", rate.bytes_per_second);
        self.write(what, RouteNetlinkMessage::NewQueueDiscipline(message), NLM_F_CREATE | NLM_F_REPLACE)
    }

    pub(crate) fn shaper(&mut self, link: u32) -> Result<Option<Shaper>, NetlinkError> {
        // Asked for one, the kernel answers its listeners and not the one who asks (`rtnetlink_send` without echo).
        let all = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        let answers = self.read_all("limits of links", &all)?;
        Ok(answers.iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewQueueDiscipline(message) if message.header.index == index(link) => {
                parse(message)
            }
            _ => None,
        }))
    }

    /// Adds to `missing` when the link is not limited as `wanted`; limits that others made are theirs.
    pub(crate) fn verify_shaper(
        &mut self,
        (link, name): (u32, &str),
        wanted: Option<Rate>,
        missing: &mut Vec<String>,
    ) -> Result<(), NetlinkError> {
        let Some(rate) = wanted else { return Ok(()) };
        let has = self.shaper(link)?.map(|shaper| (shaper.bytes_per_second, shaper.limit));
        if has != Some((rate.bytes_per_second, limit(rate))) {
            missing.push(format!("{name} is not limited to {} bytes per second", rate.bytes_per_second));
        }
        Ok(())
    }
}

fn at_root(link: u32) -> TcMessage {
    let mut message = TcMessage::with_index(index(link));
    message.header.parent = TcHandle::ROOT;
    message
}

fn index(link: u32) -> i32 {
    i32::try_from(link).expect("the kernel's indices are positive")
}

/// What may wait, in bytes: as the `bandwidth` plugin has it, and never less than one longest packet behind another, of
/// which the second would be dropped whenever it comes before the first has gone.
fn limit(rate: Rate) -> u32 {
    let waiting = u32::try_from(rate.bytes_per_second / WAITS_PER_SECOND).unwrap_or(u32::MAX);
    waiting.max(types::BIGGEST_PACKET).saturating_add(rate.burst)
}

fn options(rate: Rate) -> Vec<TcOption> {
    let mut parameters = vec![0; PARAMETERS_LEN];
    // Where this field cannot hold the rate, the kernel looks at `RATE_64`.
    let short = u32::try_from(rate.bytes_per_second).unwrap_or(u32::MAX);
    parameters[1] = ETHERNET;
    parameters[RATE_AT..RATE_AT + 4].copy_from_slice(&short.to_ne_bytes());
    parameters[LIMIT_AT..LIMIT_AT + 4].copy_from_slice(&limit(rate).to_ne_bytes());
    let mut options = vec![
        DefaultNla::new(PARAMETERS, parameters),
        DefaultNla::new(BURST, rate.burst.to_ne_bytes().to_vec()),
    ];
    if short == u32::MAX {
        options.push(DefaultNla::new(RATE_64, rate.bytes_per_second.to_ne_bytes().to_vec()));
    }
    options.into_iter().map(TcOption::Other).collect()
}

fn parse(message: &TcMessage) -> Option<Shaper> {
    let mut shaper = Shaper { bytes_per_second: 0, limit: 0, passed: 0, waits: 0, dropped: 0 };
    let mut is_ours = false;
    for attribute in &message.attributes {
        match attribute {
            TcAttribute::Kind(kind) => is_ours = kind == KIND,
            TcAttribute::Options(options) => options.iter().for_each(|option| shaper.read(option)),
            TcAttribute::Stats(stats) => {
                (shaper.passed, shaper.waits, shaper.dropped) = (stats.bytes, stats.overlimits, stats.drops);
            }
            _ => {}
        }
    }
    is_ours.then_some(shaper)
}

impl Shaper {
    /// The library does not know this kind and hands over all options as the value of one.
    fn read(&mut self, option: &TcOption) {
        let TcOption::Other(all) = option else { return };
        let mut bytes = vec![0; all.value_len()];
        all.emit_value(&mut bytes);
        for option in NlasIterator::new(&bytes).flatten() {
            let value = option.value();
            let number = |at: usize| Some(u32::from_ne_bytes(value.get(at..at + 4)?.try_into().ok()?));
            let wide = || Some(u64::from_ne_bytes(value.get(..8)?.try_into().ok()?));
            match option.kind() {
                PARAMETERS => {
                    self.limit = number(LIMIT_AT).unwrap_or_default();
                    let short = u64::from(number(RATE_AT).unwrap_or_default());
                    self.bytes_per_second = self.bytes_per_second.max(short);
                }
                RATE_64 => self.bytes_per_second = wide().unwrap_or_default(),
                _ => {}
            }
        }
    }
}
