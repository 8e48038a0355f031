//! MessagePack by hand: as much as a publisher and a consumer need.

/// A map of so many entries, at most 15.
pub(super) fn put_map(out: &mut Vec<u8>, entries: u8) {
    debug_assert!(entries < 16, "a fixmap");
    out.push(0x80 | entries);
}

/// A text of at most 255 bytes.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    debug_assert!(text.len() < 256, "a str 8");
    match text.len() {
        len @ 0..32 => out.push(0xA0 | len as u8),
        len => out.extend_from_slice(&[0xD9, len as u8]),
    }
    out.extend_from_slice(text.as_bytes());
}

/// Bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        len @ 0..256 => out.extend_from_slice(&[0xC4, len as u8]),
        len @ 256..65_536 => {
            out.push(0xC5);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0xC6);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

/// A whole number, in nine bytes whatever it is.
pub(super) fn put_number(out: &mut Vec<u8>, number: u64) {
    out.push(0xCF);
    out.extend_from_slice(&number.to_be_bytes());
}

/// The whole number at the start, in whichever width.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first()?;
    let wide = |len: usize| {
        let bytes = rest.get(..len)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    match first {
        0x00..=0x7F => Some(u64::from(*first)),
        0xCC => wide(1),
        0xCD => wide(2),
        0xCE => wide(4),
        0xCF => wide(8),
        _ => None,
    }
}

/// The bytes at the start.
pub(super) fn bytes(value: &[u8]) -> Option<&[u8]> {
    let (first, rest) = value.split_first()?;
    let width = match first {
        0xC4 => 1,
        0xC5 => 2,
        0xC6 => 4,
        _ => return None,
    };
    let (len, rest) = rest.split_at_checked(width)?;
    rest.get(..len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)))
}

/// What stands behind the text `key` in a map whose keys before it have texts, numbers or flags as values.
pub(super) fn value_of<'a>(map: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let (first, mut rest) = map.split_first()?;
    let entries = (first & 0xF0 == 0x80).then_some(first & 0x0F)?;
    for _ in 0..entries {
        let (name, value) = text(rest)?;
        if name == key.as_bytes() {
            return Some(value);
        }
        rest = skip(value)?;
    }
    None
}

fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (len, rest) = match first {
        0xA0..=0xBF => (usize::from(first & 0x1F), rest),
        0xD9 => rest.split_first().map(|(len, rest)| (usize::from(*len), rest))?,
        _ => return None,
    };
    rest.split_at_checked(len)
}

fn skip(bytes: &[u8]) -> Option<&[u8]> {
    let len = match bytes.first()? {
        0x00..=0x7F | 0xC0 | 0xC2 | 0xC3 => 1,
        0xCC => 2,
        0xCD => 3,
        0xCE => 5,
        0xCF => 9,
        _ => return text(bytes).map(|(_, rest)| rest),
    };
    bytes.get(len..)
}
