//! Set declarations and elements, to and from netlink attributes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ruleset::{Data, Element, Entry, FieldType, Key, LinkBytes, Set, SetKind, Value, Verdict};
use types::{IpFamily, Mac};

use crate::attribute::{Attributes, Message};
use crate::expression::{Code, append_value, put_verdict, value_of, verdict_of};
use crate::lower::{verdict_code, width};

// `enum nft_set_flags`.
const INTERVAL: u32 = 0x4;
const MAP: u32 = 0x8;
const TIMEOUT: u32 = 0x10;
const DYNAMIC: u32 = 0x20;
const CONCATENATED: u32 = 0x80;
/// `NFT_DATA_VERDICT`.
const VERDICT_TYPE: u32 = 0xffff_ff00;
/// Bits of one type in a concatenation's type (`TYPE_BITS` of nft's `datatype.h`).
const TYPE_BITS: u32 = 6;
/// Most elements of a dynamic map; `ruleset` prints the same number.
const DYNAMIC_SIZE: u32 = 262_144;

// `enum nft_set_elem_attributes`.
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_FLAGS: u16 = 3;
const ELEMENT_USERDATA: u16 = 6;
const ELEMENT_KEY_END: u16 = 10;
/// `NFT_SET_ELEM_INTERVAL_END`.
const INTERVAL_END: u32 = 1;

/// The number `nft` gives a type (`enum datatypes` of nft's `datatype.h`); the kernel only stores it.
fn type_number(kind: FieldType) -> u32 {
    match kind {
        FieldType::Address(IpFamily::V4) => 7,
        FieldType::Address(IpFamily::V6) => 8,
        FieldType::Mac => 9,
        FieldType::Protocol => 12,
        FieldType::Port => 13,
        FieldType::Number => 23,
        FieldType::Link => 41,
    }
}

fn type_of(number: u32) -> Option<FieldType> {
    [
        FieldType::Address(IpFamily::V4),
        FieldType::Address(IpFamily::V6),
        FieldType::Protocol,
        FieldType::Port,
        FieldType::Number,
        FieldType::Link,
        FieldType::Mac,
    ]
    .into_iter()
    .find(|kind| type_number(*kind) == number)
}

fn concatenated(types: &[FieldType]) -> u32 {
    types.iter().fold(0, |all, kind| all << TYPE_BITS | type_number(*kind))
}

fn types_of(mut number: u32) -> Option<Vec<FieldType>> {
    let mut types = Vec::new();
    while number != 0 {
        types.insert(0, type_of(number & ((1 << TYPE_BITS) - 1))?);
        number >>= TYPE_BITS;
    }
    Some(types)
}

/// Bytes of a concatenation: every field is padded to four, except a field that stands alone.
fn total_width(types: &[FieldType]) -> u32 {
    match types {
        [single] => width(*single),
        _ => types.iter().map(|kind| width(*kind).next_multiple_of(4)).sum(),
    }
}

/// Whether ranges are kept as start and end elements (rbtree) and not as pairs of keys (pipapo).
fn has_end_elements(set: &Set) -> bool {
    set.kind == SetKind::Interval && set.key.len() == 1
}

// === declaration ===

/// Writes the attributes of `NFT_MSG_NEWSET` after the table.
pub(crate) fn put_declaration(message: &mut Message, name: &str, set: &Set, id: u32) {
    let mut flags = match set.kind {
        SetKind::Exact | SetKind::Counted => 0,
        SetKind::Interval if set.key.len() > 1 => INTERVAL | CONCATENATED,
        SetKind::Interval => INTERVAL,
        SetKind::Dynamic => DYNAMIC | TIMEOUT,
    };
    if set.data != Data::None {
        flags |= MAP;
    }
    message.text(2, name);
    message.u32(3, flags);
    message.u32(4, concatenated(&set.key));
    message.u32(5, total_width(&set.key));
    match &set.data {
        Data::None => {}
        Data::Verdict(()) => {
            message.u32(6, VERDICT_TYPE);
            message.u32(7, 16);
        }
        Data::Values(types) => {
            message.u32(6, concatenated(types));
            message.u32(7, total_width(types));
        }
    }
    message.u32(10, id);
    if set.kind == SetKind::Dynamic {
        message.nest(9, |message| message.u32(1, DYNAMIC_SIZE));
    }
    if flags & CONCATENATED != 0 {
        message.nest(9, |message| {
            message.nest(2, |message| {
                set.key.iter().for_each(|kind| message.nest(1, |message| message.u32(1, width(*kind))));
            });
        });
    }
    put_byte_orders(message, set);
    if set.kind == SetKind::Counted {
        message.nest(17, |message| {
            message.text(1, "counter");
            message.nest(2, |_| {});
        });
    }
}

