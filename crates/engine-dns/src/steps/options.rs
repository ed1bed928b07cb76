//! EDNS options that rewrites add to what upstream servers are asked (CoreDNS, `plugin/rewrite/edns0.go`).
//!
//! A client's own options go no further than here, and of those in replies only errors reach it; so there is nothing to undo.

use std::net::IpAddr;

use plan::{OptionChange, OptionData};

use crate::RecordType;
use crate::answer::Transport;

/// All options of a query together have at most so many bytes: it is to be a small datagram.
const MOST_BYTES: usize = 1024;
/// Address families (RFC 7871 section 6, IANA "Address Family Numbers").
const IPV4: u16 = 1;
const IPV6: u16 = 2;

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) address: Option<IpAddr>,
    pub(super) transport: Transport,
}

/// Options by their codes, in order.
#[derive(Debug, Default)]
pub(super) struct Options(Vec<(u16, Vec<u8>)>);

impl Options {
    /// Makes a change for a question; whether it was made. The name is text with its final dot.
    pub(super) fn change(
        &mut self,
        (code, change): (u16, &OptionChange),
        (name, kind): (&str, RecordType),
        client: Client,
    ) -> bool {
        let written = |data: &OptionData| data_of(data, (name, kind), client);
        let place = self.0.iter().position(|(own, _)| *own == code);
        match change {
            OptionChange::Unset => self.0.retain(|(own, _)| *own != code),
            OptionChange::Set(data) => {
                let Some(data) = written(data) else { return false };
                match place {
                    Some(place) => self.0[place].1 = data,
                    None => self.0.push((code, data)),
                }
            }
            OptionChange::Append(data) => {
                // Only what is written in the rule itself is added to an option that is there.
                let is_literal = matches!(data, OptionData::Bytes(_));
                match written(data).filter(|_| place.is_none() || is_literal) {
                    Some(data) => self.0.push((code, data)),
                    None => return false,
                }
            }
        }
        true
    }

    /// As an OPT record has them (RFC 6891 section 6.1.2). What there is no room for is left out.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (code, data) in self.0.iter().filter(|(_, data)| data.len() <= MOST_BYTES) {
            if bytes.len() + 4 + data.len() <= MOST_BYTES {
                bytes.extend_from_slice(&code.to_be_bytes());
                bytes.extend_from_slice(&(data.len() as u16).to_be_bytes());
                bytes.extend_from_slice(data);
            }
        }
        bytes
    }
}

fn data_of(data: &OptionData, (name, kind): (&str, RecordType), client: Client) -> Option<Vec<u8>> {
    Some(match data {
        OptionData::Bytes(bytes) => bytes.clone(),
        OptionData::Name => name.as_bytes().to_vec(),
        OptionData::Type => kind.0.to_be_bytes().to_vec(),
        OptionData::Client => match client.address? {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        },
        OptionData::Protocol => match client.transport {
            Transport::Udp => b"udp".to_vec(),
            Transport::Tcp => b"tcp".to_vec(),
        },
        OptionData::Subnet { ipv4, ipv6 } => match client.address? {
            IpAddr::V4(address) => subnet(IPV4, &address.octets(), *ipv4),
            IpAddr::V6(address) => subnet(IPV6, &address.octets(), *ipv6),
        },
    })
}

/// A client's network (RFC 7871 section 6): no bits and no bytes beyond its length.
fn subnet(family: u16, address: &[u8], length: u8) -> Vec<u8> {
    let mut data = family.to_be_bytes().to_vec();
    data.extend([length, 0]);
    let (whole, spare) = (usize::from(length / 8), length % 8);
    data.extend(address.iter().take(whole));
    if let Some(byte) = address.get(whole).filter(|_| spare > 0) {
        data.push(byte & !(0xff >> spare));
    }
    data
}
