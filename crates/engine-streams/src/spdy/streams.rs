//! Which streams of a connection are open, and what a frame means for them: the server's side.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Frame, Headers, ResetCode, StreamId};

/// Who may still send on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Both sides.
    Both,
    /// The client; we are done.
    Theirs,
    /// We; the client is done.
    Ours,
}

/// Something that happened to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The client opened it; nothing has been answered yet.
    Opened {
        /// Which.
        stream: StreamId,
        /// What it is for.
        headers: Headers,
    },
    /// Bytes came.
    Data {
        /// On which.
        stream: StreamId,
        /// Never empty.
        bytes: Bytes,
    },
    /// The client is done with it.
    Finished(StreamId),
    /// The client ended it in both directions.
    Reset(StreamId),
}

/// What a frame asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Tell whoever uses the stream.
    Tell(Event),
    /// Send this.
    Answer(Frame),
}

/// The open streams of one connection.
#[derive(Debug)]
pub struct Streams {
    open: BTreeMap<StreamId, Half>,
    limit: usize,
    last: StreamId,
}

impl Streams {
    /// No streams yet, and never more than `limit` at once.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { open: BTreeMap::new(), limit, last: StreamId(0) }
    }

    /// What a frame from the client means. Frames about streams that are not open mean nothing: they may have been
    /// under way when the stream ended.
    pub fn take(&mut self, frame: Frame) -> Vec<Step> {
        match frame {
            Frame::SynStream { stream, headers, fin } => self.opened(stream, headers, fin),
            Frame::Data { stream, bytes, fin } => {
                let mut steps = Vec::new();
                if !bytes.is_empty() && self.client_may_send(stream) {
                    steps.push(Step::Tell(Event::Data { stream, bytes }));
                }
                if fin {
                    steps.extend(self.finished(stream));
                }
                steps
            }
            Frame::Headers { stream, fin, .. } if fin => self.finished(stream).into_iter().collect(),
            Frame::Reset { stream, .. } => {
                self.open.remove(&stream).map(|_| Step::Tell(Event::Reset(stream))).into_iter().collect()
            }
            // Even numbers are echoes of our own (draft 3.1, section 2.6.5).
            Frame::Ping(number) if !number.is_multiple_of(2) => vec![Step::Answer(Frame::Ping(number))],
            Frame::Ping(_) | Frame::GoAway { .. } | Frame::Headers { .. } | Frame::SynReply { .. } => {
                Vec::new()
            }
        }
    }

    fn opened(&mut self, stream: StreamId, headers: Headers, fin: bool) -> Vec<Step> {
        let refuse = |code| vec![Step::Answer(Frame::Reset { stream, code })];
        // A client's streams have odd numbers, each higher than the last (draft 3.1, section 2.3.2).
        if stream.0.is_multiple_of(2) || stream <= self.last {
            return refuse(ResetCode::PROTOCOL_ERROR);
        }
        self.last = stream;
        if self.open.len() >= self.limit {
            return refuse(ResetCode::REFUSED_STREAM);
        }
        self.open.insert(stream, Half::Both);
        let mut steps = vec![Step::Tell(Event::Opened { stream, headers })];
        if fin {
            steps.extend(self.finished(stream));
        }
        steps
    }

    fn finished(&mut self, stream: StreamId) -> Option<Step> {
        match self.open.get(&stream)? {
            Half::Ours => return None,
            Half::Both => self.open.insert(stream, Half::Ours),
            Half::Theirs => self.open.remove(&stream),
        };
        Some(Step::Tell(Event::Finished(stream)))
    }

    fn client_may_send(&self, stream: StreamId) -> bool {
        matches!(self.open.get(&stream), Some(Half::Both | Half::Theirs))
    }

    /// Whether the client still takes what we send on a stream.
    #[must_use]
    pub fn we_may_send(&self, stream: StreamId) -> bool {
        matches!(self.open.get(&stream), Some(Half::Both | Half::Ours))
    }

    /// Whether either side may still send on a stream.
    #[must_use]
    pub fn is_open(&self, stream: StreamId) -> bool {
        self.open.contains_key(&stream)
    }

    /// We are done with a stream.
    pub fn we_finished(&mut self, stream: StreamId) {
        match self.open.get(&stream) {
            Some(Half::Both) => {
                self.open.insert(stream, Half::Theirs);
            }
            Some(Half::Ours) => {
                self.open.remove(&stream);
            }
            Some(Half::Theirs) | None => {}
        }
    }

    /// We ended a stream in both directions.
    pub fn we_reset(&mut self, stream: StreamId) {
        self.open.remove(&stream);
    }

    /// How many streams are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The last stream that was taken.
    #[must_use]
    pub fn last(&self) -> StreamId {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: StreamId = StreamId(1);

    fn open(streams: &mut Streams, number: u32) -> Vec<Step> {
        streams.take(Frame::SynStream { stream: StreamId(number), headers: Headers::default(), fin: false })
    }

    fn data(stream: StreamId, text: &'static str, fin: bool) -> Frame {
        Frame::Data { stream, bytes: Bytes::from_static(text.as_bytes()), fin }
    }

    #[test]
    fn each_side_ends_its_half() {
        let mut streams = Streams::new(10);
        open(&mut streams, 1);
        let told = streams.take(data(ONE, "last", true));
        let bytes = Bytes::from_static(b"last");
        assert_eq!(told, [Step::Tell(Event::Data { stream: ONE, bytes }), Step::Tell(Event::Finished(ONE))]);
        assert_eq!(streams.take(data(ONE, "more", true)), [], "after its end a client says nothing");
        assert!(streams.we_may_send(ONE));
        streams.we_finished(ONE);
        assert!(streams.is_empty() && !streams.we_may_send(ONE));
    }

    #[test]
    fn numbers_are_odd_and_rise() {
        let refused = |number, code| [Step::Answer(Frame::Reset { stream: StreamId(number), code })];
        let mut streams = Streams::new(2);
        assert_eq!(open(&mut streams, 2), refused(2, ResetCode::PROTOCOL_ERROR));
        assert_eq!(open(&mut streams, 3).len(), 1);
        assert_eq!(open(&mut streams, 1), refused(1, ResetCode::PROTOCOL_ERROR));
        assert_eq!(open(&mut streams, 3), refused(3, ResetCode::PROTOCOL_ERROR));
        assert_eq!(open(&mut streams, 5).len(), 1);
        assert_eq!(open(&mut streams, 7), refused(7, ResetCode::REFUSED_STREAM));
        streams.we_reset(StreamId(3));
        assert_eq!(open(&mut streams, 9).len(), 1, "there is room again");
    }

    #[test]
    fn pings_and_resets() {
        let mut streams = Streams::new(1);
        assert_eq!(streams.take(Frame::Ping(1)), [Step::Answer(Frame::Ping(1))]);
        assert_eq!(streams.take(Frame::Ping(2)), []);
        open(&mut streams, 1);
        let reset = Frame::Reset { stream: ONE, code: ResetCode::CANCEL };
        assert_eq!(streams.take(reset.clone()), [Step::Tell(Event::Reset(ONE))]);
        assert_eq!(streams.take(reset), []);
        assert!(!streams.we_may_send(ONE));
    }
}
