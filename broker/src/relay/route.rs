//! What a request's metadata says: where to, and until when.

use crate::routing::RouteKey;
use rsocket::metadata::{Composite, Mime, mime};

/// The entry that carries a deadline: u32 big-endian, milliseconds left.
const DEADLINE: Mime<'static> = Mime::Name(b"message/x.towline.deadline.v0");
/// Composite entries read of one request.
const MAX_ENTRIES: usize = 64;

/// The part of a request's metadata the broker reads.
#[derive(Debug, Default)]
pub(super) struct Route<'a> {
    pub key: Option<RouteKey<'a>>,
    pub labels: Vec<(&'a str, &'a str)>,
    /// Milliseconds left, and where in the metadata they stand.
    pub deadline: Option<(u32, usize)>,
}

impl<'a> Route<'a> {
    /// Reads composite metadata up to the first malformed entry.
    pub(super) fn read(metadata: &'a [u8]) -> Self {
        let mut route = Self::default();
        for entry in Composite::new(metadata).map_while(Result::ok).take(MAX_ENTRIES) {
            if entry.mime == mime::ROUTING && route.key.is_none() {
                let labels = &mut route.labels;
                route.key = RouteKey::read(entry.content, |label, value| labels.push((label, value)));
            } else if entry.mime == DEADLINE
                && let Ok(bytes) = <[u8; 4]>::try_from(entry.content)
            {
                let at = entry.content.as_ptr() as usize - metadata.as_ptr() as usize;
                route.deadline = Some((u32::from_be_bytes(bytes), at));
            }
        }
        route
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsocket::metadata::CompositeBuilder;

    #[test]
    fn key_labels_and_deadline_are_found() {
        let metadata = CompositeBuilder::new()
            .entry(mime::ROUTING, b"\x07a.B.m:2\x06e=id:1\x05t.z=a\x04junk")
            .entry(DEADLINE, &1500u32.to_be_bytes())
            .finish();
        let route = Route::read(&metadata);
        let key = route.key.unwrap();
        assert_eq!((key.service, key.method, key.version, key.endpoint), ("a.B", "m", "2", Some("id:1")));
        assert_eq!(route.labels, [("z", "a")]);
        let (left, at) = route.deadline.unwrap();
        assert_eq!((left, &metadata[at..at + 4]), (1500, &1500u32.to_be_bytes()[..]));
    }

    #[test]
    fn a_malformed_tail_and_foreign_entries_change_nothing() {
        let mut metadata = CompositeBuilder::new().entry(mime::TRACING, b"x").entry(mime::ROUTING, b"\x03a.b").finish();
        metadata.extend_from_slice(&[0x80, 1, 2, 3, 4, 5]);
        assert_eq!(Route::read(&metadata).key.unwrap().service, "a");
        assert!(Route::read(b"").key.is_none());
    }
}
