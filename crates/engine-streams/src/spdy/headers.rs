//! Header blocks: name and value pairs, compressed with one stream for all blocks of a direction.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::dictionary::dictionary;
use super::{MAX_HEADER_BYTES, MAX_HEADERS, SpdyError};

/// Names and values of one header block, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Adds a header; its name is written in lower case.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// The value of a header whose name is given in lower case; the first one where it has several.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        value.split('\0').next()
    }

    fn parse(block: &[u8]) -> Result<Self, SpdyError> {
        let mut fields = Fields(block);
        let count = fields.number()?;
        if count > MAX_HEADERS {
            return Err(SpdyError::TooManyHeaders);
        }
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            let name = fields.text()?.to_ascii_lowercase();
            let value = fields.text()?;
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(SpdyError::Headers);
            }
            pairs.push((name, value));
        }
        if fields.0.is_empty() { Ok(Self(pairs)) } else { Err(SpdyError::Headers) }
    }

    fn to_block(&self) -> Vec<u8> {
        let mut block = Vec::new();
        let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        block.extend_from_slice(&number(self.0.len()));
        for text in self.0.iter().flat_map(|(name, value)| [name, value]) {
            block.extend_from_slice(&number(text.len()));
            block.extend_from_slice(text.as_bytes());
        }
        block
    }
}

/// What is left of a block.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn number(&mut self) -> Result<usize, SpdyError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(SpdyError::Headers)?;
        self.0 = rest;
        usize::try_from(u32::from_be_bytes(*number)).map_err(|_| SpdyError::Headers)
    }

    fn text(&mut self) -> Result<String, SpdyError> {
        let length = self.number()?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(SpdyError::Headers)?;
        self.0 = rest;
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}

/// Reads the header blocks of one direction.
#[derive(Debug)]
pub(super) struct Unpacker {
    inflate: Decompress,
}

impl Unpacker {
    pub(super) fn new() -> Self {
        Self { inflate: Decompress::new(true) }
    }

    /// Reads the next block. After an error the compressor's state is lost, and with it the connection.
    pub(super) fn unpack(&mut self, packed: &[u8]) -> Result<Headers, SpdyError> {
        let mut block = Vec::with_capacity(1024);
        let start = self.inflate.total_in();
        loop {
            if block.capacity() == block.len() {
                if block.len() >= MAX_HEADER_BYTES {
                    return Err(SpdyError::HeadersTooLong);
                }
                block.reserve(block.len());
            }
            let before = (self.used(start), block.len());
            let left = packed.get(before.0..).ok_or(SpdyError::Compression)?;
            match self.inflate.decompress_vec(left, &mut block, FlushDecompress::Sync) {
                Ok(Status::StreamEnd) => return Err(SpdyError::Compression),
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.inflate.set_dictionary(&dictionary()).map_err(|_| SpdyError::Compression)?;
                    continue;
                }
                Err(_) => return Err(SpdyError::Compression),
            }
            if self.used(start) == packed.len() && block.len() < block.capacity() {
                return Headers::parse(&block);
            }
            if before == (self.used(start), block.len()) {
                return Err(SpdyError::Compression);
            }
        }
    }

    fn used(&self, start: u64) -> usize {
        usize::try_from(self.inflate.total_in() - start).unwrap_or(usize::MAX)
    }
}

/// Writes the header blocks of one direction.
#[derive(Debug)]
pub(super) struct Packer {
    deflate: Compress,
}

impl Packer {
    pub(super) fn new() -> Self {
        let mut deflate = Compress::new(Compression::default(), true);
        deflate.set_dictionary(&dictionary()).expect("a new compressor takes a dictionary");
        Self { deflate }
    }

    /// The next block.
    pub(super) fn pack(&mut self, headers: &Headers) -> Vec<u8> {
        let block = headers.to_block();
        let mut packed = Vec::with_capacity(block.len() + 64);
        let start = self.deflate.total_in();
        loop {
            let used = usize::try_from(self.deflate.total_in() - start).unwrap_or(block.len());
            let left = block.get(used..).unwrap_or_default();
            self.deflate
                .compress_vec(left, &mut packed, FlushCompress::Sync)
                .expect("compressing into a growing buffer cannot fail");
            if packed.len() < packed.capacity() {
                return packed;
            }
            packed.reserve(packed.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_each_other_in_one_stream() {
        let (mut packer, mut unpacker) = (Packer::new(), Unpacker::new());
        for port in ["80", "81", "80"] {
            let headers =
                Headers::default().with("streamType", "data").with("port", port).with("requestid", "0");
            let packed = packer.pack(&headers);
            assert_eq!(unpacker.unpack(&packed), Ok(headers));
        }
        let none = packer.pack(&Headers::default());
        assert_eq!(unpacker.unpack(&none), Ok(Headers::default()));
    }

    #[test]
    fn long_blocks_and_bombs() {
        let (mut packer, mut unpacker) = (Packer::new(), Unpacker::new());
        let long = Headers::default().with("a", &"x".repeat(30_000));
        assert_eq!(unpacker.unpack(&packer.pack(&long)), Ok(long));
        let bomb = Headers::default().with("a", &"x".repeat(40 * MAX_HEADER_BYTES));
        let packed = packer.pack(&bomb);
        assert!(packed.len() < MAX_HEADER_BYTES, "{}", packed.len());
        assert_eq!(unpacker.unpack(&packed), Err(SpdyError::HeadersTooLong));
    }

    #[test]
    fn malformed_blocks() {
        let parse = |block: &[u8]| Headers::parse(block).unwrap_err();
        assert_eq!(parse(b""), SpdyError::Headers);
        assert_eq!(parse(&[0xff; 4]), SpdyError::TooManyHeaders);
        assert_eq!(parse(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]), SpdyError::Headers);
        assert_eq!(parse(&[0, 0, 0, 0, 1]), SpdyError::Headers);
        let twice = Headers(vec![("a".into(), "1".into()), ("A".into(), "2".into())]).to_block();
        assert_eq!(parse(&twice), SpdyError::Headers);
    }

    #[test]
    fn the_first_of_several_values() {
        assert_eq!(Headers::default().with("Port", "80\081").first("port"), Some("80"));
        assert_eq!(Headers::default().first("port"), None);
    }
}
