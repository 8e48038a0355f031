//! What a publisher is told, written once for each message: in MessagePack without the steps of a serializer, which were as
//! much work as storing the message.

use bytes::Bytes;
use serde::Serialize;
use towline_service_api::__private::written;
use towline_service_api::builtin::{Confirmation, Durability};
use towline_service_api::{Encoding, EncodingError};

/// A [`Confirmation`] as it is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stored<'a> {
    pub(super) topic: &'a str,
    pub(super) offset: Option<u64>,
    pub(super) timestamp: u64,
    pub(super) durability: Durability,
    pub(super) duplicate: bool,
}

impl Stored<'_> {
    /// Writes it as its [`Confirmation`] is written.
    ///
    /// # Errors
    /// There is no form for it in this encoding.
    pub(crate) fn encode(&self, encoding: Encoding) -> Result<Bytes, EncodingError> {
        match encoding {
            Encoding::MessagePack => written(|out| {
                self.write(out);
                Ok(())
            }),
            _ => encoding.encode(self),
        }
    }

    /// Appends it in MessagePack: a map of five, each with its name.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\x85\xa5topic");
        text(out, self.topic);
        out.extend_from_slice(b"\xa6offset");
        match self.offset {
            Some(offset) => number(out, offset),
            None => out.push(0xc0),
        }
        out.extend_from_slice(b"\xa9timestamp");
        number(out, self.timestamp);
        out.extend_from_slice(match self.durability {
            Durability::Memory => b"\xaadurability\xa6memory".as_slice(),
            Durability::Os => b"\xaadurability\xa2os",
            Durability::Disk => b"\xaadurability\xa4disk",
        });
        out.extend_from_slice(if self.duplicate { b"\xa9duplicate\xc3" } else { b"\xa9duplicate\xc2" });
    }
}

/// A string. Names of topics are not long.
fn text(out: &mut Vec<u8>, text: &str) {
    match text.len() {
        short @ 0..32 => out.push(0xa0 | short as u8),
        byte @ 32..256 => out.extend_from_slice(&[0xd9, byte as u8]),
        more => {
            out.push(0xda);
            out.extend_from_slice(&(more as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

/// An unsigned number, as short as it can be.
fn number(out: &mut Vec<u8>, number: u64) {
    let bytes = number.to_be_bytes();
    let (marker, from) = match number {
        0..0x80 => return out.push(number as u8),
        0x80..0x100 => (0xcc, 7),
        0x100..0x1_0000 => (0xcd, 6),
        0x1_0000..0x1_0000_0000 => (0xce, 4),
        _ => (0xcf, 0),
    };
    out.push(marker);
    out.extend_from_slice(&bytes[from..]);
}

impl From<Stored<'_>> for Confirmation {
    fn from(stored: Stored<'_>) -> Self {
        let Stored { topic, offset, timestamp, durability, duplicate } = stored;
        Self { topic: topic.to_owned(), offset, timestamp, durability, duplicate, due: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_written_as_its_confirmation(topic: &str, offset: Option<u64>, durability: Durability, duplicate: bool) {
        let timestamp = offset.unwrap_or(1_764_431_000_000).rotate_left(13);
        let stored = Stored { topic, offset, timestamp, durability, duplicate };
        for encoding in [Encoding::MessagePack, Encoding::Json, Encoding::Cbor] {
            let bytes = stored.encode(encoding).expect("it has a form");
            let confirmation = Confirmation::from(Stored { ..stored });
            assert_eq!(bytes, encoding.encode(&confirmation).expect("it has a form"), "{encoding} {stored:?}");
        }
    }

    #[test]
    fn what_is_stored_is_written_as_its_confirmation() {
        let levels = [Durability::Memory, Durability::Os, Durability::Disk];
        for (nth, bits) in (0..64).enumerate() {
            for offset in [1 << bits, (1u64 << bits) - 1, u64::MAX >> bits] {
                is_written_as_its_confirmation("orders", Some(offset), levels[nth % 3], nth % 2 == 0);
            }
        }
        is_written_as_its_confirmation("orders", None, Durability::Disk, true);
        for length in [0, 1, 31, 32, 33, 255, 256, 300] {
            is_written_as_its_confirmation(&"t".repeat(length), Some(7), Durability::Os, false);
        }
    }
}
