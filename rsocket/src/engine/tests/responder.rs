//! What the engine as responder answers, as client and as server, over everything that carries frames.

use super::super::shared::error_frame;
use super::support::*;
use crate::ErrorCode;
use crate::error::StreamError;
use crate::frame::{Frame, FrameType, flags};

#[tokio::test]
async fn a_request_is_answered_with_what_the_handler_said() {
    each_side(|mut peer, engine, _, first| async move {
        let stream = 3 - first;
        for (metadata, data) in [(None, "a"), (Some(""), ""), (Some("m"), "d"), (None, "")] {
            // The id is free again after each answer.
            let asked = Frame::request(FrameType::RequestResponse, stream, 0, 0, parts(metadata, data));
            peer.send(with_reserved_bits(asked)).await;
            let answer = peer.expect(FrameType::Payload, stream).await;
            assert!(answer.view().has(flags::NEXT) && answer.view().has(flags::COMPLETE));
            assert_eq!(answer.view().metadata(), metadata.map(str::as_bytes));
            assert_eq!(answer.view().data(), data.as_bytes());
        }
        peer.send(request(FrameType::RequestResponse, stream, 0, "none")).await;
        let answer = peer.expect(FrameType::Payload, stream).await;
        assert!(!answer.view().has(flags::NEXT) && answer.view().has(flags::COMPLETE));
        for n in (0..200).rev() {
            peer.send(request(FrameType::RequestResponse, stream + 2 * n, 0, "later")).await;
        }
        assert_eq!(peer.settled().await.len(), 200);
        assert_eq!(engine.open_streams(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_request_is_not_answered() {
    each_side(|mut peer, engine, notes, first| async move {
        let stream = 3 - first;
        for (n, kind) in [FrameType::RequestResponse, FrameType::RequestStream].into_iter().enumerate() {
            let stream = stream + 2 * n as u32;
            peer.send(request(kind, stream, 1, "never")).await;
            assert!(peer.settled().await.is_empty());
            peer.send(Frame::cancel(stream)).await;
            if kind == FrameType::RequestResponse {
                notes.dropped.notified().await;
            }
            peer.send(Frame::request_n(stream, 9)).await;
        }
        assert!(peer.settled().await.is_empty());
        assert_eq!(engine.open_streams(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_fire_and_forget_is_never_answered() {
    each_side(|mut peer, engine, notes, first| async move {
        for n in 0..20 {
            peer.send(request(FrameType::RequestFnf, 3 - first + 2 * n, 0, "x")).await;
        }
        assert!(peer.settled().await.is_empty());
        assert_eq!((notes.seen.lock().len(), engine.open_streams()), (20, 0));
    })
    .await;
}

#[tokio::test]
async fn a_stream_is_sent_as_asked_for() {
    each_side(|mut peer, engine, _, first| async move {
        let stream = 3 - first;
        for count in [0, 1, 50] {
            peer.send(request(FrameType::RequestStream, stream, 9_999, &count.to_string())).await;
            let frames = peer.settled().await;
            assert_eq!(frames.len(), count + 1);
            assert!(frames.iter().take(count).all(|frame| frame.view().has(flags::NEXT)));
            assert!(frames[count].view().has(flags::COMPLETE));
        }
        peer.send(request(FrameType::RequestStream, stream, 0, "5")).await;
        assert!(peer.settled().await.is_empty(), "0 asks for nothing");
        peer.send(Frame::request_n(stream, 2)).await;
        assert_eq!(peer.settled().await.len(), 2);
        peer.send(Frame::cancel(stream)).await;
        peer.send(Frame::request_n(stream, 2)).await;
        assert!(peer.settled().await.is_empty());
        peer.send(request(FrameType::RequestStream, stream, 9, "fail")).await;
        peer.expect(FrameType::Payload, stream).await;
        assert_eq!(peer.expect(FrameType::Error, stream).await.view().error_code(), ErrorCode::REJECTED.0);
        assert!(peer.settled().await.is_empty(), "nothing comes after an error");
        assert_eq!(engine.open_streams(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_channel_takes_what_it_grants_and_ends_by_halves() {
    each_side(|mut peer, engine, _, first| async move {
        let stream = 3 - first;
        peer.send(Frame::request(FrameType::RequestChannel, stream, flags::COMPLETE, 9, parts(None, "collect"))).await;
        assert_eq!(peer.expect(FrameType::Payload, stream).await.view().data(), b"0 items");
        peer.expect(FrameType::Payload, stream).await;
        peer.send(request(FrameType::RequestChannel, stream, 9, "collect")).await;
        assert_eq!(peer.expect(FrameType::RequestN, stream).await.view().request_n(), 64);
        for n in 0..3 {
            peer.send(item(stream, NEXT, &n.to_string())).await;
        }
        peer.send(item(stream, flags::COMPLETE, "")).await;
        assert_eq!(peer.expect(FrameType::Payload, stream).await.view().data(), b"3 items");
        peer.expect(FrameType::Payload, stream).await;
        // The responder refuses the items; what it sends goes on.
        peer.send(request(FrameType::RequestChannel, stream, 9, "refuse items")).await;
        peer.expect(FrameType::Cancel, stream).await;
        assert_eq!(peer.settled().await.len(), 3);
        peer.send(Frame::cancel(stream)).await;
        assert!(peer.settled().await.is_empty());
        assert_eq!(engine.open_streams(), 0);
        // It refuses all of it: the error says so, and no CANCEL before it.
        peer.send(request(FrameType::RequestChannel, stream, 9, "refuse all")).await;
        peer.expect(FrameType::Error, stream).await;
        assert!(peer.settled().await.is_empty());
        assert_eq!(engine.open_streams(), 0);
    })
    .await;
}

#[tokio::test]
async fn fragments_of_several_requests_interleave() {
    each_side(|mut peer, engine, _, first| async move {
        let streams = [3 - first, 5 - first, 7 - first];
        for stream in streams {
            let begin = parts(Some("me"), "");
            peer.send(Frame::request(FrameType::RequestResponse, stream, flags::FOLLOWS, 0, begin)).await;
        }
        for stream in streams {
            peer.send(Frame::payload(stream, flags::FOLLOWS, parts(Some("ta"), "da"))).await;
        }
        assert!(peer.settled().await.is_empty());
        for (stream, last) in streams.into_iter().zip([NEXT, 0, LAST | flags::FOLLOWS]) {
            peer.send(Frame::payload(stream, last, parts(None, "ta"))).await;
            let answer = peer.expect(FrameType::Payload, stream).await;
            assert_eq!((answer.view().metadata(), answer.view().data()), (Some(&b"meta"[..]), &b"data"[..]));
        }
        let whole =
            Frame::request(FrameType::RequestChannel, streams[0], LAST | flags::FOLLOWS, 1, parts(None, "done"));
        peer.send(whole).await;
        let end = peer.expect(FrameType::Payload, streams[0]).await;
        assert!(end.view().has(flags::COMPLETE), "F together with C means nothing");
        assert_eq!(engine.open_streams(), 0);
    })
    .await;
}

#[tokio::test]
async fn metadata_pushed_reaches_the_responder_alone() {
    each_side(|mut peer, _engine, notes, _| async move {
        peer.send(Frame::metadata_push(b"one")).await;
        peer.send(Frame::metadata_push(b"")).await;
        assert!(peer.settled().await.is_empty());
        assert_eq!(*notes.seen.lock(), ["push one", "push "]);
    })
    .await;
}

#[tokio::test]
async fn what_the_engine_pushes_has_metadata_and_no_length() {
    each_side(|mut peer, engine, _, _| async move {
        engine.metadata_push("news".into());
        let push = peer.expect(FrameType::MetadataPush, 0).await;
        assert!(push.view().has(flags::METADATA));
        assert_eq!(&push.view().bytes()[crate::frame::HEADER..], b"news");
    })
    .await;
}

#[test]
fn a_code_that_belongs_elsewhere_is_not_sent_on_a_stream() {
    for (code, sent) in [(0, 0x201), (1, 0x201), (0x101, 0x201), (u32::MAX, 0x201), (0x204, 0x204), (0x301, 0x301)] {
        let frame = error_frame(1, &StreamError::new(ErrorCode(code), "x"));
        assert_eq!(frame.view().error_code(), sent);
    }
}

#[tokio::test]
async fn a_server_ignores_errors_of_setting_up() {
    let (mut peer, server, _) = scripted_client().await;
    for code in 1..=4 {
        peer.send(Frame::error(0, ErrorCode(code), "x")).await;
    }
    assert!(peer.settled().await.is_empty());
    assert!(!server.is_closed());
}
