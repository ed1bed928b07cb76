//! Frames → bytes.

use bytes::{BufMut, BytesMut};

use super::headers::{Headers, Packer};
use super::{FIN, Frame, StreamId, VERSION, control};

/// `GOAWAY` without an error (draft 3.1, section 2.6.6).
const GOAWAY_OK: u32 = 0;
/// The longest data frame: its length has 24 bits.
const MAX_DATA: usize = 0x00ff_ffff;

/// Writes the frames of one direction.
#[derive(Debug)]
pub struct Encoder {
    headers: Packer,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { headers: Packer::new() }
    }
}

impl Encoder {
    /// Appends a frame.
    pub fn encode(&mut self, frame: &Frame, to: &mut BytesMut) {
        match frame {
            Frame::SynStream { stream, headers, fin } => {
                let mut payload = stream_number(*stream);
                // No associated stream, highest priority, no credential slot.
                payload.extend_from_slice(&[0; 6]);
                self.with_headers(control::SYN_STREAM, *fin, payload, headers, to);
            }
            Frame::SynReply { stream, headers, fin } => {
                self.with_headers(control::SYN_REPLY, *fin, stream_number(*stream), headers, to);
            }
            Frame::Headers { stream, headers, fin } => {
                self.with_headers(control::HEADERS, *fin, stream_number(*stream), headers, to);
            }
            Frame::Reset { stream, code } => {
                let mut payload = stream_number(*stream);
                payload.extend_from_slice(&code.0.to_be_bytes());
                put_control(control::RST_STREAM, false, &payload, to);
            }
            Frame::Ping(number) => put_control(control::PING, false, &number.to_be_bytes(), to),
            Frame::GoAway { last } => {
                let mut payload = stream_number(*last);
                payload.extend_from_slice(&GOAWAY_OK.to_be_bytes());
                put_control(control::GOAWAY, false, &payload, to);
            }
            Frame::Data { stream, bytes, fin } => put_data(*stream, bytes, *fin, to),
        }
    }

    fn with_headers(
        &mut self,
        kind: u16,
        fin: bool,
        mut payload: Vec<u8>,
        headers: &Headers,
        to: &mut BytesMut,
    ) {
        payload.extend_from_slice(&self.headers.pack(headers));
        put_control(kind, fin, &payload, to);
    }
}

fn stream_number(stream: StreamId) -> Vec<u8> {
    stream.0.to_be_bytes().to_vec()
}

fn put_control(kind: u16, fin: bool, payload: &[u8], to: &mut BytesMut) {
    to.put_u16(0x8000 | VERSION);
    to.put_u16(kind);
    put_length(fin, payload.len(), to);
    to.put_slice(payload);
}

fn put_data(stream: StreamId, bytes: &[u8], fin: bool, to: &mut BytesMut) {
    let (piece, rest) = bytes.split_at(bytes.len().min(MAX_DATA));
    to.put_u32(stream.0 & 0x7fff_ffff);
    put_length(fin && rest.is_empty(), piece.len(), to);
    to.put_slice(piece);
    if !rest.is_empty() {
        put_data(stream, rest, fin, to);
    }
}

fn put_length(fin: bool, length: usize, to: &mut BytesMut) {
    let flags = if fin { u32::from(FIN) << 24 } else { 0 };
    to.put_u32(flags | u32::try_from(length).unwrap_or_default() & 0x00ff_ffff);
}