/// What `nft` stores beside a set to know how to print it: `NFTNL_UDATA_SET_KEYBYTEORDER` and `…DATABYTEORDER`.
fn put_byte_orders(message: &mut Message, set: &Set) {
    let order = |types: &[FieldType]| -> u32 {
        // `BYTEORDER_HOST_ENDIAN` and `BYTEORDER_BIG_ENDIAN` of nft's `datatype.h`.
        if types == [FieldType::Number] { 1 } else { 2 }
    };
    let mut bytes = Vec::new();
    let mut put = |kind: u8, order: u32| {
        bytes.extend([kind, 4]);
        bytes.extend(order.to_ne_bytes());
    };
    put(0, order(&set.key));
    match &set.data {
        Data::None => {}
        // `BYTEORDER_INVALID`: a verdict is no number; nft aborts over any other order.
        Data::Verdict(()) => put(1, 0),
        Data::Values(types) => put(1, order(types)),
    }
    message.bytes(13, &bytes);
}

/// Reads the attributes of `NFT_MSG_NEWSET`; `None` for a set we would never declare.
pub(crate) fn declaration_of(attributes: Attributes<'_>) -> Option<Set> {
    let flags = attributes.u32(3).unwrap_or_default();
    let kind = match flags & (INTERVAL | DYNAMIC | TIMEOUT) {
        0 if attributes.bytes_at(17).is_some() => SetKind::Counted,
        0 => SetKind::Exact,
        INTERVAL => SetKind::Interval,
        flags if flags == DYNAMIC | TIMEOUT => SetKind::Dynamic,
        _ => return None,
    };
    let data = match attributes.u32(6).filter(|_| flags & MAP != 0) {
        None => Data::None,
        Some(VERDICT_TYPE) => Data::Verdict(()),
        Some(number) => Data::Values(types_of(number)?),
    };
    Some(Set { key: types_of(attributes.u32(4)?)?, data, kind, elements: BTreeMap::new() })
}

// === elements ===

/// Writes the kernel's elements (one, or two for a range of a plain interval set) as `NFTA_LIST_ELEM`s.
pub(crate) fn put_element(message: &mut Message, set: &Set, key: &Key, element: &Element) {
    let end_elements = has_end_elements(set);
    let last = key.last.as_deref();
    message.nest(1, |message| {
        put_keys(message, &key.first, last.filter(|_| !end_elements));
        match &element.data {
            Data::None => {}
            Data::Values(values) => put_values(message, ELEMENT_DATA, values),
            Data::Verdict(verdict) => put_verdict(message, ELEMENT_DATA, &verdict_code(verdict)),
        }
        put_comment(message, ELEMENT_USERDATA, &element.comment);
    });
    if let Some(end) = last.filter(|_| end_elements).and_then(next_address) {
        message.nest(1, |message| {
            put_values(message, ELEMENT_KEY, &[Value::Address(end)]);
            message.u32(ELEMENT_FLAGS, INTERVAL_END);
        });
    }
}

/// The same of an element of a Service; none of their sets has ranges of one field.
pub(crate) fn put_entry(message: &mut Message, entry: &Entry<'_>) {
    message.nest(1, |message| {
        put_keys(message, entry.first, entry.last);
        if !entry.data.is_empty() {
            put_values(message, ELEMENT_DATA, entry.data);
        }
        put_comment(message, ELEMENT_USERDATA, entry.comment);
    });
}

fn put_keys(message: &mut Message, first: &[Value], last: Option<&[Value]>) {
    put_values(message, ELEMENT_KEY, first);
    if let Some(last) = last {
        put_values(message, ELEMENT_KEY_END, last);
    }
}

fn put_values(message: &mut Message, kind: u16, values: &[Value]) {
    append_value(message, kind, |bytes| append_values(bytes, values));
}

/// A comment as user data (`NFTNL_UDATA_RULE_COMMENT` and `NFTNL_UDATA_SET_ELEM_COMMENT` are both 0); none when empty.
pub(crate) fn put_comment(message: &mut Message, kind: u16, comment: &str) {
    if comment.is_empty() {
        return;
    }
    let len = u8::try_from(comment.len() + 1).expect("comments are cut at 127 bytes");
    message.value(kind, |bytes| {
        bytes.extend_from_slice(&[0, len]);
        bytes.extend_from_slice(comment.as_bytes());
        bytes.push(0);
    });
}

