//! SPDY/3.1 as Kubernetes' clients speak it: frames, header blocks, and which streams are open.
//!
//! Written after the protocol's draft 3.1 and after what `moby/spdystream` sends and takes. Flow control is not part
//! of it: that library neither sends nor heeds `WINDOW_UPDATE`, so the transport's own back-pressure is all there is.

mod decode;
mod dictionary;
mod encode;
mod headers;
mod streams;

use bytes::Bytes;

pub use decode::Decoder;
pub use encode::Encoder;
pub use headers::Headers;
pub use streams::{Event, Half, Step, Streams};

/// The version in every control frame.
const VERSION: u16 = 3;
/// Longest control frame that is taken; a stream of Kubernetes has a handful of short headers.
pub const MAX_CONTROL_BYTES: usize = 64 * 1024;
/// Longest header block after decompression.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Most headers in one block.
pub const MAX_HEADERS: usize = 256;

/// Types of control frames (draft 3.1, section 2.6).
mod control {
    pub(super) const SYN_STREAM: u16 = 1;
    pub(super) const SYN_REPLY: u16 = 2;
    pub(super) const RST_STREAM: u16 = 3;
    pub(super) const PING: u16 = 6;
    pub(super) const GOAWAY: u16 = 7;
    pub(super) const HEADERS: u16 = 8;
}

/// The flag that says that the sender is done with a stream.
const FIN: u8 = 0x01;

/// The number of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// Why a stream ends early (draft 3.1, section 2.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetCode(pub u32);

impl ResetCode {
    /// The other side broke a rule.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// The stream was not opened, and nothing was done for it.
    pub const REFUSED_STREAM: Self = Self(3);
    /// The sender no longer wants it.
    pub const CANCEL: Self = Self(5);
}

/// One frame, or a piece of a long data frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    SynStream {
        /// Its number.
        stream: StreamId,
        /// What it is for.
        headers: Headers,
        /// The sender is done with it.
        fin: bool,
    },
    /// Accepts a stream.
    SynReply {
        /// Its number.
        stream: StreamId,
        /// Usually none.
        headers: Headers,
        /// The sender is done with it.
        fin: bool,
    },
    /// Ends a stream in both directions.
    Reset {
        /// Its number.
        stream: StreamId,
        /// Why.
        code: ResetCode,
    },
    /// Wants the same number back.
    Ping(u32),
    /// No stream beyond this one will be taken.
    GoAway {
        /// The last stream that was.
        last: StreamId,
    },
    /// More headers of an open stream.
    Headers {
        /// Its number.
        stream: StreamId,
        /// Which.
        headers: Headers,
        /// The sender is done with it.
        fin: bool,
    },
    /// Bytes of a stream.
    Data {
        /// Its number.
        stream: StreamId,
        /// The bytes; may be none.
        bytes: Bytes,
        /// The sender is done with it.
        fin: bool,
    },
}

/// Why a connection cannot go on: what came is not SPDY/3.1, or more than is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpdyError {
    /// A control frame of another version.
    #[error("a control frame has version {0}, not {VERSION}")]
    Version(u16),
    /// A control frame is too long.
    #[error("a control frame of {0} bytes is longer than {MAX_CONTROL_BYTES}")]
    ControlTooLong(usize),
    /// A control frame ends before its fields do.
    #[error("a control frame of type {0} is too short")]
    ControlTooShort(u16),
    /// A header block does not decompress.
    #[error("a header block is not compressed as it must be")]
    Compression,
    /// A header block is too long after decompression.
    #[error("a header block is longer than {MAX_HEADER_BYTES} bytes")]
    HeadersTooLong,
    /// A header block has too many headers.
    #[error("a header block has more than {MAX_HEADERS} headers")]
    TooManyHeaders,
    /// A header block ends before its fields do, names a header twice, or goes on after its last one.
    #[error("a header block is malformed")]
    Headers,
}
