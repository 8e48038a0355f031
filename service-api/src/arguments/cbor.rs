use std::borrow::Cow;
use std::mem;

use ciborium_ll::{Decoder, Encoder, Header};

use super::split::{Form, Split};
use crate::encoding::{EncodingError, MAX_DEPTH};

/// Walks the top level of one CBOR value that is all there is. Elements are skipped without recursion.
pub(super) fn split<'a>(bytes: &'a [u8], split: &mut Split<'_, 'a>) -> Result<Form, EncodingError> {
    if value_end(bytes, 0)? != bytes.len() {
        return Err(EncodingError::Malformed("bytes go on after the value"));
    }
    let Head { header, body: mut at, .. } = head(bytes, 0)?;
    let Some(mut items) = Items::of(header) else { return Ok(Form::Other) };
    if matches!(header, Header::Map(_)) {
        while items.take(bytes, &mut at)? {
            let key = value(bytes, &mut at)?;
            items.take(bytes, &mut at)?;
            split.entry(text(key).as_deref(), value(bytes, &mut at)?);
        }
        return Ok(Form::Map);
    }
    let mut index = 0;
    while items.take(bytes, &mut at)? {
        let raw = value(bytes, &mut at)?;
        split.element(index, raw, is_null(head(raw, 0)?.header));
        index += 1;
    }
    Ok(Form::Array)
}

/// Starts an array of that many elements.
pub(super) fn open_array(buffer: &mut Vec<u8>, count: usize) {
    Encoder::from(buffer).push(Header::Array(Some(count))).expect("a Vec takes all bytes");
}

/// Where the value that starts at `at` ends. Linear in what it reads, and without recursion. Errors: malformed, or nested
/// deeper than [`MAX_DEPTH`]; so what passed here can be read with recursion.
pub(crate) fn value_end(bytes: &[u8], mut at: usize) -> Result<usize, EncodingError> {
    let mut outer = Vec::new();
    let mut items = Items::one();
    loop {
        if !items.take(bytes, &mut at)? {
            match outer.pop() {
                Some(around) => items = around,
                None => return Ok(at),
            }
            continue;
        }
        let Head { header, body, .. } = head(bytes, at)?;
        at = body;
        match header {
            Header::Bytes(Some(length)) | Header::Text(Some(length)) => at += length,
            Header::Bytes(None) => chunks(bytes, &mut at, false, |_| {})?,
            Header::Text(None) => chunks(bytes, &mut at, true, |_| {})?,
            Header::Break => return Err(EncodingError::Malformed("a break stands where a value should be")),
            _ => {}
        }
        if let Some(inner) = Items::of(header) {
            if outer.len() == MAX_DEPTH {
                return Err(EncodingError::Malformed("it is nested too deep"));
            }
            outer.push(mem::replace(&mut items, inner));
        }
    }
}

/// The start of a value. Arrays, maps, texts and bytes are their header alone, everything else is whole.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) header: Header,
    /// The innermost of the tags before it: what the header alone does not say.
    pub(crate) tag: Option<u64>,
    /// Where its content starts; a text or bytes of a known length are there whole.
    pub(crate) body: usize,
}

pub(crate) fn head(bytes: &[u8], at: usize) -> Result<Head, EncodingError> {
    let mut decoder = Decoder::from(bytes.get(at..).ok_or(ENDS_EARLY)?);
    let mut tag = None;
    let header = loop {
        match decoder.pull() {
            Ok(Header::Tag(number)) => tag = Some(number),
            Ok(header) => break header,
            Err(ciborium_ll::Error::Io(_)) => return Err(ENDS_EARLY),
            Err(ciborium_ll::Error::Syntax(_)) => return Err(EncodingError::Malformed("a byte starts no value")),
        }
    };
    let body = at + decoder.offset();
    match header {
        Header::Bytes(Some(length)) | Header::Text(Some(length)) if length > bytes.len() - body => Err(ENDS_EARLY),
        _ => Ok(Head { header, tag, body }),
    }
}

