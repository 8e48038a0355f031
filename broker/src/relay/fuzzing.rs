//! See [`crate::fuzzing`].

use super::accept;
use super::control::Events;
use super::dispatch::{Framing, Gathering, Route, is_incomplete};
use crate::link::{Dialect, Form};
use crate::routing::App;
use rsocket::frame::{FrameRef, LENGTH, MAX_FRAME};
use rsocket::metadata::{Composite, CompositeBuilder, mime};
use rsocket::{Frame, FrameType, ReadBuffer};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A SETUP frame, the length excluded: an app that may connect has an identity and a weight, any other a reason.
pub fn setup(bytes: &[u8]) {
    let Ok(frame) = FrameRef::parse(bytes) else { return };
    if frame.kind() != FrameType::Setup {
        return;
    }
    for strict in [false, true] {
        match accept::read(frame.setup(), strict, || "fresh".into()) {
            Ok(accepted) => {
                assert!(accepted.app.weight >= 1);
                assert!(if accepted.app.is_named {
                    accepted.app.uuid.len() >= 32
                } else {
                    accepted.app.uuid == "fresh"
                });
            }
            Err(refused) => assert_eq!(refused.frame().view().error_code(), refused.code.0),
        }
    }
}

/// What METADATA_PUSH carries.
pub fn event(bytes: &[u8]) {
    let app = App { uuid: "11111111-2222-4333-8444-555555555555".to_owned(), is_named: true, ..App::default() };
    let _ = Events::new(Arc::new(app), 20).read(bytes, Instant::now());
}

/// Metadata of a request: what is read lies within it.
pub fn route(bytes: &[u8]) {
    for form in [Form::Composite, Form::Routing, Form::Other] {
        let route = Route::read(bytes, form);
        assert!(route.well_formed <= bytes.len());
        if let Some((left, at)) = route.deadline {
            assert_eq!(bytes[at..at + 4], left.to_be_bytes());
        }
        if let Some(key) = route.key() {
            assert!(!key.service.is_empty() && key.text.contains(key.service));
        }
    }
}

/// A request, the length excluded: entries are put where a responder finds them, and nothing else changes.
pub fn reframe(bytes: &[u8]) {
    let Ok(frame) = FrameRef::parse(bytes) else { return };
    if !frame.kind().is_request() {
        return;
    }
    let before = CompositeBuilder::new().entry(mime::TRACING, b"before").finish().to_vec();
    let after = Dialect::new(b"", b"application/json").data_entry.to_vec();
    let metadata = frame.metadata().unwrap_or_default();
    let route = Route::read(metadata, Form::Composite);
    let framing = Framing { before: before.clone(), after: after.clone() };
    let reframed = Frame::parse(framing.apply(frame, true, Some(route.well_formed))).expect("a valid frame");
    let (valid, rest) = metadata.split_at(route.well_formed);
    let expected = [&before[..], valid, &after, rest].concat();
    same(frame, &reframed, &expected);
    let found = Composite::new(&expected).find(mime::MESSAGE_MIME).and_then(mime::read_message_mime);
    assert!(found == Some(mime::JSON) || route.has_mime, "nobody finds the type of the data: {found:?}");
    if metadata.len() <= MAX_FRAME - frame.bytes().len() {
        let framing = Framing { before: Framing::bare(metadata.len()), after };
        let reframed = Frame::parse(framing.apply(frame, true, Some(metadata.len()))).expect("a valid frame");
        let expected = CompositeBuilder::new().entry(mime::ROUTING, metadata).message_mime(mime::JSON).finish();
        same(frame, &reframed, &expected);
    }
}

fn same(frame: FrameRef<'_>, reframed: &Frame, metadata: &[u8]) {
    let view = reframed.view();
    assert_eq!((view.stream_id(), view.kind(), view.data()), (frame.stream_id(), frame.kind(), frame.data()));
    assert_eq!((view.request_n(), view.flags() | 0x100), (frame.request_n(), frame.flags() | 0x100));
    assert_eq!(view.metadata(), Some(metadata));
}

/// Frames behind their lengths: what is held is bounded, and the metadata of a request that is complete is all of it.
pub fn gathering(bytes: &[u8]) {
    const LIMITS: (usize, usize) = (500, 900);
    let now = Instant::now();
    let mut gathering = Gathering::new((LIMITS.0, LIMITS.1, Duration::from_secs(1)));
    let mut buffer = ReadBuffer::new();
    buffer.space().extend_from_slice(bytes);
    while let Ok(Some(len)) = buffer.complete(MAX_FRAME) {
        let wire = buffer.take(len);
        let Ok(frame) = FrameRef::parse(&wire[LENGTH..]) else { continue };
        let stream = frame.stream_id();
        let is_first = frame.kind().is_request() && is_incomplete(frame) && !gathering.contains(stream);
        let goes_on = frame.kind() == FrameType::Payload && gathering.contains(stream);
        if !is_first && !goes_on {
            continue;
        }
        match gathering.push(stream, wire, now) {
            Ok(true) => {
                let mut held = gathering.take(stream).expect("it was complete");
                let mut expected = held.metadata.clone();
                let route = Route::read(&expected, Form::Composite);
                let (nth, at) = held.locate(route.well_formed).expect("within the metadata that was gathered");
                let (well_formed, deadline) = (route.well_formed, route.deadline);
                let whole = |frames: &[bytes::BytesMut]| {
                    let views = frames.iter().map(|wire| FrameRef::parse(&wire[LENGTH..]).expect("a valid frame"));
                    views.map(|view| view.metadata().unwrap_or_default().to_vec()).collect::<Vec<_>>()
                };
                let parts = whole(&held.frames);
                assert_eq!(parts[..nth].iter().map(Vec::len).sum::<usize>() + at, well_formed);
                assert!(at <= parts[nth].len());
                if let Some((_, at)) = deadline {
                    held.set_deadline(at, 0x0102_0304);
                    expected[at..at + 4].copy_from_slice(&[1, 2, 3, 4]);
                }
                assert_eq!(whole(&held.frames).concat(), expected);
            }
            Ok(false) => assert!(gathering.contains(stream)),
            Err(_) => assert!(!gathering.contains(stream)),
        }
        assert!(gathering.bytes() <= LIMITS.1, "{} bytes are held", gathering.bytes());
    }
    gathering.expired(now + Duration::from_secs(1));
    assert!(gathering.is_empty() && gathering.bytes() == 0);
}
