//! Expressions: what a rule is made of in the kernel, to and from netlink attributes (`linux/netfilter/nf_tables.h`).

use crate::attribute::{Attributes, Message};

/// A 32-bit register, 0 to 15.
pub(crate) type Register = u32;

/// One expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// Loads bytes of the packet.
    Payload { base: u32, offset: u32, len: u32, to: Register },
    /// Loads metadata.
    Meta { key: u32, to: Register },
    /// Stores metadata.
    MetaSet { key: u32, from: Register },
    /// Loads a property of the connection, for one direction or for both.
    Conntrack { key: u32, direction: Option<u8>, to: Register },
    /// Compares; the rule ends when it does not hold.
    Compare { register: Register, op: u32, value: Vec<u8> },
    /// `register & mask`, in place.
    Mask { register: Register, mask: Vec<u8> },
    /// Looks up; `to` is the register of a map's data, or of a verdict.
    Lookup { set: String, from: Register, to: Option<Target>, inverted: bool },
    /// Loads a constant.
    Value { to: Register, value: Vec<u8> },
    /// Sets the verdict.
    Verdict(Code),
    /// Translates the destination.
    Dnat { family: u32, address: Register, port: Register },
    /// Translates the source to the link's address.
    Masquerade { flags: u32 },
    /// Refuses.
    Reject { kind: u32, code: u8 },
    /// Draws a random number.
    Random { to: Register, modulus: u32, offset: u32 },
    /// Hashes what a register begins (`NFT_HASH_JENKINS`).
    Hash { from: Register, len: u32, modulus: u32, seed: u32, offset: u32, to: Register },
    /// Adds or refreshes an element of a dynamic map.
    Update { set: String, key: Register, data: Register, milliseconds: u64 },
    /// Loads what the routing tables say.
    Fib { to: Register, result: u32, flags: u32 },
    /// Keeps the packet from connection tracking.
    Notrack,
    /// Counts.
    Counter,
}

/// Where a lookup's result goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A data register.
    Register(Register),
    /// The verdict.
    Verdict,
}

/// A verdict and its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    /// `NF_…` or `NFT_…`.
    pub(crate) code: i32,
    /// Where jump and goto go.
    pub(crate) chain: Option<String>,
}

// `enum nft_data_attributes` and `enum nft_verdict_attributes`.
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;

/// Writes `NFTA_DATA_VALUE`.
pub(crate) fn put_value(message: &mut Message, kind: u16, value: &[u8]) {
    append_value(message, kind, |bytes| bytes.extend_from_slice(value));
}

/// The same of a value that is appended to the message's bytes.
pub(crate) fn append_value(message: &mut Message, kind: u16, append: impl FnOnce(&mut Vec<u8>)) {
    message.nest(kind, |message| message.value(DATA_VALUE, append));
}

/// Writes `NFTA_DATA_VERDICT`.
pub(crate) fn put_verdict(message: &mut Message, kind: u16, verdict: &Code) {
    message.nest(kind, |message| {
        message.nest(DATA_VERDICT, |message| {
            message.bytes(VERDICT_CODE, &verdict.code.to_be_bytes());
            if let Some(chain) = &verdict.chain {
                message.text(VERDICT_CHAIN, chain);
            }
        });
    });
}

/// Reads `NFTA_DATA_VALUE`.
pub(crate) fn value_of(data: Attributes<'_>) -> Option<Vec<u8>> {
    data.bytes_at(DATA_VALUE).map(<[u8]>::to_vec)
}

/// Reads `NFTA_DATA_VERDICT`.
pub(crate) fn verdict_of(data: Attributes<'_>) -> Option<Code> {
    let verdict = data.nested(DATA_VERDICT)?;
    let code = verdict.u32(VERDICT_CODE)?.cast_signed();
    Some(Code { code, chain: verdict.text(VERDICT_CHAIN) })
}

/// A register's number on the wire: aligned ones have the old names `NFT_REG_1` to `4`, as the kernel dumps them.
fn wire(register: Register) -> u32 {
    if register.is_multiple_of(4) { 1 + register / 4 } else { 8 + register }
}