/// Passes over the pieces of a text or of bytes without a known length, and the break after them.
pub(crate) fn chunks<'a>(
    bytes: &'a [u8],
    at: &mut usize,
    is_text: bool,
    mut each: impl FnMut(&'a [u8]),
) -> Result<(), EncodingError> {
    loop {
        let Head { header, tag, body } = head(bytes, *at)?;
        let length = match (header, is_text) {
            (Header::Text(Some(length)), true) | (Header::Bytes(Some(length)), false) if tag.is_none() => length,
            (Header::Break, _) if tag.is_none() => {
                *at = body;
                return Ok(());
            }
            _ => return Err(EncodingError::Malformed("a text or bytes have a piece of another kind")),
        };
        *at = body + length;
        each(&bytes[body..*at]);
    }
}

/// What is still to come in an array or in a map, whose keys and values count alike.
#[derive(Debug)]
pub(crate) struct Items {
    /// `None`: until a break.
    left: Option<u64>,
    is_map: bool,
    is_after_key: bool,
}

impl Items {
    fn one() -> Self {
        Self { left: Some(1), is_map: false, is_after_key: false }
    }

    /// Those of an array or a map.
    pub(crate) fn of(header: Header) -> Option<Self> {
        let (count, is_map) = match header {
            Header::Array(count) => (count, false),
            Header::Map(count) => (count, true),
            _ => return None,
        };
        // More than fit in memory are as good as too many.
        let left = count.map(|count| (count as u64).saturating_mul(1 + u64::from(is_map)));
        Some(Self { left, is_map, is_after_key: false })
    }

    /// Whether another one follows, which is then taken; else the break, if any, is.
    pub(crate) fn take(&mut self, bytes: &[u8], at: &mut usize) -> Result<bool, EncodingError> {
        match &mut self.left {
            Some(0) => return Ok(false),
            Some(left) => *left -= 1,
            None if bytes.get(*at) == Some(&BREAK) => {
                *at += 1;
                self.left = Some(0);
                let is_half = self.is_map && self.is_after_key;
                return if is_half { Err(EncodingError::Malformed("a key has no value")) } else { Ok(false) };
            }
            None => {}
        }
        self.is_after_key = !self.is_after_key;
        Ok(true)
    }

    /// How many follow, if that is known.
    pub(crate) fn left(&self) -> Option<usize> {
        usize::try_from(self.left?).ok()
    }
}

pub(crate) const fn is_null(header: Header) -> bool {
    matches!(header, Header::Simple(NULL | UNDEFINED))
}

const NULL: u8 = 22;
const UNDEFINED: u8 = 23;
const BREAK: u8 = 0xff;

const ENDS_EARLY: EncodingError = EncodingError::Malformed("the bytes end early");

fn value<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], EncodingError> {
    let start = *at;
    *at = value_end(bytes, start)?;
    Ok(&bytes[start..*at])
}

fn text(value: &[u8]) -> Option<Cow<'_, str>> {
    let Head { header: Header::Text(length), mut body, .. } = head(value, 0).ok()? else { return None };
    content(value, &mut body, length, true).ok().and_then(|content| utf8(content).ok())
}

/// The content of a text or of bytes, which `at` then is behind.
pub(crate) fn content<'a>(
    bytes: &'a [u8],
    at: &mut usize,
    length: Option<usize>,
    is_text: bool,
) -> Result<Cow<'a, [u8]>, EncodingError> {
    if let Some(length) = length {
        let start = *at;
        *at += length;
        return Ok(Cow::Borrowed(&bytes[start..*at]));
    }
    let mut all = Vec::new();
    chunks(bytes, at, is_text, |piece| all.extend_from_slice(piece))?;
    Ok(Cow::Owned(all))
}

/// The same bytes as a text.
pub(crate) fn utf8(content: Cow<'_, [u8]>) -> Result<Cow<'_, str>, EncodingError> {
    let text = match content {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    };
    text.ok_or(EncodingError::Malformed("a text is no UTF-8"))
}
