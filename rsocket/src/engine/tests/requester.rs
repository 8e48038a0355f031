//! What the engine as requester makes of every answer, as client and as server, over everything that carries frames.

use super::support::*;
use crate::engine::*;
use crate::frame::{Frame, FrameType, MAX_REQUEST_N, flags};
use crate::{ErrorCode, StreamError};
use futures::{StreamExt, stream};

#[tokio::test]
async fn ids_count_up_by_two_and_wrap() {
    each_side(|mut peer, engine, _, first| async move {
        for n in 0..4 {
            engine.fire_and_forget(text("f")).await.unwrap();
            peer.expect(FrameType::RequestFnf, first + 2 * n).await;
        }
        let last = if first == 1 { 0x7FFF_FFFF } else { 0x7FFF_FFFE };
        engine.continue_ids_at(last);
        for stream in [last, first] {
            engine.fire_and_forget(text("f")).await.unwrap();
            peer.expect(FrameType::RequestFnf, stream).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_is_what_the_peer_said() {
    each_side(|mut peer, engine, _, first| async move {
        let empty = Payload { metadata: Some("".into()), data: "".into() };
        let answers = [
            (Frame::payload(0, LAST, parts(None, "a")), Some(text("a"))),
            (Frame::payload(0, LAST, parts(Some("m"), "a")), Some(Payload::new("m", "a"))),
            (Frame::payload(0, LAST, parts(Some(""), "")), Some(empty)),
            (Frame::payload(0, LAST, parts(None, "")), Some(text(""))),
            (Frame::payload(0, NEXT, parts(None, "no C")), Some(text("no C"))),
            (Frame::payload(0, flags::COMPLETE, parts(None, "")), None),
            (Frame::payload(0, LAST | flags::FOLLOWS, parts(None, "F and C")), Some(text("F and C"))),
        ];
        for (n, (mut frame, expected)) in answers.into_iter().enumerate() {
            let stream = first + 2 * n as u32;
            let mut call = Box::pin(engine.request_response(Payload::new("m", "d")));
            assert!(futures::poll!(&mut call).is_pending());
            let asked = peer.expect(FrameType::RequestResponse, stream).await;
            assert_eq!((asked.view().metadata(), asked.view().data()), (Some(&b"m"[..]), &b"d"[..]));
            peer.send(item(stream, 0, "")).await;
            assert!(peer.settled().await.is_empty());
            assert!(futures::poll!(&mut call).is_pending(), "neither N nor C says nothing");
            crate::frame::set_stream_id(frame.bytes_mut(), stream);
            peer.send(with_reserved_bits(Frame::parse(frame.into_wire()).unwrap())).await;
            assert_eq!(call.await.unwrap(), expected);
            peer.send(item(stream, LAST, "late")).await;
        }
        assert!(peer.settled().await.is_empty());
        assert_eq!(engine.open_streams(), 0);
    })
    .await;
}

#[tokio::test]
async fn an_error_keeps_its_code_and_text() {
    each_side(|mut peer, engine, _, first| async move {
        for (n, code) in [0x201, 0x202, 0x203, 0x204, 0x301, 0xFFFF_FFFE].into_iter().enumerate() {
            let stream = first + 4 * n as u32;
            let mut call = Box::pin(engine.request_response(text("x")));
            assert!(futures::poll!(&mut call).is_pending());
            let mut items = engine.request_channel(text("x"), stream::pending(), Window::new(9));
            assert!(futures::poll!(items.next()).is_pending());
            for stream in [stream, stream + 2] {
                peer.send(Frame::error(stream, ErrorCode(code), "\u{fc}nlucky")).await;
            }
            let Err(CallFailure::Stream(error)) = call.await else { panic!() };
            assert_eq!((error.code.0, &*error.message), (code, "\u{fc}nlucky"));
            let Some(Err(CallFailure::Stream(error))) = items.next().await else { panic!() };
            assert_eq!(error.code.0, code);
            assert!(items.next().await.is_none());
            peer.settled().await;
        }
        assert_eq!(engine.open_streams(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_stream_is_its_items_and_then_its_end() {
    each_side(|mut peer, engine, _, first| async move {
        for (n, last) in [item(0, flags::COMPLETE, ""), item(0, LAST, "2")].into_iter().enumerate() {
            let stream = first + 2 * n as u32;
            let mut items = engine.request_stream(text("x"), Window::new(MAX_REQUEST_N));
            assert!(futures::poll!(items.next()).is_pending());
            let asked = peer.expect(FrameType::RequestStream, stream).await;
            assert_eq!(asked.view().request_n(), MAX_REQUEST_N);
            for n in 0..2 {
                peer.send(item(stream, NEXT, &n.to_string())).await;
            }
            let mut last = last;
            crate::frame::set_stream_id(last.bytes_mut(), stream);
            peer.send(last).await;
            peer.send(item(stream, NEXT, "late")).await;
            let all: Vec<_> = items.map(|item| item.unwrap().data).collect().await;
            assert_eq!(all, ["0", "1", "2"][..2 + n]);
        }
        let mut none = engine.request_stream(text("x"), Window::new(1));
        assert!(futures::poll!(none.next()).is_pending());
        peer.expect(FrameType::RequestStream, first + 4).await;
        peer.send(item(first + 4, flags::COMPLETE, "")).await;
        assert!(none.next().await.is_none());
        assert!(peer.settled().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_once_and_what_comes_late_is_ignored() {
    each_side(|mut peer, engine, _, first| async move {
        let call = Box::pin(engine.request_response(text("x")));
        let mut items = engine.request_stream(text("x"), Window::new(9));
        let mut channel = engine.request_channel(text("x"), stream::repeat(text("up")), Window::new(9));
        let mut call = call;
        assert!(futures::poll!(&mut call).is_pending());
        assert!(futures::poll!(items.next()).is_pending());
        assert!(futures::poll!(channel.next()).is_pending());
        drop((call, items, channel));
        for kind in [FrameType::RequestResponse, FrameType::RequestStream, FrameType::RequestChannel] {
            let frame = peer.next().await.unwrap();
            assert_eq!(frame.view().kind(), kind);
        }
        for stream in [first, first + 2, first + 4] {
            peer.expect(FrameType::Cancel, stream).await;
            peer.send(item(stream, NEXT, "late")).await;
            peer.send(Frame::request_n(stream, 5)).await;
            peer.send(Frame::error(stream, ErrorCode::APPLICATION_ERROR, "late")).await;
            peer.send(Frame::cancel(stream)).await;
        }
        assert!(peer.settled().await.is_empty());
        assert_eq!(engine.open_streams(), 0);
    })
    .await;
}

#[tokio::test]
async fn fragments_of_several_streams_interleave() {
    each_side(|mut peer, engine, _, first| async move {
        let mut calls: Vec<_> = (0..3).map(|_| Box::pin(engine.request_response(text("x")))).collect();
        for call in &mut calls {
            assert!(futures::poll!(call).is_pending());
        }
        let streams = [first, first + 2, first + 4];
        for stream in streams {
            peer.expect(FrameType::RequestResponse, stream).await;
        }
        let follows = flags::FOLLOWS;
        // Metadata goes on in the second fragment; those that follow may have N or not.
        for stream in streams {
            peer.send(Frame::payload(stream, NEXT | follows, parts(Some("me"), ""))).await;
        }
        for stream in streams {
            peer.send(Frame::payload(stream, follows, parts(Some("ta"), "da"))).await;
        }
        for (stream, last) in streams.into_iter().zip([LAST, flags::COMPLETE, NEXT]) {
            peer.send(Frame::payload(stream, last, parts(None, "ta"))).await;
        }
        for call in calls {
            assert_eq!(call.await.unwrap(), Some(Payload::new("meta", "data")));
        }
        assert!(peer.settled().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_channel_says_each_thing_once() {
    each_side(|mut peer, engine, _, first| async move {
        let up = stream::iter((0..4).map(|n| text(n.to_string())));
        let mut items = engine.request_channel(text("first"), up, Window::new(5));
        assert!(futures::poll!(items.next()).is_pending());
        let asked = peer.expect(FrameType::RequestChannel, first).await;
        assert_eq!((asked.view().request_n(), asked.view().data()), (5, &b"first"[..]));
        assert!(peer.settled().await.is_empty(), "nothing before REQUEST_N");
        peer.send(item(first, LAST, "down")).await;
        assert_eq!(items.next().await.unwrap().unwrap(), text("down"));
        assert!(items.next().await.is_none());
        peer.send(Frame::request_n(first, MAX_REQUEST_N)).await;
        let frames = peer.settled().await;
        let data: Vec<_> = frames.iter().map(|frame| frame.view().data().to_vec()).collect();
        assert_eq!(data, [&b"0"[..], b"1", b"2", b"3", b""]);
        assert!(frames[4].view().has(flags::COMPLETE));
        assert_eq!(engine.open_streams(), 0);
    })
    .await;
}

#[tokio::test]
async fn an_item_that_fails_ends_its_channel_on_both_sides() {
    each_side(|mut peer, engine, _, first| async move {
        let up = stream::iter([Ok(text("0")), Err(StreamError::new(ErrorCode(0x301), "no more")), Ok(text("1"))]);
        let mut items = engine.try_request_channel(text("first"), up, Window::new(5));
        assert!(futures::poll!(items.next()).is_pending());
        peer.expect(FrameType::RequestChannel, first).await;
        peer.send(Frame::request_n(first, 3)).await;
        assert_eq!(peer.expect(FrameType::Payload, first).await.view().data(), b"0");
        let error = peer.expect(FrameType::Error, first).await;
        assert_eq!((error.view().error_code(), error.view().data()), (0x301, &b"no more"[..]));
        let Some(Err(CallFailure::Stream(error))) = items.next().await else { panic!() };
        assert_eq!(error.code, ErrorCode::CANCELED);
        assert!(items.next().await.is_none() && peer.settled().await.is_empty());
        assert_eq!(engine.open_streams(), 0);
    })
    .await;
}
