//! Questions to the kernel and its answers, one at a time.

use std::fmt;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::{NetlinkError, Refusal};

/// The kernel never puts more than 32 KiB into one answer (`NLMSG_GOODSIZE`, and `netlink_dump` in `af_netlink.c`).
const BUFFER: usize = 64 * 1024;

/// `NLMSGERR_ATTR_MSG` of `linux/netlink.h`.
const ERROR_TEXT: u16 = 1;

/// How often a dump is begun again because the kernel's tables changed under it.
const DUMP_ATTEMPTS: usize = 8;

/// A blocking netlink route socket.
pub(crate) struct Channel {
    socket: Socket,
    sequence: u32,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl Channel {
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(NetlinkError::Socket)?;
        socket.bind_auto().map_err(NetlinkError::Socket)?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(NetlinkError::Socket)?;
        // Refusals then carry the kernel's own words and only the head of our message; dumps obey their filter.
        socket.set_ext_ack(true).map_err(NetlinkError::Socket)?;
        socket.set_cap_ack(true).map_err(NetlinkError::Socket)?;
        socket.set_netlink_get_strict_chk(true).map_err(NetlinkError::Socket)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends a change; `what` names it in an error.
    pub(crate) fn write(
        &mut self,
        what: impl FnOnce() -> String,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), NetlinkError> {
        self.send(message, flags | NLM_F_ACK)?;
        self.receive()?.map(|_| ()).map_err(|source| NetlinkError::Refused { what: what(), source })
    }

    /// Asks for one object.
    pub(crate) fn read_one(
        &mut self,
        what: impl FnOnce() -> String,
        message: RouteNetlinkMessage,
    ) -> Result<Option<RouteNetlinkMessage>, NetlinkError> {
        self.send(message, NLM_F_ACK)?;
        let answer = self.receive()?.map_err(|source| NetlinkError::Refused { what: what(), source })?;
        Ok(answer.messages.into_iter().next())
    }

    /// Asks for all objects of a kind.
    pub(crate) fn read_all(
        &mut self,
        what: &str,
        message: &RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        let mut answer = Answer::default();
        for _ in 0..DUMP_ATTEMPTS {
            self.send(message.clone(), NLM_F_DUMP)?;
            answer = self
                .receive()?
                .map_err(|source| NetlinkError::Refused { what: format!("read {what}"), source })?;
            if !answer.interrupted {
                break;
            }
        }
        // An answer still torn after so many attempts is the best there is; what it misses, the next round sees.
        Ok(answer.messages)
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<(), NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(|_| ()).map_err(NetlinkError::Socket)
    }

    fn receive(&mut self) -> Result<Result<Answer, Refusal>, NetlinkError> {
        let mut answer = Answer::default();
        let mut buffer = Vec::with_capacity(BUFFER);
        loop {
            buffer.clear();
            self.socket.recv(&mut buffer, 0).map_err(NetlinkError::Socket)?;
            let mut rest = buffer.as_slice();
            while let Ok(frame) = NetlinkBuffer::new_checked(&rest) {
                let length = usize::try_from(frame.length()).expect("a buffer's length fits");
                if frame.sequence_number() == self.sequence {
                    answer.interrupted |= frame.flags() & NLM_F_DUMP_INTR != 0;
                    match frame.message_type() {
                        NLMSG_ERROR => return Ok(refusal(frame.payload()).map_or(Ok(answer), Err)),
                        NLMSG_DONE => return Ok(done(frame.payload()).map_or(Ok(answer), Err)),
                        _ => answer.keep(&rest[..length]),
                    }
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

#[derive(Default)]
struct Answer {
    messages: Vec<RouteNetlinkMessage>,
    interrupted: bool,
}

impl Answer {
    fn keep(&mut self, bytes: &[u8]) {
        // A message in a form that a newer kernel invented cannot be about an object of ours.
        if let Ok(message) = NetlinkMessage::deserialize(bytes)
            && let NetlinkPayload::InnerMessage(inner) = message.into_parts().1
        {
            self.messages.push(inner);
        }
    }
}

/// `struct nlmsgerr`: the code, the head of our message, attributes.
fn refusal(payload: &[u8]) -> Option<Refusal> {
    let code = code(payload)?;
    let attributes = payload.get(4 + 16..).unwrap_or_default();
    let text = NlasIterator::new(attributes).flatten().find(|attribute| attribute.kind() == ERROR_TEXT);
    let detail =
        text.map(|attribute| String::from_utf8_lossy(attribute.value()).trim_end_matches('\0').to_owned());
    Some(Refusal { code, detail })
}

fn done(payload: &[u8]) -> Option<Refusal> {
    Some(Refusal { code: code(payload)?, detail: None })
}

fn code(payload: &[u8]) -> Option<i32> {
    let code = i32::from_ne_bytes(payload.get(..4)?.try_into().ok()?);
    (code != 0).then_some(-code)
}
