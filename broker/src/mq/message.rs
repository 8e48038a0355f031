//! A message as the store keeps it: what a consumer is told, then the body.
//!
//! ```text
//!  1 version   1 fields there are (a bit each)
//!  varint length + bytes of each of: content type, key, tag, id     varint when it expires (milliseconds since 1970)
//!  varint count of headers, then name and value of each             the body
//! ```

use crate::store::Offset;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;
use towline_service_api::builtin::Delivery;

const VERSION: u8 = 1;

const CONTENT_TYPE: u8 = 1;
const KEY: u8 = 2;
const TAG: u8 = 4;
const ID: u8 = 8;
const EXPIRES: u8 = 16;
const HEADERS: u8 = 32;

/// What is published, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub content_type: Option<String>,
    pub key: Option<String>,
    pub tag: Option<String>,
    pub id: Option<String>,
    /// Milliseconds since 1970.
    pub expires: Option<u64>,
    pub headers: BTreeMap<String, String>,
    pub body: Bytes,
}

impl Content {
    pub(crate) fn encode(&self) -> Bytes {
        let texts = [(CONTENT_TYPE, &self.content_type), (KEY, &self.key), (TAG, &self.tag), (ID, &self.id)];
        let mut len = 2 + self.body.len() + self.expires.map_or(0, number_len);
        len += texts.iter().filter_map(|(_, text)| text.as_deref().map(text_len)).sum::<usize>();
        if !self.headers.is_empty() {
            len += number_len(self.headers.len() as u64);
            len += self.headers.iter().map(|(name, value)| text_len(name) + text_len(value)).sum::<usize>();
        }
        // Bytes of a vector that is full need no memory beside it.
        let mut out = Vec::with_capacity(len);
        let mut fields = 0;
        for (bit, text) in texts {
            fields |= if text.is_some() { bit } else { 0 };
        }
        fields |= if self.expires.is_some() { EXPIRES } else { 0 };
        fields |= if self.headers.is_empty() { 0 } else { HEADERS };
        out.extend_from_slice(&[VERSION, fields]);
        for (_, text) in texts {
            if let Some(text) = text {
                put_text(&mut out, text);
            }
        }
        if let Some(expires) = self.expires {
            put_number(&mut out, expires);
        }
        if !self.headers.is_empty() {
            put_number(&mut out, self.headers.len() as u64);
            for (name, value) in &self.headers {
                put_text(&mut out, name);
                put_text(&mut out, value);
            }
        }
        out.extend_from_slice(&self.body);
        debug_assert_eq!(out.len(), len, "as long as was said");
        out.into()
    }

    /// The bytes of a message that is a body of so many bytes and may expire, and has nothing else, at most.
    pub(crate) fn body_len(body: usize) -> usize {
        2 + number_len(u64::MAX) + body
    }

    /// Writes such a message to an empty buffer, and takes it off it.
    pub(crate) fn encode_body(body: &[u8], expires: Option<u64>, out: &mut BytesMut) -> Bytes {
        out.extend_from_slice(&[VERSION, if expires.is_some() { EXPIRES } else { 0 }]);
        if let Some(expires) = expires {
            put_number(out, expires);
        }
        out.extend_from_slice(body);
        out.split().freeze()
    }

    /// Nothing, if this version does not know it.
    pub(crate) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut take = Take(bytes);
        let (version, fields) = (take.byte()?, take.byte()?);
        if version != VERSION {
            return None;
        }
        let mut text = |bit| if fields & bit == 0 { Some(None) } else { take.text().map(Some) };
        let (content_type, key, tag, id) = (text(CONTENT_TYPE)?, text(KEY)?, text(TAG)?, text(ID)?);
        let expires = if fields & EXPIRES == 0 { None } else { Some(take.number()?) };
        let mut headers = BTreeMap::new();
        if fields & HEADERS != 0 {
            for _ in 0..take.number()? {
                headers.insert(take.text()?, take.text()?);
            }
        }
        let body = bytes.slice(bytes.len() - take.0.len()..);
        Some(Self { content_type, key, tag, id, expires, headers, body })
    }

    /// When it is worth nothing any more, without reading the rest.
    pub(crate) fn expires(bytes: &[u8]) -> Option<u64> {
        let mut take = Take(bytes);
        let (version, fields) = (take.byte()?, take.byte()?);
        if version != VERSION || fields & EXPIRES == 0 {
            return None;
        }
        for bit in [CONTENT_TYPE, KEY, TAG, ID] {
            if fields & bit != 0 {
                take.bytes()?;
            }
        }
        take.number()
    }

    /// What a consumer is told; a message of an unknown version is its bytes.
    pub(crate) fn delivery(bytes: &Bytes, topic: &str, offset: Offset, timestamp: u64) -> Delivery {
        let content = Self::decode(bytes).unwrap_or_else(|| Self { body: bytes.clone(), ..Self::default() });
        let Self { content_type, key, tag, id, headers, body, .. } = content;
        Delivery {
            topic: topic.to_owned(),
            offset,
            timestamp,
            content_type,
            body,
            key,
            tag,
            headers,
            id,
            ..Delivery::default()
        }
    }
}

fn put_number(out: &mut impl BufMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn number_len(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

fn text_len(text: &str) -> usize {
    number_len(text.len() as u64) + text.len()
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

struct Take<'a>(&'a [u8]);

impl<'a> Take<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content() -> impl Strategy<Value = Content> {
        let text = || prop::option::of(".{0,20}");
        let headers = prop::collection::btree_map(".{0,8}", ".{0,200}", 0..4);
        (
            text(),
            text(),
            text(),
            text(),
            prop::option::of(any::<u64>()),
            headers,
            prop::collection::vec(any::<u8>(), 0..300),
        )
            .prop_map(|(content_type, key, tag, id, expires, headers, body)| Content {
                content_type,
                key,
                tag,
                id,
                expires,
                headers,
                body: body.into(),
            })
    }

    proptest! {
        #[test]
        fn what_is_stored_reads_as_it_was(content in content()) {
            let bytes = content.encode();
            prop_assert_eq!(Content::expires(&bytes), content.expires);
            prop_assert_eq!(Content::decode(&bytes), Some(content));
        }

        #[test]
        fn a_body_alone_is_stored_as_with_nothing_else(
            body in prop::collection::vec(any::<u8>(), 0..300),
            expires in prop::option::of(any::<u64>()),
        ) {
            let content = Content { expires, body: body.clone().into(), ..Content::default() };
            let mut out = BytesMut::with_capacity(Content::body_len(body.len()));
            let room = out.capacity();
            prop_assert_eq!(Content::encode_body(&body, expires, &mut out), content.encode());
            prop_assert!(room - out.capacity() <= Content::body_len(body.len()));
        }

        #[test]
        fn any_bytes_are_read_or_are_not(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let bytes = Bytes::from(bytes);
            let _ = Content::expires(&bytes);
            let _ = Content::decode(&bytes);
            let shown = Content::delivery(&bytes, "t", 1, 2);
            prop_assert!(shown.body.len() <= bytes.len());
        }
    }
}
