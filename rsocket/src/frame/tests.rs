use super::*;
use crate::error::ErrorCode;
use proptest::prelude::*;
use std::time::Duration;

fn any_metadata() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..40))
}

proptest! {
    #[test]
    fn whatever_is_built_reads_back(stream in 1u32..=MAX_STREAM_ID, n in 1u32..=MAX_REQUEST_N, complete: bool,
                                    metadata in any_metadata(), data in prop::collection::vec(any::<u8>(), 0..80)) {
        let parts = PayloadParts { metadata: metadata.as_deref(), data: &data };
        let bits = if complete { flags::COMPLETE } else { 0 };
        for kind in [FrameType::RequestResponse, FrameType::RequestFnf, FrameType::RequestStream, FrameType::RequestChannel] {
            let frame = Frame::request(kind, stream, bits, n, parts);
            let view = frame.view();
            prop_assert_eq!(view.kind(), kind);
            prop_assert_eq!(view.stream_id(), stream);
            prop_assert_eq!(view.metadata(), metadata.as_deref());
            prop_assert_eq!(view.data(), &data[..]);
            prop_assert_eq!(view.has(flags::COMPLETE), complete);
            let has_n = matches!(kind, FrameType::RequestStream | FrameType::RequestChannel);
            prop_assert_eq!(view.request_n(), if has_n { n } else { 0 });
        }
        let payload = Frame::payload(stream, bits | flags::NEXT, parts);
        prop_assert!(payload.view().has(flags::NEXT));
        let (m, d) = payload.into_parts();
        prop_assert_eq!(m.as_deref(), metadata.as_deref());
        prop_assert_eq!(&d[..], &data[..]);
    }

    #[test]
    fn no_bytes_make_a_getter_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), kind in 0u8..64) {
        let mut bytes = bytes;
        if bytes.len() > 4 {
            bytes[4] = kind << 2 | bytes[4] & 3;
        }
        if let Ok(view) = FrameRef::parse(&bytes) {
            let _ = (view.stream_id(), view.flags(), view.request_n(), view.error_code(), view.lease());
            let _ = (view.metadata(), view.data());
        } else {
            let _ = is_ignorable(&bytes);
        }
    }
}

#[test]
fn patching_touches_its_field_only() {
    let mut frame =
        Frame::request(FrameType::RequestStream, 7, 0, 9, PayloadParts { metadata: Some(b"m"), data: b"d" });
    set_stream_id(frame.bytes_mut(), 0xFFFF_FFFE);
    set_request_n(frame.bytes_mut(), 3);
    set_flags(frame.bytes_mut(), flags::COMPLETE);
    let view = frame.view();
    assert_eq!((view.stream_id(), view.request_n()), (0x7FFF_FFFE, 3));
    assert_eq!(view.flags(), flags::COMPLETE | flags::METADATA);
    assert_eq!((view.metadata(), view.data()), (Some(&b"m"[..]), &b"d"[..]));
}

#[test]
fn setup_reads_back_and_is_refused_at_every_cut() {
    let parts = SetupParts {
        keepalive: Duration::from_secs(20),
        lifetime: Duration::from_secs(90),
        metadata_mime: "message/x.rsocket.composite-metadata.v0",
        data_mime: "application/x-hessian",
        metadata: Some(b"meta"),
        data: b"",
    };
    let frame = Frame::setup(parts);
    let head = [0, 0, 0, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0x4e, 0x20, 0, 1, 0x5f, 0x90, 0x27];
    assert_eq!(frame.view().bytes()[..19], head, "the bytes a Java starter sends");
    let setup = frame.view().setup();
    assert_eq!((setup.version, setup.keepalive), ((1, 0), Duration::from_secs(20)));
    assert_eq!((setup.metadata, setup.data), (Some(&b"meta"[..]), &b""[..]));
    assert_eq!(setup.data_mime, b"application/x-hessian");
    let bytes = frame.view().bytes();
    for cut in 0..bytes.len() {
        assert!(FrameRef::parse(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    assert_eq!(check(&[0; 5]), Err(FrameError::Short { len: 5, needed: 6 }));
    assert_eq!(check(&[0, 0, 0, 1, 0x2A << 2, 0]), Err(FrameError::UnknownType(0x2A)));
    assert!(is_ignorable(&[0, 0, 0, 1, 0x2A << 2 | 2, 0]));
    let lying = [0, 0, 0, 1, 0x0A << 2 | 1, 0, 0xFF, 0xFF, 0xFF, 1];
    assert_eq!(check(&lying), Err(FrameError::MetadataLength { length: 0xFF_FFFF, left: 4 }));
    assert_eq!(check(&[0, 0, 0, 1, 0x08 << 2, 0, 0, 0]), Err(FrameError::Short { len: 8, needed: 10 }));
}

#[test]
fn an_error_text_is_cut_between_characters() {
    let text = "é".repeat(40_000);
    let frame = Frame::error(3, ErrorCode::REJECTED, &text);
    assert_eq!(frame.view().error_code(), 0x202);
    assert_eq!(std::str::from_utf8(frame.view().data()).unwrap().len(), 65_536);
}

#[test]
fn empty_metadata_differs_from_none() {
    let some = Frame::payload(1, flags::NEXT, PayloadParts { metadata: Some(b""), data: b"x" });
    let none = Frame::payload(1, flags::NEXT, PayloadParts { metadata: None, data: b"x" });
    assert_eq!(some.view().metadata(), Some(&b""[..]));
    assert_eq!(none.view().metadata(), None);
}
