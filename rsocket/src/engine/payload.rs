use crate::error::StreamError;
use crate::frame::PayloadParts;
use bytes::Bytes;

/// Metadata and data of a request or an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// `Some` of no bytes differs from `None` on the wire.
    pub metadata: Option<Bytes>,
    /// The data.
    pub data: Bytes,
}

/// What a stream yields: a payload, or the error that ended it.
pub type Item = Result<Payload, StreamError>;

impl Payload {
    /// Data with metadata.
    pub fn new(metadata: impl Into<Bytes>, data: impl Into<Bytes>) -> Self {
        Self { metadata: Some(metadata.into()), data: data.into() }
    }

    /// Data without metadata.
    pub fn from_data(data: impl Into<Bytes>) -> Self {
        Self { metadata: None, data: data.into() }
    }

    pub(super) fn parts(&self) -> PayloadParts<'_> {
        PayloadParts { metadata: self.metadata.as_deref(), data: &self.data }
    }
}
