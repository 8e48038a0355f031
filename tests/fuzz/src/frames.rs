//! Frames: checked, read, patched, cut out of a byte stream, split and joined.

use super::input::Input;
use bytes::BytesMut;
use std::collections::HashMap;
use towline_rsocket::fragment::{Joiner, Whole, split};
use towline_rsocket::frame::{self, FrameRef, MAX_FRAME, PayloadParts, SetupParts, flags};
use towline_rsocket::{ErrorCode, Frame, FrameType, ReadBuffer};

/// One frame, the length excluded.
pub fn frame(bytes: &[u8]) {
    let Ok(view) = FrameRef::parse(bytes) else {
        let _ = frame::is_ignorable(bytes);
        return;
    };
    let (stream, kind, bits) = (view.stream_id(), view.kind(), view.flags());
    let _ = (view.error_code(), view.lease(), format!("{view:?}"));
    assert!(view.metadata().unwrap_or_default().len() + view.data().len() <= bytes.len());
    if let Some(built) = rebuilt(view) {
        let same = built.view();
        assert_eq!((same.stream_id(), same.kind(), same.request_n()), (stream, kind, view.request_n()));
        assert_eq!((same.metadata(), same.data()), (view.metadata(), view.data()));
    }
    let mut owned = Frame::parse(framed(bytes)).expect("it was checked");
    let (metadata, data) = owned.clone().into_parts();
    assert_eq!((metadata.as_deref(), &data[..]), (view.metadata(), view.data()));
    assert_eq!(&owned.clone().into_data()[..], view.data());
    frame::set_stream_id(owned.bytes_mut(), !stream);
    frame::set_flags(owned.bytes_mut(), flags::COMPLETE);
    if view.kind() == FrameType::RequestStream || view.kind() == FrameType::RequestChannel {
        frame::set_request_n(owned.bytes_mut(), u32::MAX);
        assert_eq!(owned.view().request_n(), frame::MAX_REQUEST_N);
    }
    let patched = FrameRef::parse(owned.view().bytes()).expect("patching keeps a frame valid");
    assert_eq!((patched.stream_id(), patched.flags()), (!stream & frame::MAX_STREAM_ID, bits | flags::COMPLETE));
    assert_eq!((patched.metadata(), patched.data()), (view.metadata(), view.data()));
}

/// The same frame, written anew; `None` if it is of a type, or has a part, that is never written here.
fn rebuilt(view: FrameRef<'_>) -> Option<Frame> {
    let parts = PayloadParts { metadata: view.metadata(), data: view.data() };
    let (stream, kind) = (view.stream_id(), view.kind());
    let bits = view.flags() & !flags::METADATA;
    let text = |mime| std::str::from_utf8(mime).ok();
    Some(match kind {
        FrameType::Payload => Frame::payload(stream, bits, parts),
        kind if kind.is_request() => Frame::request(kind, stream, bits, view.request_n(), parts),
        FrameType::RequestN => {
            let built = Frame::request_n(stream, view.request_n());
            return (view.data().is_empty()).then_some(built);
        }
        FrameType::Cancel if view.data().is_empty() => Frame::cancel(stream),
        FrameType::Error => Frame::error(stream, ErrorCode(view.error_code()), text(view.data())?),
        FrameType::MetadataPush if stream == 0 => Frame::metadata_push(view.metadata()?),
        FrameType::Setup if stream == 0 => {
            let setup = view.setup();
            let (keepalive, lifetime) = (setup.keepalive, setup.lifetime);
            let (metadata_mime, data_mime) = (text(setup.metadata_mime)?, text(setup.data_mime)?);
            let (metadata, data) = (setup.metadata, setup.data);
            let frame = Frame::setup(SetupParts { keepalive, lifetime, metadata_mime, data_mime, metadata, data });
            let again = frame.view().setup();
            assert_eq!((again.keepalive, again.lifetime), (keepalive, lifetime));
            assert_eq!((again.metadata_mime, again.data_mime), (setup.metadata_mime, setup.data_mime));
            frame
        }
        _ => return None,
    })
}

/// A frame behind its length.
pub(super) fn framed(frame: &[u8]) -> BytesMut {
    let len = (frame.len().min(MAX_FRAME) as u32).to_be_bytes();
    BytesMut::from(&[&len[1..], &frame[..frame.len().min(MAX_FRAME)]].concat()[..])
}

