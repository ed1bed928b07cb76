//! The bytes of protobuf messages: fields with their numbers, whatever they mean.

use super::ProtobufError;

/// What a field holds, before anyone says of which type it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wire<'a> {
    /// A number of up to 64 bits.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Text, bytes, or a message.
    Bytes(&'a [u8]),
    /// A group, which no type of the API uses.
    Group,
    /// Four bytes, which no type of the API uses.
    Fixed32,
}

/// Reads field by field.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field's number and content; `None` at the end.
    pub(super) fn next_field(&mut self) -> Result<Option<(u32, Wire<'a>)>, ProtobufError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.tag()?;
        let wire = match wire_type {
            0 => Wire::Varint(self.varint()?),
            1 => self.fixed64()?,
            2 => Wire::Bytes(self.length_delimited()?),
            3 => {
                self.skip_group()?;
                Wire::Group
            }
            4 => return Err(ProtobufError::EndOfGroup),
            5 => {
                self.take(4)?;
                Wire::Fixed32
            }
            other => return Err(ProtobufError::WireType(other)),
        };
        Ok(Some((number, wire)))
    }

    fn tag(&mut self) -> Result<(u32, u8), ProtobufError> {
        let tag = self.varint()?;
        // Go keeps the lower 32 bits of the number and takes none below 1.
        let number = (tag >> 3) as u32;
        if number.cast_signed() <= 0 {
            return Err(ProtobufError::Tag(tag >> 3));
        }
        Ok((number, (tag & 7) as u8))
    }

    pub(super) fn varint(&mut self) -> Result<u64, ProtobufError> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(ProtobufError::End)?;
            self.rest = rest;
            // Of the tenth byte only one bit fits; Go lets the others go.
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(ProtobufError::Overflow)
    }

    pub(super) fn fixed64(&mut self) -> Result<Wire<'a>, ProtobufError> {
        let bytes = self.take(8)?.try_into().expect("eight bytes were taken");
        Ok(Wire::Fixed64(u64::from_le_bytes(bytes)))
    }

    fn length_delimited(&mut self) -> Result<&'a [u8], ProtobufError> {
        let length = self.varint()?;
        if length.cast_signed() < 0 {
            return Err(ProtobufError::NegativeLength);
        }
        self.take(usize::try_from(length).map_err(|_| ProtobufError::End)?)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ProtobufError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(ProtobufError::End)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Skips to the end of a group that has begun, over the groups in it.
    fn skip_group(&mut self) -> Result<(), ProtobufError> {
        let mut depth = 1_usize;
        while depth > 0 {
            let (_, wire_type) = self.tag()?;
            match wire_type {
                0 => drop(self.varint()?),
                1 => drop(self.take(8)?),
                2 => drop(self.length_delimited()?),
                3 => depth += 1,
                4 => depth -= 1,
                5 => drop(self.take(4)?),
                other => return Err(ProtobufError::WireType(other)),
            }
        }
        Ok(())
    }
}

impl<'a> Wire<'a> {
    pub(super) fn bytes(&self, field: &str) -> Result<&'a [u8], ProtobufError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong(field)),
        }
    }

    pub(super) fn varint(&self, field: &str) -> Result<u64, ProtobufError> {
        match self {
            Self::Varint(value) => Ok(*value),
            _ => Err(self.wrong(field)),
        }
    }

    pub(super) fn double(&self, field: &str) -> Result<f64, ProtobufError> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(*bits)),
            _ => Err(self.wrong(field)),
        }
    }

    /// Go names the field of its struct, which is the JSON name with a capital.
    fn wrong(&self, field: &str) -> ProtobufError {
        let found = match self {
            Self::Varint(_) => 0,
            Self::Fixed64(_) => 1,
            Self::Bytes(_) => 2,
            Self::Group => 3,
            Self::Fixed32 => 5,
        };
        let mut letters = field.chars();
        let first = letters.next().into_iter().flat_map(char::to_uppercase);
        ProtobufError::WrongWireType { found, field: first.chain(letters).collect() }
    }
}