/// The comment in user data; empty when there is none.
pub(crate) fn comment_of(user_data: Option<&[u8]>) -> String {
    let Some([0, len, rest @ ..]) = user_data else { return String::new() };
    let text = rest.get(..usize::from(*len)).unwrap_or_default();
    String::from_utf8_lossy(text.strip_suffix(&[0]).unwrap_or(text)).into_owned()
}

fn append_values(bytes: &mut Vec<u8>, values: &[Value]) {
    for value in values {
        match value {
            Value::Address(IpAddr::V4(address)) => bytes.extend_from_slice(&address.octets()),
            Value::Address(IpAddr::V6(address)) => bytes.extend_from_slice(&address.octets()),
            Value::Protocol(number) => bytes.extend_from_slice(&[*number, 0, 0, 0]),
            Value::Port(port) => {
                let [high, low] = port.to_be_bytes();
                bytes.extend_from_slice(&[high, low, 0, 0]);
            }
            Value::Number(number) => bytes.extend_from_slice(&number.to_ne_bytes()),
            Value::Link(name) => bytes.extend_from_slice(&name.0),
            Value::Mac(mac) => {
                bytes.extend_from_slice(&mac.0);
                // A field that stands alone is not padded.
                bytes.extend_from_slice(if values.len() > 1 { &[0; 2] } else { &[] });
            }
        }
    }
}

/// The values in bytes from the kernel.
pub(crate) fn values_of(types: &[FieldType], mut bytes: &[u8]) -> Option<Vec<Value>> {
    let mut values = Vec::with_capacity(types.len());
    for kind in types {
        let field = bytes.get(..width(*kind) as usize)?;
        values.push(match kind {
            FieldType::Address(IpFamily::V4) => {
                Value::Address(IpAddr::from(<[u8; 4]>::try_from(field).ok()?))
            }
            FieldType::Address(IpFamily::V6) => {
                Value::Address(IpAddr::from(<[u8; 16]>::try_from(field).ok()?))
            }
            FieldType::Protocol => Value::Protocol(field[0]),
            FieldType::Port => Value::Port(u16::from_be_bytes(field.try_into().ok()?)),
            FieldType::Number => Value::Number(u32::from_ne_bytes(field.try_into().ok()?)),
            FieldType::Link => Value::Link(LinkBytes(field.try_into().ok()?)),
            FieldType::Mac => Value::Mac(Mac(field.try_into().ok()?)),
        });
        bytes = bytes.get(width(*kind).next_multiple_of(4) as usize..).unwrap_or_default();
    }
    Some(values)
}

/// An element as the kernel has it.
pub(crate) struct RawElement {
    first: Vec<Value>,
    last: Option<Vec<Value>>,
    is_end: bool,
    element: Element,
}

/// Reads one `NFTA_LIST_ELEM`.
pub(crate) fn element_of(set: &Set, attributes: Attributes<'_>) -> Option<RawElement> {
    let key = |kind| attributes.nested(kind).and_then(|key| values_of(&set.key, &value_of(key)?));
    let data = match (&set.data, attributes.nested(ELEMENT_DATA)) {
        (Data::Values(types), Some(data)) => Data::Values(values_of(types, &value_of(data)?)?),
        (Data::Verdict(()), Some(data)) => Data::Verdict(verdict_from(verdict_of(data)?)?),
        _ => Data::None,
    };
    Some(RawElement {
        first: key(ELEMENT_KEY)?,
        last: key(ELEMENT_KEY_END),
        is_end: attributes.u32(ELEMENT_FLAGS).is_some_and(|flags| flags & INTERVAL_END != 0),
        element: Element { data, comment: comment_of(attributes.bytes_at(ELEMENT_USERDATA)) },
    })
}

fn verdict_from(code: Code) -> Option<Verdict> {
    Some(match (code.code, code.chain) {
        (1, None) => Verdict::Accept,
        (0, None) => Verdict::Drop,
        (-5, None) => Verdict::Return,
        (-3, Some(chain)) => Verdict::Jump(chain),
        (-4, Some(chain)) => Verdict::Goto(chain),
        _ => return None,
    })
}

