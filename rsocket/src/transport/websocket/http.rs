//! As much of HTTP/1.1 as an opening handshake takes.

use crate::transport::{Batch, Transport, readable, write_all};
use bytes::BytesMut;
use httparse::Header;
use std::io;

/// Bytes a request or response may have before its body.
pub(super) const MAX_HEAD: usize = 16 * 1024;
/// Header fields it may have.
pub(super) const MAX_FIELDS: usize = 64;

/// Reads until the empty line that ends a head; returns the length of the head, or `None` if it is too long.
pub(super) async fn read_head(inner: &dyn Transport, bytes: &mut BytesMut) -> io::Result<Option<usize>> {
    let mut seen = 0;
    loop {
        let end = bytes[seen..].windows(4).position(|window| window == b"\r\n\r\n").map(|at| seen + at + 4);
        match end {
            Some(end) if end <= MAX_HEAD => return Ok(Some(end)),
            None if bytes.len() < MAX_HEAD => {}
            _ => return Ok(None),
        }
        seen = bytes.len().saturating_sub(3);
        if bytes.len() == bytes.capacity() {
            bytes.reserve(1024);
        }
        match inner.try_read(bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => readable(inner).await?,
            Err(error) => return Err(error),
        }
        if inner.has_unsent() {
            write_all(inner, &mut Batch::default()).await?;
        }
    }
}

/// Writes a head, or a whole response.
pub(super) async fn write(inner: &dyn Transport, text: &str) -> io::Result<()> {
    let mut batch = Batch::default();
    batch.push(BytesMut::from(text));
    write_all(inner, &mut batch).await
}

/// The fields of a head.
pub(super) struct Fields<'a>(pub(super) &'a [Header<'a>]);

impl<'a> Fields<'a> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// The field's value; an error if there is more than one, or it is no text.
    pub(super) fn one(&self, name: &str) -> Result<Option<&'a str>, ()> {
        let mut values = self.all(name);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(());
        }
        str::from_utf8(value).map(|text| Some(text.trim_ascii())).map_err(drop)
    }

    /// The field's values, split at commas, have this one; letter case counts only if `is_exact`.
    pub(super) fn lists(&self, name: &str, wanted: &str, is_exact: bool) -> bool {
        let mut items = self.all(name).flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        items
            .any(|item| if is_exact { item == wanted.as_bytes() } else { item.eq_ignore_ascii_case(wanted.as_bytes()) })
    }
}
