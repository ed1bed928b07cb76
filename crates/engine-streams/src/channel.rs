//! Messages over a WebSocket that carries several channels: the first byte is the channel's number (KEP-4006).

use bytes::{BufMut, Bytes, BytesMut};

/// In version 5, closes the channel whose number follows (apimachinery `remotecommand.StreamClose`).
const CLOSE: u8 = 255;

/// The version of the subprotocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `v4.channel.k8s.io`: a channel ends with the connection.
    V4,
    /// `v5.channel.k8s.io`: a channel can be closed.
    V5,
}

impl Version {
    /// The versions there are, best first.
    pub const ALL: [Self; 2] = [Self::V5, Self::V4];

    /// What the handshake calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "v4.channel.k8s.io",
            Self::V5 => "v5.channel.k8s.io",
        }
    }
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Bytes of a channel; may be none.
    Bytes {
        /// Its number.
        channel: u8,
        /// The bytes.
        bytes: Bytes,
    },
    /// The sender is done with a channel.
    Close(u8),
}

/// Reads a message; `None` for what says nothing, such as an empty message.
#[must_use]
pub fn parse(version: Version, mut message: Bytes) -> Option<Message> {
    let channel = *message.first()?;
    if channel == CLOSE && version == Version::V5 {
        return message.get(1).copied().map(Message::Close);
    }
    let bytes = message.split_off(1);
    Some(Message::Bytes { channel, bytes })
}

/// The message for bytes of a channel.
#[must_use]
pub fn render(channel: u8, bytes: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(bytes.len() + 1);
    message.put_u8(channel);
    message.put_slice(bytes);
    message.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let said = |version, bytes: &'static [u8]| parse(version, Bytes::from_static(bytes));
        let bytes = Bytes::from_static(b"hi");
        assert_eq!(said(Version::V4, b"\0hi"), Some(Message::Bytes { channel: 0, bytes }));
        assert_eq!(said(Version::V5, b""), None);
        assert_eq!(said(Version::V5, b"\xff"), None);
        assert_eq!(said(Version::V5, b"\xff\0"), Some(Message::Close(0)));
        let odd = Bytes::from_static(b"\0");
        assert_eq!(said(Version::V4, b"\xff\0"), Some(Message::Bytes { channel: 255, bytes: odd }));
        assert_eq!(render(2, b"x"), Bytes::from_static(b"\x02x"));
    }
}
