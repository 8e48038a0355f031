//! The two re-framings there are: bare routing metadata becomes an entry of composite metadata, and entries are appended
//! (wire-contract.md: the default data type; for the broker's own services, who calls).

use bytes::{BufMut, BytesMut};
use rsocket::frame::{self, FrameRef, HEADER, LENGTH, MAX_FRAME, PayloadParts, flags};
use rsocket::metadata::mime;
use rsocket::{Frame, FrameType};

/// The most that a frame grows by.
const GROWTH: usize = 1024;

/// What is added to the metadata of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Framing {
    pub before: Vec<u8>,
    pub after: Vec<u8>,
}

impl Framing {
    /// The head of the entry that so many bytes of bare routing tags become.
    pub(crate) fn bare(tags: usize) -> Vec<u8> {
        let mut head = BytesMut::new();
        mime::ROUTING.write(&mut head);
        head.put_uint(tags as u64, 3);
        head.to_vec()
    }

    /// The frame with `before` in front of its metadata if it is the first one, and `after` at this offset of its metadata.
    pub(crate) fn apply(&self, frame: FrameRef<'_>, is_first: bool, at: Option<usize>) -> BytesMut {
        let mut wire = BytesMut::new();
        self.write(frame, is_first, at, &mut wire);
        wire
    }

    /// The same into memory that is there, in place of what it holds.
    pub(crate) fn write(&self, frame: FrameRef<'_>, is_first: bool, at: Option<usize>, wire: &mut BytesMut) {
        let (metadata, data) = (frame.metadata().unwrap_or_default(), frame.data());
        let before = if is_first { &self.before[..] } else { &[] };
        let after = if at.is_some() { &self.after[..] } else { &[] };
        let (valid, rest) = metadata.split_at(at.unwrap_or(metadata.len()).min(metadata.len()));
        let has_n = matches!(frame.kind(), FrameType::RequestStream | FrameType::RequestChannel);
        let head = HEADER + if has_n { 4 } else { 0 };
        let metadata_len = before.len() + metadata.len() + after.len();
        let len = head + 3 + metadata_len + data.len();
        wire.clear();
        wire.reserve(LENGTH + len);
        wire.put_uint(len as u64, LENGTH);
        wire.put_slice(&frame.bytes()[..head]);
        wire.put_uint(metadata_len as u64, 3);
        for part in [before, valid, after, rest, data] {
            wire.put_slice(part);
        }
        frame::set_flags(&mut wire[LENGTH..], flags::METADATA);
    }
}

/// Cuts the end off a request that could not grow: its first fragment, and a PAYLOAD with the rest. `None` if it can.
pub(crate) fn cut(frame: FrameRef<'_>) -> Option<(BytesMut, BytesMut)> {
    let (len, data) = (frame.bytes().len(), frame.data());
    if len + GROWTH <= MAX_FRAME || data.len() < GROWTH {
        return None;
    }
    let (kept, rest) = frame.bytes().split_at(len - GROWTH);
    let mut first = BytesMut::with_capacity(LENGTH + kept.len());
    first.put_uint(kept.len() as u64, LENGTH);
    first.put_slice(kept);
    let is_complete = frame.has(flags::COMPLETE) && frame.kind() == FrameType::RequestChannel;
    let mut bits = flags::NEXT | if is_complete { flags::COMPLETE } else { 0 };
    if frame.has(flags::FOLLOWS) && !is_complete {
        bits |= flags::FOLLOWS;
    }
    first[LENGTH + 5] = (first[LENGTH + 5] & !(flags::COMPLETE as u8)) | flags::FOLLOWS as u8;
    let rest = Frame::payload(frame.stream_id(), bits, PayloadParts { metadata: None, data: rest });
    Some((first, rest.into_wire()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsocket::metadata::CompositeBuilder;
    use rsocket::metadata::routing::write_tags;

    fn request(kind: FrameType, bits: u16, metadata: &[u8], data: &[u8]) -> Frame {
        Frame::request(kind, 7, bits, 9, PayloadParts { metadata: Some(metadata), data })
    }

    const JSON: [u8; 5] = [0xFA, 0, 0, 1, 0x85];

    #[test]
    fn entries_are_put_in_front_and_behind_what_is_well_formed() {
        let metadata = CompositeBuilder::new().entry(mime::ROUTING, b"\x03a.b").finish();
        let framing = Framing { before: b"before".to_vec(), after: JSON.to_vec() };
        for (kind, tail) in [(FrameType::RequestResponse, &b""[..]), (FrameType::RequestStream, b"\xFDmalformed")] {
            let whole = [&metadata[..], tail].concat();
            let frame = request(kind, 0, &whole, b"data");
            let frame = Frame::parse(framing.apply(frame.view(), true, Some(metadata.len()))).unwrap();
            let view = frame.view();
            assert_eq!((view.stream_id(), view.data(), view.kind()), (7, &b"data"[..], kind));
            assert_eq!(view.request_n(), if kind == FrameType::RequestStream { 9 } else { 0 });
            assert_eq!(view.metadata().unwrap(), [b"before", &metadata[..], &JSON, tail].concat());
        }
    }

    #[test]
    fn bare_routing_becomes_an_entry_over_all_its_fragments() {
        let tags = write_tags(["a.B.call", "sticky=1"]).unwrap();
        let framing = Framing { before: Framing::bare(tags.len()), after: JSON.to_vec() };
        let first = request(FrameType::RequestResponse, flags::FOLLOWS, &tags[..3], b"");
        let second = Frame::payload(7, flags::NEXT, PayloadParts { metadata: Some(&tags[3..]), data: b"data" });
        let rest = tags.len() - 3;
        let parts = [framing.apply(first.view(), true, None), framing.apply(second.view(), false, Some(rest))];
        let frames = parts.map(|wire| Frame::parse(wire).unwrap());
        let joined = frames.iter().flat_map(|frame| frame.view().metadata().unwrap().to_vec()).collect::<Vec<_>>();
        let expected = CompositeBuilder::new().entry(mime::ROUTING, &tags).message_mime(mime::JSON).finish();
        assert_eq!(joined, expected);
        assert!(frames[0].view().has(flags::FOLLOWS) && frames[1].view().data() == b"data");
    }

    #[test]
    fn a_request_that_cannot_grow_is_cut_in_two() {
        let data = vec![5; MAX_FRAME - HEADER - 4 - 3 - 4];
        let frame = request(FrameType::RequestChannel, flags::COMPLETE, b"meta", &data);
        let (first, rest) = cut(frame.view()).unwrap();
        let (first, rest) = (Frame::parse(first).unwrap(), Frame::parse(rest).unwrap());
        assert!(first.view().has(flags::FOLLOWS) && !first.view().has(flags::COMPLETE));
        assert!(rest.view().has(flags::COMPLETE) && !rest.view().has(flags::FOLLOWS));
        assert_eq!([first.view().data(), rest.view().data()].concat(), data);
        assert!(first.view().bytes().len() + GROWTH <= MAX_FRAME);
        assert!(cut(request(FrameType::RequestResponse, 0, b"meta", b"small").view()).is_none());
    }
}
