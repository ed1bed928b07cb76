//! Netlink messages as bytes: headers, nested attributes, and reading them (netlink(7), `linux/netlink.h`).

use crate::error::NftError;

/// Size of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;
/// Size of `struct nfgenmsg`.
const NETFILTER_HEADER: usize = 4;
/// `NLA_F_NESTED`.
const NESTED: u16 = 1 << 15;
/// Bits of an attribute's type that say which it is: without `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
const TYPE_MASK: u16 = 0x3fff;

/// A message under construction.
pub(crate) struct Message {
    bytes: Vec<u8>,
}

/// The head of a message to a netfilter subsystem.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    /// Subsystem and message number.
    pub(crate) kind: u16,
    /// `NLM_F_…`; `NLM_F_REQUEST` is added.
    pub(crate) flags: u16,
    /// `nfgen_family`.
    pub(crate) family: u8,
    /// `res_id`: the subsystem, for the bounds of a batch.
    pub(crate) resource: u16,
}

impl Message {
    pub(crate) fn new(head: Head) -> Self {
        Self::with_room(head, 256)
    }

    /// With room for so many bytes.
    pub(crate) fn with_room(head: Head, room: usize) -> Self {
        let mut bytes = Vec::with_capacity(room);
        bytes.extend([0; 4]);
        bytes.extend(head.kind.to_ne_bytes());
        bytes.extend((head.flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend([head.family, 0]);
        bytes.extend(head.resource.to_be_bytes());
        Self { bytes }
    }

    /// The message, with its length filled in; the sequence number stays 0.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let len = u32::try_from(self.bytes.len()).expect("messages are far below 4 GiB");
        self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.value(kind, |bytes| bytes.extend_from_slice(value));
    }

    /// An attribute whose value is appended to the message's bytes.
    pub(crate) fn value(&mut self, kind: u16, append: impl FnOnce(&mut Vec<u8>)) {
        let start = self.open(kind);
        append(&mut self.bytes);
        self.close(start);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        self.value(kind, |bytes| {
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(0);
        });
    }

    pub(crate) fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.open_nest(kind);
        fill(self);
        self.close(start);
    }

    /// Begins a nested attribute, which goes on until it is closed; where it is.
    pub(crate) fn open_nest(&mut self, kind: u16) -> usize {
        self.open(kind | NESTED)
    }

    fn open(&mut self, kind: u16) -> usize {
        let [low, high] = kind.to_ne_bytes();
        self.bytes.extend_from_slice(&[0, 0, low, high]);
        self.bytes.len() - 4
    }

    /// Ends the attribute that begins there.
    pub(crate) fn close(&mut self, start: usize) {
        let len = u16::try_from(self.bytes.len() - start)
            .expect("attributes are below 64 KiB: element lists are chunked");
        self.bytes[start..start + 2].copy_from_slice(&len.to_ne_bytes());
    }
}

/// Sets the sequence number of a finished message.
pub(crate) fn number(message: &mut [u8], sequence: u32) {
    message[8..12].copy_from_slice(&sequence.to_ne_bytes());
}

/// Adds flags to a finished message.
pub(crate) fn add_flags(message: &mut [u8], flags: u16) {
    let old = u16::from_ne_bytes([message[6], message[7]]);
    message[6..8].copy_from_slice(&(old | flags).to_ne_bytes());
}

/// A message as received.
pub(crate) struct Received<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// After `struct nlmsghdr`.
    pub(crate) payload: &'a [u8],
}

impl<'a> Received<'a> {
    /// Attributes after `struct nfgenmsg`.
    pub(crate) fn attributes(&self) -> Attributes<'a> {
        Attributes { rest: self.payload.get(NETFILTER_HEADER..).unwrap_or_default() }
    }

    /// `nfgen_family`.
    pub(crate) fn family(&self) -> u8 {
        self.payload.first().copied().unwrap_or_default()
    }
}

/// The messages of one datagram.
pub(crate) fn messages(mut datagram: &[u8]) -> Vec<Received<'_>> {
    let mut messages = Vec::new();
    while datagram.len() >= HEADER {
        let word = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|byte| datagram[at + byte]));
        let half = |at: usize| u16::from_ne_bytes([datagram[at], datagram[at + 1]]);
        let len = word(0) as usize;
        if len < HEADER || len > datagram.len() {
            break;
        }
        let payload = &datagram[HEADER..len];
        messages.push(Received { kind: half(4), flags: half(6), sequence: word(8), payload });
        datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

/// A run of attributes.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [a, b, c, d, ..] = *self.rest else { return None };
        let len = usize::from(u16::from_ne_bytes([a, b]));
        let value = self.rest.get(4..len)?;
        self.rest = self.rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]) & TYPE_MASK, value))
    }
}

impl<'a> Attributes<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn bytes_at(self, kind: u16) -> Option<&'a [u8]> {
        self.into_iter().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    pub(crate) fn nested(self, kind: u16) -> Option<Self> {
        self.bytes_at(kind).map(Self::of)
    }

    pub(crate) fn u32(self, kind: u16) -> Option<u32> {
        self.bytes_at(kind).and_then(|value| Some(u32::from_be_bytes(value.try_into().ok()?)))
    }

    pub(crate) fn u64(self, kind: u16) -> Option<u64> {
        self.bytes_at(kind).and_then(|value| Some(u64::from_be_bytes(value.try_into().ok()?)))
    }

    pub(crate) fn text(self, kind: u16) -> Option<String> {
        let value = self.bytes_at(kind)?;
        let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
        Some(String::from_utf8_lossy(&value[..end]).into_owned())
    }
}

/// What was asked, for [`NftError::Garbled`].
pub(crate) fn present<T>(value: Option<T>, what: &'static str) -> Result<T, NftError> {
    value.ok_or(NftError::Garbled { what })
}
