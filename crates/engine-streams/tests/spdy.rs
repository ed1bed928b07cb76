//! Properties of the SPDY codec: frames survive the way, any bytes are survived, memory is bounded.
#![allow(clippy::unwrap_used, reason = "what fails in a test is the finding")]

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use sealane_engine_streams as engine_streams;

use engine_streams::spdy::{
    Decoder, Encoder, Frame, Headers, MAX_CONTROL_BYTES, ResetCode, SpdyError, StreamId, Streams,
};

fn headers() -> impl Strategy<Value = Headers> {
    proptest::collection::btree_map("[a-z-]{1,12}", "\\PC{0,40}", 0..6).prop_map(|pairs| {
        pairs.iter().fold(Headers::default(), |headers, (name, value)| headers.with(name, value))
    })
}

fn frame() -> impl Strategy<Value = Frame> {
    let stream = || (0_u32..0x8000_0000).prop_map(StreamId);
    let bytes = proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    prop_oneof![
        (stream(), headers(), any::<bool>()).prop_map(|(stream, headers, fin)| Frame::SynStream {
            stream,
            headers,
            fin
        }),
        (stream(), headers(), any::<bool>()).prop_map(|(stream, headers, fin)| Frame::SynReply {
            stream,
            headers,
            fin
        }),
        (stream(), headers(), any::<bool>()).prop_map(|(stream, headers, fin)| Frame::Headers {
            stream,
            headers,
            fin
        }),
        (stream(), any::<u32>()).prop_map(|(stream, code)| Frame::Reset { stream, code: ResetCode(code) }),
        any::<u32>().prop_map(Frame::Ping),
        stream().prop_map(|last| Frame::GoAway { last }),
        (stream(), bytes, any::<bool>()).prop_map(|(stream, bytes, fin)| Frame::Data { stream, bytes, fin }),
    ]
}

/// Joins the pieces of data frames that came in pieces.
fn joined(frames: Vec<Frame>) -> Vec<Frame> {
    let mut whole: Vec<Frame> = Vec::new();
    let mut open = false;
    for frame in frames {
        if let Frame::Data { bytes: more, fin: last, .. } = &frame
            && open
            && let Some(Frame::Data { bytes, fin, .. }) = whole.last_mut()
        {
            *bytes = [bytes.as_ref(), more.as_ref()].concat().into();
            *fin = *last;
            continue;
        }
        open = matches!(frame, Frame::Data { .. });
        whole.push(frame);
    }
    whole
}

fn decode(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, SpdyError> {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece) {
        decoder.feed(piece);
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame);
        }
        assert!(decoder.held() <= MAX_CONTROL_BYTES + 8, "{} bytes held back", decoder.held());
    }
    Ok(frames)
}

proptest! {
    #[test]
    fn frames_survive_the_way(frames in proptest::collection::vec(frame(), 0..20), piece in 1_usize..400) {
        let mut encoder = Encoder::default();
        let mut bytes = BytesMut::new();
        let mut sent = Vec::new();
        for (number, frame) in frames.into_iter().enumerate() {
            encoder.encode(&frame, &mut bytes);
            sent.push(frame);
            // Something between data frames, so that their pieces can be told apart.
            let mark = Frame::Ping(u32::try_from(number).unwrap());
            encoder.encode(&mark, &mut bytes);
            sent.push(mark);
        }
        prop_assert_eq!(joined(decode(&bytes, piece).unwrap()), sent);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..4000), piece in 1_usize..400) {
        let _ = decode(&bytes, piece);
    }

    /// Damage behind a valid start reaches deeper than bytes that are no frame at all.
    #[test]
    fn damage_is_survived(frames in proptest::collection::vec(frame(), 1..8), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = BytesMut::new();
        let mut encoder = Encoder::default();
        frames.iter().for_each(|frame| encoder.encode(frame, &mut bytes));
        let at = at.index(bytes.len());
        bytes[at] = to;
        let Ok(frames) = decode(&bytes, 64) else { return Ok(()) };
        let mut streams = Streams::new(3);
        for frame in frames {
            let _ = streams.take(frame);
            prop_assert!(streams.len() <= 3);
        }
    }
}

#[test]
fn a_frame_that_never_ends_is_not_waited_for() {
    let mut decoder = Decoder::default();
    decoder.feed(&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]);
    assert_eq!(decoder.next_frame(), Err(SpdyError::ControlTooLong(0x00ff_ffff)));
    let mut decoder = Decoder::default();
    decoder.feed(&[0x80, 2, 0, 1, 0, 0, 0, 0]);
    assert_eq!(decoder.next_frame(), Err(SpdyError::Version(2)));
}

#[test]
fn an_empty_data_frame_ends_a_stream() {
    let frames = decode(&[0, 0, 0, 5, 1, 0, 0, 0], 3).unwrap();
    assert_eq!(frames, [Frame::Data { stream: StreamId(5), bytes: Bytes::new(), fin: true }]);
}
