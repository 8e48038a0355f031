use super::mime::{self, Mime};
use bytes::{BufMut, BytesMut};

/// One entry of composite metadata (Extensions/CompositeMetadata.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its type; a well-known name sent as text counts as the id.
    pub mime: Mime<'a>,
    /// Its content.
    pub content: &'a [u8],
}

/// The walk met bytes that are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("composite metadata is malformed at byte {at}")]
pub struct Malformed {
    /// Offset of the entry that cannot be read.
    pub at: usize,
}

/// Walks the entries of composite metadata; ends after the first malformed one.
#[derive(Clone, Debug)]
pub struct Composite<'a> {
    all: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Composite<'a> {
    /// Reads these bytes.
    pub fn new(metadata: &'a [u8]) -> Self {
        Self { all: metadata, rest: metadata }
    }

    /// The content of the first entry of this type.
    pub fn find(self, mime: Mime<'_>) -> Option<&'a [u8]> {
        self.map_while(Result::ok).find(|entry| entry.mime == mime).map(|entry| entry.content)
    }

    fn entry(&mut self) -> Option<Entry<'a>> {
        let (&first, rest) = self.rest.split_first()?;
        let (mime, rest) = if first & 0x80 != 0 {
            (Mime::Id(first & 0x7F), rest)
        } else {
            let (name, rest) = rest.split_at_checked(usize::from(first) + 1)?;
            (Mime::Name(name).canonical(), rest)
        };
        let (length, rest) = rest.split_at_checked(3)?;
        let length = usize::from(length[0]) << 16 | usize::from(length[1]) << 8 | usize::from(length[2]);
        let (content, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Entry { mime, content })
    }
}

impl<'a> Iterator for Composite<'a> {
    type Item = Result<Entry<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let at = self.all.len() - self.rest.len();
        Some(self.entry().ok_or_else(|| {
            self.rest = &[];
            Malformed { at }
        }))
    }
}

/// Writes composite metadata.
#[derive(Debug, Default)]
pub struct CompositeBuilder {
    bytes: BytesMut,
}

impl CompositeBuilder {
    /// No entries yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an entry.
    ///
    /// # Panics
    /// If the content has 2^24 bytes or more, or a name is not of 1 to 128 bytes.
    #[must_use]
    pub fn entry(mut self, mime: Mime<'_>, content: &[u8]) -> Self {
        assert!(content.len() < 1 << 24, "an entry's length has 24 bits");
        mime.write(&mut self.bytes);
        self.bytes.put_uint(content.len() as u64, 3);
        self.bytes.put_slice(content);
        self
    }

    /// Appends a 0x7A entry: the MIME type of the stream's data.
    #[must_use]
    pub fn message_mime(self, mime: Mime<'_>) -> Self {
        self.mimes(mime::MESSAGE_MIME, &[mime])
    }

    /// Appends a 0x7B entry: the MIME types the answer may have.
    #[must_use]
    pub fn accept_mimes(self, mimes: &[Mime<'_>]) -> Self {
        self.mimes(mime::ACCEPT_MIMES, mimes)
    }

    fn mimes(self, entry: Mime<'_>, mimes: &[Mime<'_>]) -> Self {
        let mut content = BytesMut::new();
        mimes.iter().for_each(|mime| mime.write(&mut content));
        self.entry(entry, &content)
    }

    /// The entries written.
    pub fn finish(self) -> BytesMut {
        self.bytes
    }
}