/// The kernel's elements as ours: starts and ends become ranges.
pub(crate) fn assemble(set: &Set, mut raw: Vec<RawElement>) -> BTreeMap<Key, Element> {
    if !has_end_elements(set) {
        let exact = set.kind != SetKind::Interval;
        return raw
            .into_iter()
            .map(|raw| {
                let last = raw.last.unwrap_or_else(|| raw.first.clone());
                (Key { first: raw.first, last: (!exact).then_some(last) }, raw.element)
            })
            .collect();
    }
    // An end and a start of the same address: the end is of the range before.
    raw.sort_by(|one, other| (&one.first, !one.is_end).cmp(&(&other.first, !other.is_end)));
    let mut elements = BTreeMap::new();
    let mut open: Option<(Vec<Value>, Element)> = None;
    for raw in raw {
        if let (Some((first, element)), Some(last)) = (open.take(), previous_address(&raw.first)) {
            elements.insert(Key::range(first, vec![Value::Address(last)]), element);
        }
        if !raw.is_end {
            open = Some((raw.first, raw.element));
        }
    }
    if let Some((first, element)) = open {
        let last = match first[..] {
            [Value::Address(IpAddr::V6(_))] => IpAddr::V6(u128::MAX.into()),
            _ => IpAddr::V4(u32::MAX.into()),
        };
        elements.insert(Key::range(first, vec![Value::Address(last)]), element);
    }
    elements
}

fn next_address(values: &[Value]) -> Option<IpAddr> {
    match values {
        [Value::Address(IpAddr::V4(address))] => Some(IpAddr::V4(u32::from(*address).checked_add(1)?.into())),
        [Value::Address(IpAddr::V6(address))] => {
            Some(IpAddr::V6(u128::from(*address).checked_add(1)?.into()))
        }
        _ => None,
    }
}

fn previous_address(values: &[Value]) -> Option<IpAddr> {
    match values {
        [Value::Address(IpAddr::V4(address))] => Some(IpAddr::V4(u32::from(*address).checked_sub(1)?.into())),
        [Value::Address(IpAddr::V6(address))] => {
            Some(IpAddr::V6(u128::from(*address).checked_sub(1)?.into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ruleset::{fixed_frame_rules, fixed_rules};

    use crate::attribute::Head;

    use super::*;

    /// What the kernel would give back for these elements.
    fn through_the_wire(set: &Set) -> BTreeMap<Key, Element> {
        let mut message = Message::new(Head { kind: 0, flags: 0, family: 0, resource: 0 });
        set.elements.iter().for_each(|(key, element)| put_element(&mut message, set, key, element));
        let bytes = message.finish();
        // After `struct nlmsghdr` and `struct nfgenmsg`.
        let raw =
            Attributes::of(&bytes[20..]).filter_map(|(_, element)| element_of(set, Attributes::of(element)));
        assemble(set, raw.collect())
    }

    fn address(text: &str) -> Value {
        Value::Address(text.parse().unwrap())
    }

    #[test]
    fn declarations_survive_the_wire() {
        for (name, set) in fixed_rules().sets.into_iter().chain(fixed_frame_rules().sets) {
            let mut message = Message::new(Head { kind: 0, flags: 0, family: 0, resource: 0 });
            put_declaration(&mut message, &name, &set, 1);
            let bytes = message.finish();
            let read = declaration_of(Attributes::of(&bytes[20..])).unwrap();
            assert_eq!(read, Set { elements: BTreeMap::new(), ..set }, "{name}");
        }
    }

    #[test]
    fn neighbouring_ranges_and_the_end_of_the_address_space_survive_the_wire() {
        let mut set = fixed_rules().sets["blocks4"].clone();
        let ranges =
            [("0.0.0.0", "9.255.255.255"), ("10.0.0.0", "10.0.0.0"), ("10.0.0.1", "255.255.255.255")];
        for (number, (first, last)) in (1..).zip(ranges) {
            let element =
                Element::commented(Data::Values(vec![Value::Number(number)]), "default/db ingress[0]");
            set.elements.insert(Key::range(vec![address(first)], vec![address(last)]), element);
        }
        assert_eq!(through_the_wire(&set), set.elements);
    }

    #[test]
    fn ranges_of_ports_survive_the_wire() {
        let mut set = fixed_rules().sets["ingress_peer_port_ranges6"].clone();
        let ends = |port| vec![address("fd00::1"), Value::Number(7), Value::Protocol(6), Value::Port(port)];
        set.elements.insert(Key::range(ends(0), ends(65535)), Element::default());
        assert_eq!(through_the_wire(&set), set.elements);
    }
}
