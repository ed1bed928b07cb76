//! SPDY/3.1 from a client: any bytes in pieces, as they are and behind a valid start; what is held stays bounded.
#![no_main]

use bytes::BytesMut;
use engine_streams::spdy::{
    Decoder, Encoder, Frame, Headers, MAX_CONTROL_BYTES, Step, StreamId, Streams,
};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 4;

fuzz_target!(|input: &[u8]| {
    let Some((piece, bytes)) = input.split_first() else { return };
    let piece = usize::from(*piece).max(1);
    read(bytes, piece);
    let mut valid = BytesMut::new();
    let headers = Headers::default().with("streamtype", "data").with("port", "80");
    Encoder::default().encode(&Frame::SynStream { stream: StreamId(1), headers, fin: false }, &mut valid);
    valid.extend_from_slice(bytes);
    read(&valid, piece);
});

fn read(bytes: &[u8], piece: usize) {
    let (mut decoder, mut streams, mut encoder) = (Decoder::default(), Streams::new(LIMIT), Encoder::default());
    for piece in bytes.chunks(piece) {
        decoder.feed(piece);
        loop {
            match decoder.next_frame() {
                Err(_) => return,
                Ok(None) => break,
                Ok(Some(frame)) => {
                    for step in streams.take(frame) {
                        if let Step::Answer(frame) = step {
                            encoder.encode(&frame, &mut BytesMut::new());
                        }
                    }
                }
            }
        }
        assert!(streams.len() <= LIMIT);
        assert!(decoder.held() <= MAX_CONTROL_BYTES + 8);
    }
}
