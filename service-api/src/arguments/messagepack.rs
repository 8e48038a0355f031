use super::split::{Form, Split};
use crate::encoding::EncodingError;

/// Walks the top level of one MessagePack value that is all there is. Elements are skipped without recursion.
pub(super) fn split<'a>(bytes: &'a [u8], split: &mut Split<'_, 'a>) -> Result<Form, EncodingError> {
    let (head, mut at) = head(bytes, 0)?;
    let form = match head {
        Head::Array(count) => {
            for index in 0..count as usize {
                let raw = value(bytes, &mut at)?;
                split.element(index, raw, raw == [NIL]);
            }
            Form::Array
        }
        Head::Map(count) => {
            for _ in 0..count {
                let key = value(bytes, &mut at)?;
                let raw = value(bytes, &mut at)?;
                split.entry(text(key), raw);
            }
            Form::Map
        }
        Head::Text(_) | Head::Other => Form::Other,
    };
    if at == bytes.len() { Ok(form) } else { Err(EncodingError::Malformed("bytes go on after the value")) }
}

/// Where the value that starts at `at` ends. Linear in what it reads, and without recursion.
pub(crate) fn value_end(bytes: &[u8], mut at: usize) -> Result<usize, EncodingError> {
    let mut pending = 1_u64;
    while pending > 0 {
        let (head, end) = head(bytes, at)?;
        at = end;
        pending -= 1;
        pending += match head {
            Head::Array(count) => u64::from(count),
            Head::Map(count) => 2 * u64::from(count),
            Head::Text(_) | Head::Other => 0,
        };
    }
    Ok(at)
}

pub(super) const NIL: u8 = 0xc0;

/// The start of a value. Arrays and maps are their header alone, everything else is whole.
enum Head {
    /// A text, and where its characters start.
    Text(usize),
    Array(u32),
    Map(u32),
    Other,
}

fn head(bytes: &[u8], at: usize) -> Result<(Head, usize), EncodingError> {
    let marker = *bytes.get(at).ok_or(ENDS_EARLY)?;
    let body = at + 1;
    let number = |width: usize| be(bytes, body, width);
    let low = u32::from(marker & 0x0f);
    // The head, where its content starts, how long that is.
    let (head, start, length) = match marker {
        0x00..=0x7f | 0xe0..=0xff | NIL | 0xc2 | 0xc3 => (Head::Other, body, 0),
        0x80..=0x8f => (Head::Map(low), body, 0),
        0x90..=0x9f => (Head::Array(low), body, 0),
        0xa0..=0xbf => (Head::Text(body), body, u32::from(marker & 0x1f)),
        0xc1 => return Err(EncodingError::Malformed("0xc1 starts no value")),
        0xc4 => (Head::Other, body + 1, number(1)?),
        0xc5 => (Head::Other, body + 2, number(2)?),
        0xc6 => (Head::Other, body + 4, number(4)?),
        // Extensions: after the length one byte of type.
        0xc7 => (Head::Other, body + 2, number(1)?),
        0xc8 => (Head::Other, body + 3, number(2)?),
        0xc9 => (Head::Other, body + 5, number(4)?),
        0xcc | 0xd0 => (Head::Other, body, 1),
        0xcd | 0xd1 => (Head::Other, body, 2),
        0xca | 0xce | 0xd2 => (Head::Other, body, 4),
        0xcb | 0xcf | 0xd3 => (Head::Other, body, 8),
        0xd4..=0xd8 => (Head::Other, body + 1, 1 << (marker - 0xd4)),
        0xd9 => (Head::Text(body + 1), body + 1, number(1)?),
        0xda => (Head::Text(body + 2), body + 2, number(2)?),
        0xdb => (Head::Text(body + 4), body + 4, number(4)?),
        0xdc => (Head::Array(number(2)?), body + 2, 0),
        0xdd => (Head::Array(number(4)?), body + 4, 0),
        0xde => (Head::Map(number(2)?), body + 2, 0),
        0xdf => (Head::Map(number(4)?), body + 4, 0),
    };
    let end = start + length as usize;
    if end <= bytes.len() { Ok((head, end)) } else { Err(ENDS_EARLY) }
}

const ENDS_EARLY: EncodingError = EncodingError::Malformed("the bytes end early");

fn be(bytes: &[u8], at: usize, width: usize) -> Result<u32, EncodingError> {
    let digits = bytes.get(at..at + width).ok_or(ENDS_EARLY)?;
    Ok(digits.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

fn value<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], EncodingError> {
    let start = *at;
    *at = value_end(bytes, start)?;
    Ok(&bytes[start..*at])
}

fn text(value: &[u8]) -> Option<&str> {
    match head(value, 0) {
        Ok((Head::Text(start), end)) => std::str::from_utf8(&value[start..end]).ok(),
        _ => None,
    }
}
