//! Remote commands: their channels, their versions over SPDY, sizes of terminals, and how they end.

use serde_json::{Value, json};

/// One stream of a remote command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Standard input.
    Stdin,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// How it ended.
    Error,
    /// Sizes of the client's terminal.
    Resize,
}

impl Stream {
    /// All of them, in the order of their channels (apimachinery `remotecommand.StreamStdIn` and following).
    pub const ALL: [Self; 5] = [Self::Stdin, Self::Stdout, Self::Stderr, Self::Error, Self::Resize];

    /// Its channel over a WebSocket.
    #[must_use]
    pub fn channel(self) -> u8 {
        match self {
            Self::Stdin => 0,
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::Error => 3,
            Self::Resize => 4,
        }
    }

    /// The stream that SPDY's header `streamtype` means (`k8s.io/api/core/v1` `StreamTypeStdin` and following).
    #[must_use]
    pub fn of_type(name: &str) -> Option<Self> {
        Some(match name {
            "stdin" => Self::Stdin,
            "stdout" => Self::Stdout,
            "stderr" => Self::Stderr,
            "error" => Self::Error,
            "resize" => Self::Resize,
            _ => return None,
        })
    }
}

/// The version of a remote command over SPDY (apimachinery `remotecommand.StreamProtocolV1Name` and following).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpdyVersion {
    /// Neither sizes nor exit statuses; sent with or without a name.
    V1,
    /// The same, with a fixed order of closing.
    V2,
    /// With sizes.
    V3,
    /// With exit statuses.
    V4,
}

impl SpdyVersion {
    /// Those a client may choose from, best first; `channel.k8s.io` is the first version's name.
    pub const NAMES: [&'static str; 4] =
        ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];

    /// The version with this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "v4.channel.k8s.io" => Self::V4,
            "v3.channel.k8s.io" => Self::V3,
            "v2.channel.k8s.io" => Self::V2,
            "channel.k8s.io" => Self::V1,
            _ => return None,
        })
    }

    /// What the stream `Error` says in this version; nothing where success is silence.
    #[must_use]
    pub fn farewell(self, status: &Value) -> Option<String> {
        match self {
            Self::V4 => Some(status.to_string()),
            _ if status["status"] == "Success" => None,
            _ => Some(status["message"].as_str().unwrap_or("the command failed").to_owned()),
        }
    }
}

/// A terminal's size in character cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// Reads sizes out of bytes that may be cut anywhere: over SPDY they are one after the other.
#[derive(Debug, Default)]
pub struct Sizes {
    held: Vec<u8>,
}

/// Longest text of one size that is waited for; `{"Width":65535,"Height":65535}` and its newline are far shorter.
const MAX_SIZE_TEXT: usize = 1024;

impl Sizes {
    /// The last size that is complete with these bytes.
    pub fn take(&mut self, bytes: &[u8]) -> Option<TerminalSize> {
        self.held.extend_from_slice(bytes);
        let mut texts = serde_json::Deserializer::from_slice(&self.held).into_iter::<Value>();
        let mut last = None;
        while let Some(Ok(size)) = texts.next() {
            last = terminal_size(&size).or(last);
        }
        let done = texts.byte_offset();
        self.held.drain(..done);
        if self.held.len() > MAX_SIZE_TEXT {
            self.held.clear();
        }
        last
    }
}

fn terminal_size(size: &Value) -> Option<TerminalSize> {
    let side = |name: &str| size[name].as_u64().and_then(|cells| u16::try_from(cells).ok());
    Some(TerminalSize { width: side("Width")?, height: side("Height")? })
}

/// How a program with this exit status ended, as the stream `Error` tells it (client-go
/// `remotecommand.errorDecoderV4` reads it).
#[must_use]
pub fn outcome(code: i32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_may_be_cut_anywhere() {
        let mut sizes = Sizes::default();
        assert_eq!(sizes.take(br#"{"Width":80,"#), None);
        assert_eq!(sizes.take(br#""Height":24}"#), Some(TerminalSize { width: 80, height: 24 }));
        let two = b"{\"Width\":1,\"Height\":2}\n{\"Width\":3,\"Height\":4}\n";
        assert_eq!(sizes.take(two), Some(TerminalSize { width: 3, height: 4 }));
        assert_eq!(sizes.take(b"{}"), None);
        assert_eq!(sizes.take(&[b'['; 2 * MAX_SIZE_TEXT]), None);
        assert!(sizes.held.is_empty());
    }

    #[test]
    fn outcomes() {
        assert_eq!(outcome(0)["status"], "Success");
        assert_eq!(outcome(3)["details"]["causes"][0]["message"], "3");
        assert_eq!(SpdyVersion::V3.farewell(&outcome(0)), None);
        assert!(SpdyVersion::V2.farewell(&outcome(3)).unwrap().contains("exit status 3"));
        assert!(SpdyVersion::V4.farewell(&outcome(0)).unwrap().contains("Success"));
    }

    #[test]
    fn names() {
        for stream in Stream::ALL {
            let name = format!("{stream:?}").to_lowercase();
            assert_eq!(Stream::of_type(&name), Some(stream));
        }
        assert!(SpdyVersion::NAMES.iter().all(|name| SpdyVersion::of_name(name).is_some()));
    }
}