/// A byte stream: in whatever pieces it comes, its frames are the same.
pub fn codec(bytes: &[u8]) {
    const MAX: usize = 1 << 16;
    let mut input = Input(bytes);
    let step = usize::from(input.byte()) + 1;
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut buffer, mut frames) = (ReadBuffer::new(), Vec::new());
        for piece in pieces {
            buffer.space().extend_from_slice(piece);
            loop {
                match buffer.complete(MAX) {
                    Ok(Some(len)) => frames.push(buffer.take(len)),
                    Ok(None) => break,
                    Err(error) => return (frames, 0, Some(error)),
                }
            }
            buffer.shrink();
        }
        (frames, buffer.len(), None)
    };
    let whole = read(&mut std::iter::once(input.0));
    assert_eq!(read(&mut input.0.chunks(step)), whole);
    let taken: usize = whole.0.iter().map(|frame| frame.len()).sum();
    assert!(whole.2.is_some() || taken + whole.1 == input.0.len());
}

/// Fragments of several streams: joined as they came, within what may be held; what is split is joined again.
pub fn fragments(bytes: &[u8]) {
    const MAX: (usize, usize) = (300, 900);
    let mut joiner = Joiner::new(MAX.0, MAX.1);
    let mut model = HashMap::<u32, (Vec<u8>, Vec<u8>)>::new();
    let mut buffer = ReadBuffer::new();
    buffer.space().extend_from_slice(bytes);
    while let Ok(Some(len)) = buffer.complete(MAX_FRAME) {
        let Ok(frame) = Frame::parse(buffer.take(len)) else { continue };
        let view = frame.view();
        let stream = view.stream_id();
        if view.kind() == FrameType::Cancel {
            joiner.cancel(stream);
            model.remove(&stream);
        }
        if !view.kind().is_request() && view.kind() != FrameType::Payload {
            continue;
        }
        let (metadata, data) = model.entry(stream).or_default();
        metadata.extend_from_slice(view.metadata().unwrap_or_default());
        data.extend_from_slice(view.data());
        match joiner.push(frame) {
            Ok(None) => assert!(joiner.is_partial(stream)),
            Ok(Some(joined)) => {
                let (metadata, data) = model.remove(&stream).expect("it was just put there");
                assert_eq!((joined.metadata.unwrap_or_default().to_vec(), joined.data.to_vec()), (metadata, data));
                assert!(!joiner.is_partial(stream));
            }
            Err(_) => {
                model.remove(&stream);
                assert!(!joiner.is_partial(stream));
            }
        }
        assert!(joiner.held() <= MAX.1, "{} bytes are held", joiner.held());
    }
    model.keys().for_each(|stream| joiner.cancel(*stream));
    assert_eq!(joiner.held(), 0);
    split_and_joined(Input(bytes));
}

fn split_and_joined(mut input: Input<'_>) {
    let kinds = [FrameType::RequestResponse, FrameType::RequestChannel, FrameType::Payload];
    let kind = input.pick(&kinds);
    let (max_frame, request_n) = (64 + usize::from(input.byte()), u32::from(input.byte()));
    let bits = if input.byte() & 1 == 0 { flags::NEXT } else { flags::NEXT | flags::COMPLETE };
    let metadata = match input.byte() {
        0 => None,
        len => Some(input.bytes(usize::from(len) * 4)),
    };
    let parts = PayloadParts { metadata, data: input.0 };
    let mut joiner = Joiner::new(usize::MAX, usize::MAX);
    let mut joined = None;
    split(Whole { kind, stream: 1, flags: bits, request_n, parts }, max_frame, |frame| {
        assert!(joined.is_none() && frame.view().bytes().len() <= max_frame);
        joined = joiner.push(frame).expect("nothing is too large");
    });
    let joined = joined.expect("the last fragment ends it");
    assert_eq!((joined.kind, joined.flags & flags::COMPLETE), (kind, bits & flags::COMPLETE));
    assert_eq!(joined.request_n, if kind == FrameType::RequestChannel { request_n } else { 0 });
    assert_eq!((joined.metadata.as_deref(), &joined.data[..]), (parts.metadata, parts.data));
}
