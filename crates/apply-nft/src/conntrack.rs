//! Connection tracking over ctnetlink: entries are listed, judged by the caller, and forgotten.

use std::net::IpAddr;

use ruleset::Connection;

use crate::attribute::{Attributes, Head, Message};
use crate::error::NftError;
use crate::socket::Socket;

/// `NFNL_SUBSYS_CTNETLINK` with `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`.
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
// `enum ctattr_type`.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const PROTOCOL_STATE: u16 = 4;
const IDENTIFIER: u16 = 12;
// `enum ctattr_tuple`, `enum ctattr_ip` and `enum ctattr_l4proto`.
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;

/// Removes the entries that `is_stale` says; how many.
pub(crate) fn forget(socket: &mut Socket, is_stale: impl Fn(&Connection) -> bool) -> Result<usize, NftError> {
    let mut forgotten = 0;
    for family in [libc::AF_INET, libc::AF_INET6] {
        let family = u8::try_from(family).expect("address families are small numbers");
        for entry in entries(socket, family, &is_stale)? {
            let mut message = Message::new(Head { kind: DELETE, flags: 4, family, resource: 0 });
            message.bytes(ORIGINAL | 1 << 15, &entry.original);
            if let Some(identifier) = &entry.identifier {
                message.bytes(IDENTIFIER, identifier);
            }
            match socket.ask(message.finish(), "a connection to forget", |_| {}) {
                Ok(()) => forgotten += 1,
                // It ended by itself.
                Err(error) if error.is_absent() => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(forgotten)
}

/// A connection that the kernel tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// Its ends.
    pub connection: Connection,
    /// Whether it is neither being opened nor closed; other protocols than TCP and SCTP know no such states.
    pub is_open: bool,
}

/// Every connection that the kernel tracks.
pub(crate) fn all(socket: &mut Socket) -> Result<Vec<Tracked>, NftError> {
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let family = u8::try_from(family).expect("address families are small numbers");
        dump(socket, family, |attributes, connection| {
            found.push(Tracked { connection, is_open: is_open(attributes) });
        })?;
    }
    Ok(found)
}

/// `CTA_PROTOINFO`: of TCP (1) in it the state (1) `TCP_CONNTRACK_ESTABLISHED`, of SCTP (3) in it the state (1)
/// `SCTP_CONNTRACK_ESTABLISHED` (`linux/netfilter/nf_conntrack_tcp.h`, `…_sctp.h`).
fn is_open(attributes: Attributes<'_>) -> bool {
    let Some(state) = attributes.nested(PROTOCOL_STATE) else { return true };
    let of = |protocol| state.nested(protocol).and_then(|state| state.bytes_at(1)?.first().copied());
    match (of(1), of(3)) {
        (Some(tcp), _) => tcp == 3,
        (_, Some(sctp)) => sctp == 4,
        (None, None) => true,
    }
}

struct Entry {
    /// `CTA_TUPLE_ORIG`, as received.
    original: Vec<u8>,
    /// `CTA_ID`, so that a new connection of the same tuple is not hit.
    identifier: Option<Vec<u8>>,
}

fn entries(
    socket: &mut Socket,
    family: u8,
    is_stale: impl Fn(&Connection) -> bool,
) -> Result<Vec<Entry>, NftError> {
    let mut entries = Vec::new();
    dump(socket, family, |attributes, connection| {
        if is_stale(&connection) {
            let original = attributes.bytes_at(ORIGINAL).unwrap_or_default().to_vec();
            let identifier = attributes.bytes_at(IDENTIFIER).map(<[u8]>::to_vec);
            entries.push(Entry { original, identifier });
        }
    })?;
    Ok(entries)
}

/// Has every connection of a family seen.
fn dump(
    socket: &mut Socket,
    family: u8,
    mut see: impl FnMut(Attributes<'_>, Connection),
) -> Result<(), NftError> {
    let flags = u16::try_from(libc::NLM_F_DUMP).expect("netlink flags are 16 bits");
    let question = Message::new(Head { kind: GET, flags, family, resource: 0 }).finish();
    socket.ask(question, "connections", |answer| {
        let attributes = answer.attributes();
        if let Some(connection) = connection_of(attributes) {
            see(attributes, connection);
        }
    })
}

/// What a connection aimed at, and who answers it.
fn connection_of(attributes: Attributes<'_>) -> Option<Connection> {
    let (original, reply) = (attributes.nested(ORIGINAL)?, attributes.nested(REPLY)?);
    let protocol = *original.nested(TUPLE_PROTOCOL)?.bytes_at(NUMBER)?.first()?;
    Some(Connection {
        frontend: (address_of(original, End::Destination)?, port_of(original, DESTINATION_PORT)?),
        protocol,
        backend: (address_of(reply, End::Source)?, port_of(reply, SOURCE_PORT)?),
    })
}

#[derive(Clone, Copy)]
enum End {
    Source,
    Destination,
}

fn address_of(tuple: Attributes<'_>, end: End) -> Option<IpAddr> {
    // `CTA_IP_V4_SRC` 1, `…V4_DST` 2, `…V6_SRC` 3, `…V6_DST` 4.
    let (v4, v6) = match end {
        End::Source => (1, 3),
        End::Destination => (2, 4),
    };
    let addresses = tuple.nested(TUPLE_IP)?;
    let v4 = addresses.bytes_at(v4).and_then(|bytes| Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)));
    v4.or_else(|| Some(IpAddr::from(<[u8; 16]>::try_from(addresses.bytes_at(v6)?).ok()?)))
}

fn port_of(tuple: Attributes<'_>, kind: u16) -> Option<u16> {
    let bytes = tuple.nested(TUPLE_PROTOCOL)?.bytes_at(kind)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}