fn unwire(number: u32) -> Option<Register> {
    match number {
        1..=4 => Some((number - 1) * 4),
        8..=23 => Some(number - 8),
        _ => None,
    }
}

impl Expression {
    /// Writes an `NFTA_LIST_ELEM`.
    pub(crate) fn put(&self, message: &mut Message) {
        message.nest(1, |message| {
            message.text(1, self.name());
            message.nest(2, |message| self.put_data(message));
        });
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Payload { .. } => "payload",
            Self::Meta { .. } | Self::MetaSet { .. } => "meta",
            Self::Conntrack { .. } => "ct",
            Self::Compare { .. } => "cmp",
            Self::Mask { .. } => "bitwise",
            Self::Lookup { .. } => "lookup",
            Self::Value { .. } | Self::Verdict(_) => "immediate",
            Self::Dnat { .. } => "nat",
            Self::Masquerade { .. } => "masq",
            Self::Reject { .. } => "reject",
            Self::Random { .. } => "numgen",
            Self::Hash { .. } => "hash",
            Self::Update { .. } => "dynset",
            Self::Fib { .. } => "fib",
            Self::Notrack => "notrack",
            Self::Counter => "counter",
        }
    }

    fn put_data(&self, message: &mut Message) {
        match self {
            Self::Payload { base, offset, len, to } => put_all(message, &[wire(*to), *base, *offset, *len]),
            Self::Meta { key, to } => put_all(message, &[wire(*to), *key]),
            Self::MetaSet { key, from } => {
                message.u32(2, *key);
                message.u32(3, wire(*from));
            }
            Self::Conntrack { key, direction, to } => {
                put_all(message, &[wire(*to), *key]);
                if let Some(direction) = direction {
                    message.bytes(3, &[*direction]);
                }
            }
            Self::Compare { register, op, value } => {
                put_all(message, &[wire(*register), *op]);
                put_value(message, 3, value);
            }
            Self::Mask { register, mask } => {
                let len = u32::try_from(mask.len()).expect("a mask is at most 16 bytes");
                put_all(message, &[wire(*register), wire(*register), len]);
                put_value(message, 4, mask);
                put_value(message, 5, &vec![0; mask.len()]);
            }
            Self::Lookup { set, from, to, inverted } => put_lookup(message, set, *from, *to, *inverted),
            Self::Value { to, value } => {
                message.u32(1, wire(*to));
                put_value(message, 2, value);
            }
            Self::Verdict(verdict) => {
                message.u32(1, 0);
                put_verdict(message, 2, verdict);
            }
            Self::Dnat { family, address, port } => {
                // Type 1 is `NFT_NAT_DNAT`.
                put_all(message, &[1, *family, wire(*address)]);
                message.u32(5, wire(*port));
            }
            Self::Masquerade { flags } => message.u32(1, *flags),
            Self::Reject { kind, code } => {
                message.u32(1, *kind);
                message.bytes(2, &[*code]);
            }
            // Type 1 is `NFT_NG_RANDOM`.
            Self::Random { to, modulus, offset } => put_all(message, &[wire(*to), *modulus, 1, *offset]),
            // Type 0 is `NFT_HASH_JENKINS`.
            Self::Hash { from, len, modulus, seed, offset, to } => {
                put_all(message, &[wire(*from), wire(*to), *len, *modulus, *seed, *offset, 0]);
            }
            Self::Update { set, key, data, milliseconds } => {
                message.text(1, set);
                // Operation 1 is `NFT_DYNSET_OP_UPDATE`.
                message.u32(3, 1);
                message.u32(4, wire(*key));
                message.u32(5, wire(*data));
                message.u64(6, *milliseconds);
            }
            Self::Fib { to, result, flags } => put_all(message, &[wire(*to), *result, *flags]),
            Self::Notrack | Self::Counter => {}
        }
    }

    /// Reads an `NFTA_LIST_ELEM`; `None` for an expression we never write.
    pub(crate) fn of(element: Attributes<'_>) -> Option<Self> {
        let name = element.text(1)?;
        if name == "notrack" {
            // It has no attributes, and the kernel dumps none.
            return Some(Self::Notrack);
        }
        let data = element.nested(2)?;
        let register = |kind| data.u32(kind).and_then(unwire);
        Some(match name.as_str() {
            "payload" => {
                let (base, offset, len) = (data.u32(2)?, data.u32(3)?, data.u32(4)?);
                Self::Payload { base, offset, len, to: register(1)? }
            }
            "meta" => match register(1) {
                Some(to) => Self::Meta { key: data.u32(2)?, to },
                None => Self::MetaSet { key: data.u32(2)?, from: register(3)? },
            },
            "ct" => {
                let direction = data.bytes_at(3).and_then(|direction| direction.first().copied());
                Self::Conntrack { key: data.u32(2)?, direction, to: register(1)? }
            }
            "cmp" => {
                Self::Compare { register: register(1)?, op: data.u32(2)?, value: value_of(data.nested(3)?)? }
            }
            "bitwise" => mask_of(data)?,
            "lookup" => Self::Lookup {
                set: data.text(1)?,
                from: register(2)?,
                to: match data.u32(3) {
                    None => None,
                    Some(0) => Some(Target::Verdict),
                    Some(number) => Some(Target::Register(unwire(number)?)),
                },
                inverted: data.u32(5).is_some_and(|flags| flags & 1 != 0),
            },
            "immediate" => match data.u32(1)? {
                0 => Self::Verdict(verdict_of(data.nested(2)?)?),
                number => Self::Value { to: unwire(number)?, value: value_of(data.nested(2)?)? },
            },
            "nat" if data.u32(1)? == 1 => {
                Self::Dnat { family: data.u32(2)?, address: register(3)?, port: register(5)? }
            }
            "masq" => Self::Masquerade { flags: data.u32(1).unwrap_or_default() },
            "reject" => {
                let code = data.bytes_at(2).and_then(|code| code.first().copied()).unwrap_or_default();
                Self::Reject { kind: data.u32(1)?, code }
            }
            "numgen" if data.u32(3)? == 1 => Self::Random {
                to: register(1)?,
                modulus: data.u32(2)?,
                offset: data.u32(4).unwrap_or_default(),
            },
            "hash" if data.u32(7).unwrap_or_default() == 0 => Self::Hash {
                from: register(1)?,
                to: register(2)?,
                len: data.u32(3)?,
                modulus: data.u32(4)?,
                seed: data.u32(5)?,
                offset: data.u32(6).unwrap_or_default(),
            },
            "dynset" if data.u32(3)? == 1 => Self::Update {
                set: data.text(1)?,
                key: register(4)?,
                data: register(5)?,
                milliseconds: data.u64(6)?,
            },
            "fib" => Self::Fib { to: register(1)?, result: data.u32(2)?, flags: data.u32(3)? },
            "counter" => Self::Counter,
            _ => return None,
        })
    }
}

/// Attributes 1, 2, 3, … as 32-bit numbers.
fn put_all(message: &mut Message, numbers: &[u32]) {
    for (kind, number) in (1..).zip(numbers) {
        message.u32(kind, *number);
    }
}

fn put_lookup(message: &mut Message, set: &str, from: Register, to: Option<Target>, inverted: bool) {
    message.text(1, set);
    message.u32(2, wire(from));
    match to {
        None => {}
        Some(Target::Verdict) => message.u32(3, 0),
        Some(Target::Register(register)) => message.u32(3, wire(register)),
    }
    if inverted {
        // `NFT_LOOKUP_F_INV`
        message.u32(5, 1);
    }
}

fn mask_of(data: Attributes<'_>) -> Option<Expression> {
    let register = unwire(data.u32(1)?)?;
    let mask = value_of(data.nested(4)?)?;
    let xor = value_of(data.nested(5)?)?;
    let in_place = unwire(data.u32(2)?)? == register && xor.iter().all(|byte| *byte == 0);
    in_place.then_some(Expression::Mask { register, mask })
}
