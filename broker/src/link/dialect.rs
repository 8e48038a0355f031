//! How an app writes its metadata, by its SETUP.

use rsocket::metadata::{CompositeBuilder, Mime, mime};

/// What the metadata of requests is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Entries, each with its type.
    Composite,
    /// Routing tags and nothing else.
    Routing,
    /// Something the broker does not read.
    Other,
}

/// The two types of SETUP.
#[derive(Debug)]
pub(crate) struct Dialect {
    pub form: Form,
    /// The type of metadata, for error texts.
    pub metadata_mime: String,
    /// The type of data that does not say its own.
    pub data_mime: String,
    /// The 0x7A entry that says so; empty if composite metadata cannot name the type.
    pub data_entry: Box<[u8]>,
}

impl Dialect {
    pub(crate) fn new(metadata_mime: &[u8], data_mime: &[u8]) -> Self {
        let form = match Mime::Name(metadata_mime).canonical() {
            mime::COMPOSITE => Form::Composite,
            mime::ROUTING => Form::Routing,
            _ => Form::Other,
        };
        let has_name = (1..=128).contains(&data_mime.len()) && data_mime.is_ascii();
        let entry = has_name.then(|| CompositeBuilder::new().message_mime(Mime::Name(data_mime)).finish());
        Self {
            form,
            metadata_mime: String::from_utf8_lossy(metadata_mime).into_owned(),
            data_mime: String::from_utf8_lossy(data_mime).into_owned(),
            data_entry: entry.map(|entry| entry.to_vec().into()).unwrap_or_default(),
        }
    }
}
