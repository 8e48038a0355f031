//! Routing tags (Extensions/Routing.md): each an 8-bit length and UTF-8.

use bytes::{BufMut, BytesMut};

/// Walks the tags; ends at the first one that is cut short or no UTF-8.
#[derive(Clone, Debug)]
pub struct Tags<'a>(&'a [u8]);

impl<'a> Tags<'a> {
    /// Reads the content of a 0x7E entry.
    pub fn new(content: &'a [u8]) -> Self {
        Self(content)
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (&length, rest) = self.0.split_first()?;
        let (tag, rest) = rest.split_at_checked(usize::from(length))?;
        self.0 = rest;
        std::str::from_utf8(tag).ok()
    }
}

/// Writes tags as the content of a 0x7E entry.
///
/// # Errors
/// The first tag of more than 255 bytes.
pub fn write_tags<'a>(tags: impl IntoIterator<Item = &'a str>) -> Result<BytesMut, &'a str> {
    let mut out = BytesMut::new();
    for tag in tags {
        out.put_u8(u8::try_from(tag.len()).map_err(|_| tag)?);
        out.put_slice(tag.as_bytes());
    }
    Ok(out)
}
