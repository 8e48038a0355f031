//! What a request's metadata says: where to, and until when.

use crate::link::Form;
use crate::routing::RouteKey;
use rsocket::metadata::{Composite, Malformed, Mime, mime};

/// The entry that tells the broker's own services who calls: only the broker writes it.
pub(crate) const CALLER_MIME: &[u8] = b"message/x.towline.caller.v0";
pub(crate) const CALLER: Mime<'static> = Mime::Name(CALLER_MIME);

/// The entry that carries a deadline: u32 big-endian, milliseconds left.
pub(crate) const DEADLINE: Mime<'static> = Mime::Name(b"message/x.towline.deadline.v0");
/// Composite entries read of one request.
pub(super) const MAX_ENTRIES: usize = 64;

/// Bytes before the routing text of a 0x50 entry: two ids and the flags.
const BINARY_HEAD: usize = 12;

/// The part of a request's metadata the broker reads.
#[derive(Debug, Default)]
pub(crate) struct Route<'a> {
    /// Routing tags, and the text of binary routing, which counts where there are no tags.
    tags: Option<&'a [u8]>,
    binary: Option<&'a [u8]>,
    /// Milliseconds left, and where in the metadata they stand.
    pub deadline: Option<(u32, usize)>,
    /// It names the type of its data.
    pub has_mime: bool,
    /// It claims to say who calls.
    pub has_caller: bool,
    /// Bytes before the first malformed entry, or before the first one that is not read.
    pub well_formed: usize,
}

impl<'a> Route<'a> {
    /// Reads metadata of this form; composite metadata up to the first malformed entry.
    pub(crate) fn read(metadata: &'a [u8], form: Form) -> Self {
        let mut route = Self::default();
        match form {
            Form::Composite => route.read_entries(metadata),
            Form::Routing => {
                route.tags = Some(metadata);
                route.well_formed = metadata.len();
            }
            Form::Other => {}
        }
        route
    }

    /// It is refused, or at least looked at more closely.
    pub(super) fn is_special(&self) -> bool {
        self.has_caller || matches!(self.deadline, Some((0, _)))
    }

