//! Bytes → frames, holding back no more than one control frame.

use bytes::{Buf, Bytes, BytesMut};

use super::headers::Unpacker;
use super::{FIN, Frame, MAX_CONTROL_BYTES, ResetCode, SpdyError, StreamId, VERSION, control};

/// Bytes in front of every frame.
const HEAD: usize = 8;
/// Bytes of a `SYN_STREAM` in front of its headers: stream, associated stream, priority, slot.
const SYN_STREAM_HEAD: usize = 10;
/// Bytes of the other frames with headers in front of them.
const STREAM_HEAD: usize = 4;

/// Reads the frames of one direction. Data frames are passed on as their bytes come, in pieces.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    headers: Unpacker,
    data: Option<DataFrame>,
}

/// A data frame whose bytes are still coming.
#[derive(Clone, Copy, Debug)]
struct DataFrame {
    stream: StreamId,
    left: usize,
    fin: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { buffer: BytesMut::new(), headers: Unpacker::new(), data: None }
    }
}

impl Decoder {
    /// Takes in bytes; [`Decoder::next_frame`] then has to be called until it has no more.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that wait for the rest of their frame.
    #[must_use]
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    /// The next frame, or nothing until there are more bytes.
    ///
    /// # Errors
    /// When what came is no SPDY/3.1; nothing that follows can be read.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, SpdyError> {
        loop {
            if let Some(data) = self.data {
                return Ok(self.next_piece(data));
            }
            let Some(head) = self.buffer.first_chunk::<HEAD>() else { return Ok(None) };
            let word = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let (flags, length) =
                (head[4], usize::from(head[5]) << 16 | usize::from(head[6]) << 8 | usize::from(head[7]));
            if word & 0x8000_0000 == 0 {
                self.buffer.advance(HEAD);
                self.data = Some(DataFrame { stream: StreamId(word), left: length, fin: flags & FIN != 0 });
                continue;
            }
            let [version, kind] =
                [(word >> 16) & 0x7fff, word & 0xffff].map(|half| u16::try_from(half).unwrap_or_default());
            if version != VERSION {
                return Err(SpdyError::Version(version));
            }
            if length > MAX_CONTROL_BYTES {
                return Err(SpdyError::ControlTooLong(length));
            }
            if self.buffer.len() < HEAD + length {
                return Ok(None);
            }
            self.buffer.advance(HEAD);
            let payload = self.buffer.split_to(length).freeze();
            // Settings, window updates and types that are not known ask for nothing.
            if let Some(frame) = self.control(kind, flags, &payload)? {
                return Ok(Some(frame));
            }
        }
    }

    fn next_piece(&mut self, data: DataFrame) -> Option<Frame> {
        let DataFrame { stream, left, fin } = data;
        let length = left.min(self.buffer.len());
        if length == 0 && left > 0 {
            return None;
        }
        let bytes = self.buffer.split_to(length).freeze();
        let left = left - length;
        self.data = (left > 0).then_some(DataFrame { stream, left, fin });
        Some(Frame::Data { stream, bytes, fin: fin && left == 0 })
    }

    fn control(&mut self, kind: u16, flags: u8, payload: &Bytes) -> Result<Option<Frame>, SpdyError> {
        let fin = flags & FIN != 0;
        let number = || {
            let number = payload.first_chunk().ok_or(SpdyError::ControlTooShort(kind))?;
            Ok(u32::from_be_bytes(*number))
        };
        let stream = || Ok(StreamId(number()? & 0x7fff_ffff));
        let mut block = |from: usize| {
            let packed = payload.get(from..).ok_or(SpdyError::ControlTooShort(kind))?;
            self.headers.unpack(packed)
        };
        Ok(Some(match kind {
            control::SYN_STREAM => {
                Frame::SynStream { stream: stream()?, headers: block(SYN_STREAM_HEAD)?, fin }
            }
            control::SYN_REPLY => Frame::SynReply { stream: stream()?, headers: block(STREAM_HEAD)?, fin },
            control::HEADERS => Frame::Headers { stream: stream()?, headers: block(STREAM_HEAD)?, fin },
            control::RST_STREAM => {
                let code = payload.get(4..8).and_then(|code| code.try_into().ok());
                let code = code.map(u32::from_be_bytes).ok_or(SpdyError::ControlTooShort(kind))?;
                Frame::Reset { stream: stream()?, code: ResetCode(code) }
            }
            control::PING => Frame::Ping(number()?),
            control::GOAWAY => Frame::GoAway { last: stream()? },
            _ => return Ok(None),
        }))
    }
}
