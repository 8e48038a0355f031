//! Metadata of the extensions.

use towline_rsocket::metadata::auth::{Credentials, bearer};
use towline_rsocket::metadata::routing::{Tags, write_tags};
use towline_rsocket::metadata::{Composite, CompositeBuilder, Mime, mime};

/// Composite metadata: what is read is written again, and reads the same.
pub fn composite(bytes: &[u8]) {
    let mut builder = CompositeBuilder::new();
    let mut entries = Vec::new();
    for entry in Composite::new(bytes) {
        match entry {
            Ok(entry) => {
                builder = builder.entry(entry.mime, entry.content);
                let _ = entry.mime.name();
                entries.push(entry);
            }
            Err(malformed) => assert!(malformed.at < bytes.len()),
        }
    }
    let written = builder.finish();
    assert!(Composite::new(&written).map(|entry| entry.expect("it was written")).eq(entries.iter().copied()));
    for entry in &entries {
        let first = entries.iter().find(|other| other.mime == entry.mime).map(|other| other.content);
        assert_eq!(Composite::new(bytes).find(entry.mime), first);
    }
}

/// The content of 0x7A and 0x7B entries.
pub fn mimes(bytes: &[u8]) {
    if let Some(mime) = mime::read_message_mime(bytes) {
        let _ = mime.name();
        assert_eq!(mime.canonical(), mime);
    }
    let accepted = mime::read_accept_mimes(bytes);
    assert!(accepted.len() <= bytes.len());
    let is_writable = |mime: &Mime<'_>| !matches!(mime, Mime::Name([]));
    let accepted: Vec<_> = accepted.into_iter().filter(is_writable).collect();
    let written = CompositeBuilder::new().accept_mimes(&accepted).finish();
    let content = Composite::new(&written).find(mime::ACCEPT_MIMES).expect("it was written");
    assert_eq!(mime::read_accept_mimes(content), accepted);
}

/// Routing tags.
pub fn tags(bytes: &[u8]) {
    let tags: Vec<_> = Tags::new(bytes).collect();
    let written = write_tags(tags.iter().copied()).expect("each was short enough to be read");
    assert!(bytes.starts_with(&written));
    assert!(Tags::new(&written).eq(tags));
}

/// The content of a 0x7C entry; its `Debug` shows nothing of it.
pub fn credentials(bytes: &[u8]) {
    let Some(read) = Credentials::read(bytes) else { return };
    let shown = format!("{read:?}");
    assert!(["Simple(..)", "Bearer(..)", "Other"].contains(&&shown[..]));
    if let Credentials::Bearer(token) = read {
        assert_eq!(Credentials::read(&bearer(token)), Some(read));
    }
}