    /// What is asked for.
    pub(crate) fn key(&self) -> Option<RouteKey<'a>> {
        // The ids before the text are not looked up (wire-contract.md 2.4).
        let text = || str::from_utf8(self.binary?).ok().and_then(RouteKey::parse);
        self.tags.and_then(|tags| RouteKey::read(tags, |_, _| ())).or_else(text)
    }

    /// What is asked for, if any instance of it will do.
    pub(super) fn plain_key(&self) -> Option<RouteKey<'a>> {
        let mut has_labels = false;
        let text = || str::from_utf8(self.binary?).ok().and_then(RouteKey::parse);
        let key = self.tags.and_then(|tags| RouteKey::read(tags, |_, _| has_labels = true)).or_else(text)?;
        (key.is_plain() && !has_labels).then_some(key)
    }

    /// Labels an instance must have.
    pub(crate) fn labels(&self) -> Vec<(&'a str, &'a str)> {
        let mut labels = Vec::new();
        self.tags.map(|tags| RouteKey::read(tags, |label, value| labels.push((label, value))));
        labels
    }

    /// The bytes that say where to: of two requests in which they are the same, key and labels are.
    pub(super) fn bytes(&self) -> [&'a [u8]; 2] {
        [self.tags, self.binary].map(Option::unwrap_or_default)
    }

    fn read_entries(&mut self, metadata: &'a [u8]) {
        self.well_formed = metadata.len();
        let mut end = 0;
        for (nth, entry) in Composite::new(metadata).enumerate() {
            let entry = match entry {
                Ok(entry) if nth < MAX_ENTRIES => entry,
                // What follows may be malformed or not: entries are added before it.
                Ok(_) => {
                    self.well_formed = end;
                    break;
                }
                Err(Malformed { at }) => {
                    self.well_formed = at;
                    break;
                }
            };
            end = entry.content.as_ptr() as usize - metadata.as_ptr() as usize + entry.content.len();
            match entry.mime {
                // The first one that says where to.
                mime::ROUTING if self.tags.is_none_or(|tags| RouteKey::read(tags, |_, _| ()).is_none()) => {
                    self.tags = Some(entry.content);
                }
                mime::BINARY_ROUTING if self.binary.is_none() => {
                    self.binary = Some(entry.content.get(BINARY_HEAD..).unwrap_or_default());
                }
                mime::MESSAGE_MIME => self.has_mime = true,
                DEADLINE => {
                    if let Ok(bytes) = <[u8; 4]>::try_from(entry.content) {
                        let at = entry.content.as_ptr() as usize - metadata.as_ptr() as usize;
                        self.deadline = Some((u32::from_be_bytes(bytes), at));
                    }
                }
                CALLER => self.has_caller = true,
                _ => {}
            }
        }
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
        let route = Route::read(&metadata, Form::Composite);
        let key = route.key().unwrap();
        assert_eq!((key.service, key.method, key.version, key.endpoint), ("a.B", "m", "2", Some("id:1")));
        assert_eq!(route.labels(), [("z", "a")]);
        let (left, at) = route.deadline.unwrap();
        assert_eq!((left, &metadata[at..at + 4]), (1500, &1500u32.to_be_bytes()[..]));
    }

    #[test]
    fn a_malformed_tail_and_foreign_entries_change_nothing() {
        let mut metadata = CompositeBuilder::new().entry(mime::TRACING, b"x").entry(mime::ROUTING, b"\x03a.b").finish();
        metadata.extend_from_slice(&[0x80, 1, 2, 3, 4, 5]);
        assert_eq!(Route::read(&metadata, Form::Composite).key().unwrap().service, "a");
        assert!(Route::read(b"", Form::Composite).key().is_none());
    }

    #[test]
    fn binary_routing_counts_by_its_text() {
        let binary = [&[0xD9, 0xEE, 0x76, 0x5B, 1, 2, 3, 4, 0, 0, 0, 1][..], b"g!a.B.m:2?sticky=1&"].concat();
        let metadata = CompositeBuilder::new().entry(mime::BINARY_ROUTING, &binary).finish();
        let key = Route::read(&metadata, Form::Composite).key().unwrap();
        assert_eq!((key.group, key.service, key.method, key.version, key.is_sticky), ("g", "a.B", "m", "2", true));
        let both = CompositeBuilder::new()
            .entry(mime::BINARY_ROUTING, &binary)
            .entry(mime::ROUTING, b"\x03c.d")
            .message_mime(mime::JSON)
            .finish();
        let route = Route::read(&both, Form::Composite);
        assert_eq!((route.key().unwrap().service, route.has_mime), ("c", true));
        for cut in 0..12 {
            let metadata = CompositeBuilder::new().entry(mime::BINARY_ROUTING, &binary[..cut]).finish();
            assert!(Route::read(&metadata, Form::Composite).key().is_none());
        }
    }

    #[test]
    fn bare_routing_is_nothing_but_tags() {
        let route = Route::read(b"\x07a.B.m:2\x05key=k\x05t.z=a", Form::Routing);
        let key = route.key().unwrap();
        assert_eq!((key.service, key.version, key.hash_key), ("a.B", "2", Some("k")));
        assert_eq!(route.labels(), [("z", "a")]);
        assert!(Route::read(b"\x07a.B.m:2", Form::Other).key().is_none());
    }

    #[test]
    fn of_very_many_entries_the_first_64_are_read_and_others_come_behind_them() {
        let entry = CompositeBuilder::new().entry(mime::TRACING, b"x").finish();
        let metadata = [&entry[..]; 70].concat();
        assert_eq!(Route::read(&metadata, Form::Composite).well_formed, 64 * entry.len());
        assert_eq!(Route::read(&metadata[..10 * entry.len()], Form::Composite).well_formed, 10 * entry.len());
    }
}
