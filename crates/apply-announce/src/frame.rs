//! The frames of an announcement, byte for byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use types::Mac;

/// An Ethernet frame, complete but for the checksum that the hardware adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Who receives it: everybody.
    pub destination: Mac,
    /// EtherType.
    pub ether_type: u16,
    /// The frame from its first byte.
    pub bytes: Vec<u8>,
}

const BROADCAST: Mac = Mac([0xff; 6]);

/// All IPv6 nodes of a link, `ff02::1` (RFC 4291 section 2.7.1), as RFC 2464 section 7 maps it.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);

/// RFC 826 as registered with IANA.
const ETHER_TYPE_ARP: u16 = 0x0806;
const ETHER_TYPE_IPV6: u16 = 0x86dd;
const ARP_REQUEST: u16 = 1;
const ARP_REPLY: u16 = 2;

/// RFC 4443 and RFC 4861 section 4.4.
const NEXT_HEADER_ICMPV6: u8 = 58;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const FLAG_OVERRIDE: u8 = 0x20;
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;

/// The frames that say that `address` is at `mac`.
///
/// For IPv4 both forms in use: the ARP announcement of RFC 5227 section 3, a request, and the gratuitous reply that
/// some switches and systems want. For IPv6 one unsolicited neighbour advertisement (RFC 4861 section 7.2.6).
#[must_use]
pub fn announcements(address: IpAddr, mac: Mac) -> Vec<Frame> {
    match address {
        IpAddr::V4(address) => {
            let nobody = Mac([0; 6]);
            vec![arp(ARP_REQUEST, address, mac, nobody), arp(ARP_REPLY, address, mac, mac)]
        }
        IpAddr::V6(address) => vec![advertisement(address, mac)],
    }
}

/// Sender and target address are the same: that is what makes it gratuitous.
fn arp(operation: u16, address: Ipv4Addr, mac: Mac, target: Mac) -> Frame {
    let mut bytes = ethernet(BROADCAST, mac, ETHER_TYPE_ARP);
    // Ethernet, IPv4, and the lengths of their addresses.
    bytes.extend([0, 1, 8, 0, 6, 4]);
    bytes.extend(operation.to_be_bytes());
    bytes.extend(mac.0);
    bytes.extend(address.octets());
    bytes.extend(target.0);
    bytes.extend(address.octets());
    Frame { destination: BROADCAST, ether_type: ETHER_TYPE_ARP, bytes }
}

fn advertisement(address: Ipv6Addr, mac: Mac) -> Frame {
    let mut message = vec![NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, FLAG_OVERRIDE, 0, 0, 0];
    message.extend(address.octets());
    // Length in units of eight bytes.
    message.extend([TARGET_LINK_LAYER_ADDRESS, 1]);
    message.extend(mac.0);
    let length = u16::try_from(message.len()).expect("a message of 32 bytes");
    let sum = checksum(address, length, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());

    let mut bytes = ethernet(ALL_NODES_MAC, mac, ETHER_TYPE_IPV6);
    bytes.extend([0x60, 0, 0, 0]);
    bytes.extend(length.to_be_bytes());
    // RFC 4861 section 7.1.2: any other hop limit is discarded.
    bytes.extend([NEXT_HEADER_ICMPV6, 255]);
    bytes.extend(address.octets());
    bytes.extend(ALL_NODES.octets());
    bytes.extend(message);
    Frame { destination: ALL_NODES_MAC, ether_type: ETHER_TYPE_IPV6, bytes }
}

fn ethernet(destination: Mac, source: Mac, ether_type: u16) -> Vec<u8> {
    [destination.0.as_slice(), &source.0, &ether_type.to_be_bytes()].concat()
}

/// The Internet checksum (RFC 1071) with the pseudo-header of RFC 8200 section 8.1.
fn checksum(source: Ipv6Addr, length: u16, message: &[u8]) -> u16 {
    let mut covered = source.octets().to_vec();
    covered.extend(ALL_NODES.octets());
    covered.extend(u32::from(length).to_be_bytes());
    covered.extend([0, 0, 0, NEXT_HEADER_ICMPV6]);
    covered.extend(message);
    let words = covered.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded to 16 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0x02, 0, 0, 0, 0, 0x0a]);

    #[test]
    fn arp_frames_are_as_the_standard_draws_them() {
        let frames = announcements("192.0.2.1".parse().unwrap(), MAC);
        let head = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 10, 8, 6, 0, 1, 8, 0, 6, 4, 0];
        let request = [1, 2, 0, 0, 0, 0, 10, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1];
        let reply = [2, 2, 0, 0, 0, 0, 10, 192, 0, 2, 1, 2, 0, 0, 0, 0, 10, 192, 0, 2, 1];
        assert_eq!(frames[0].bytes, [head.as_slice(), &request].concat());
        assert_eq!(frames[1].bytes, [head.as_slice(), &reply].concat());
        assert!(frames.iter().all(|frame| frame.bytes.len() == 42));
    }

    #[test]
    fn the_advertisement_sums_to_zero() {
        let frames = announcements("2001:db8::1".parse().unwrap(), MAC);
        let [frame] = frames.as_slice() else { panic!("one frame") };
        assert_eq!(frame.bytes.len(), 14 + 40 + 32);
        let message = &frame.bytes[54..];
        assert_eq!(message[..2], [136, 0]);
        assert_eq!(message[4], 0x20);
        // A receiver's check: the sum over everything, checksum included, is all ones.
        assert_eq!(checksum("2001:db8::1".parse().unwrap(), 32, message), 0);
    }
}
