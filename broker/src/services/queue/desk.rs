//! The desk for calls of `publish`: most of them are read where the relay has them, and answered with many others.

use super::batcher::Batcher;
use super::plain;
use crate::link::{self, Ticket};
use crate::relay::DEADLINE;
use rsocket::metadata::routing::Tags;
use rsocket::metadata::{Composite, Mime, mime};
use std::fmt;
use std::sync::Arc;
use towline_service_api::Encoding;

/// What a call names.
const PUBLISH: &[u8] = b"towline.Queue.publish";

/// See the module.
pub(in crate::services) struct Desk {
    batcher: Arc<Batcher>,
}

impl Desk {
    pub(super) fn new(batcher: Arc<Batcher>) -> Self {
        Self { batcher }
    }
}

impl link::Desk for Desk {
    fn knows(&self, metadata: &[u8]) -> bool {
        is_publish(metadata)
    }

    fn take(&self, requests: &[&[u8]], ticket: &mut dyn FnMut(usize) -> Ticket) -> usize {
        let calls: Vec<_> = requests.iter().map_while(|request| plain::read(request)).collect();
        self.batcher.take_if_room(&calls, ticket)
    }
}

/// A call in MessagePack that is to be answered in it, with nothing else that has to be looked at. Its deadline, which has not
/// passed, is for whoever waits.
fn is_publish(metadata: &[u8]) -> bool {
    let (mut route, mut data, mut accept) = (None, None, None);
    for entry in Composite::new(metadata) {
        let Ok(entry) = entry else { return false };
        let slot = match entry.mime {
            mime::ROUTING => &mut route,
            mime::MESSAGE_MIME => &mut data,
            mime::ACCEPT_MIMES => &mut accept,
            DEADLINE if entry.content.len() == 4 && entry.content != [0; 4] => continue,
            _ => return false,
        };
        if slot.replace(entry.content).is_some() {
            return false;
        }
    }
    let (Some(route), Some(data)) = (route, data) else { return false };
    let mut tags = Tags::new(route);
    let is_route = tags.next().is_some_and(|tag| tag.as_bytes() == PUBLISH) && tags.next().is_none();
    let encoding = mime::read_message_mime(data).and_then(Mime::name).and_then(Encoding::from_mime);
    is_route && encoding == Some(Encoding::MessagePack) && accept.is_none_or(|accept| accept.starts_with(data))
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsocket::metadata::CompositeBuilder;

    fn call(route: &[u8], data: &str) -> CompositeBuilder {
        let tag = [&[route.len() as u8], route].concat();
        CompositeBuilder::new().entry(mime::ROUTING, &tag).message_mime(Mime::named(data))
    }

    #[test]
    fn calls_of_publish_in_messagepack_are_known_by_their_metadata() {
        let packed = Encoding::MessagePack.mime();
        assert!(is_publish(&call(PUBLISH, packed).finish()));
        assert!(is_publish(&call(PUBLISH, packed).entry(DEADLINE, &[0, 0, 1, 0]).finish()));
        assert!(is_publish(&call(PUBLISH, packed).accept_mimes(&[Mime::named(packed), mime::JSON]).finish()));
        for other in [
            call(b"towline.Queue.publishBatch", packed),
            call(b"towline.Queue.publish:1", packed),
            call(b"orders.Queue.publish", packed),
            call(PUBLISH, Encoding::Json.mime()),
            call(PUBLISH, packed).accept_mimes(&[mime::JSON, Mime::named(packed)]),
            call(PUBLISH, packed).entry(DEADLINE, &[0; 4]),
            call(PUBLISH, packed).entry(DEADLINE, b"soon!"),
            call(PUBLISH, packed).entry(mime::TRACING, b"x"),
            call(PUBLISH, packed).message_mime(Mime::named(packed)),
            CompositeBuilder::new().message_mime(Mime::named(packed)),
        ] {
            assert!(!is_publish(&other.finish()));
        }
        let mut cut = call(PUBLISH, packed).finish();
        cut.truncate(cut.len() - 1);
        assert!(!is_publish(&cut));
        assert!(!is_publish(b""));
    }
}
