//! A WebSocket client of a Pod's streams: any bytes as frames, and what they carry as channels, sizes and pages.
#![no_main]

use std::io::{Cursor, Read, Result, Write};

use bytes::Bytes;
use engine_streams::channel::{self, Version};
use engine_streams::command::Sizes;
use engine_streams::proxy::{Destination, Place, rewrite_html};
use libfuzzer_sys::fuzz_target;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

/// The limits of the server.
const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

/// Bytes of a client; what is answered is lost.
struct Client<'a>(Cursor<&'a [u8]>);

impl Read for Client<'_> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        self.0.read(to)
    }
}

impl Write for Client<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

fuzz_target!(|input: &[u8]| {
    let limits =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_LIMIT)).max_frame_size(Some(MESSAGE_LIMIT));
    let mut socket = WebSocket::from_raw_socket(Client(Cursor::new(input)), Role::Server, Some(limits));
    let mut sizes = Sizes::default();
    while let Ok(message) = socket.read() {
        if let Message::Binary(data) = message {
            take(data, &mut sizes);
        }
    }
    take(Bytes::copy_from_slice(input), &mut sizes);
    let text = String::from_utf8_lossy(input);
    let place = Place { prefix: "/api/v1/namespaces/n/pods/p/proxy", destination: "10.0.0.1:80", host: "h" };
    let _ = rewrite_html(&text, |address| place.rewrite(address));
    let _ = Destination::parse(&text);
});

fn take(data: Bytes, sizes: &mut Sizes) {
    for version in Version::ALL {
        if let Some(channel::Message::Bytes { bytes, .. }) = channel::parse(version, data.clone()) {
            let _ = sizes.take(&bytes);
        }
    }
}
