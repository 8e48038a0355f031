//! Requests as they come from any client: what is wrong with them is answered exactly.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use futures::StreamExt;
use support::{DEADLINE, End, json, routed, serving, soon};
use towline_responder::rsocket::metadata::{Composite, CompositeBuilder, Mime, mime};
use towline_responder::rsocket::{CallFailure, ErrorCode, Payload, Window};
use towline_responder::{Encoding, RpcError};

const METHODS: &str = "find, touch, watch, import, chat, hang, left, nothing, shout";

#[tokio::test]
async fn what_cannot_be_served_is_refused_by_code_and_text() {
    let (_app, end, _told) = serving().await;
    let no = "RST-201404: No service handler found:";
    for (metadata, data, text) in [
        (
            CompositeBuilder::new(),
            "",
            "RST-600404: No Routing metadata; send a routing entry (0x7E) with one tag service.method".to_owned(),
        ),
        (json("test.Nobody.find:1"), "[7]", format!("{no} test.Nobody.find")),
        (json("test.Users.find:2"), "[7]", format!("{no} test.Users.find: served here: test.Users:1")),
        (json("test.Users.nope:1"), "[7]", format!("{no} test.Users.nope; its methods are {METHODS}")),
        (
            json("test.Users.watch"),
            "[7]",
            format!("{no} test.Users.watch for REQUEST_RESPONSE: call it by REQUEST_STREAM"),
        ),
        (
            routed("test.Users.find").message_mime(mime::HESSIAN),
            "[7]",
            format!("RST-700501: application/x-hessian is not readable here: send one of {}", Encoding::names()),
        ),
    ] {
        let error = end.ask(metadata, data).await.unwrap_err();
        assert_eq!((error.code, error.message), (ErrorCode::INVALID, text));
    }
    for data in ["[\"x\"]", "[1,2]", "[", "[]"] {
        let error = end.ask(json("test.Users.find"), data).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::INVALID);
        assert!(error.message.starts_with("RST-700501: test.Users.find: "), "{error}");
    }
    let error = end.ask(json("test.Users.find"), "[100]").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::APPLICATION_ERROR);
    assert!(error.message.starts_with("{\"code\":\"unknown-user\","), "{error}");
}

#[tokio::test]
async fn streams_and_channels_refuse_likewise() {
    let (_app, end, _told) = serving().await;
    let request = Payload::new(json("test.Users.find:9").finish(), "[7]");
    for answers in [
        end.connection.request_stream(request.clone(), Window::new(8)),
        end.connection.request_channel(request, futures::stream::pending(), Window::new(8)),
    ] {
        let answers: Vec<_> = soon(answers.collect()).await;
        let [Err(CallFailure::Stream(error))] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(error.code, ErrorCode::INVALID);
        assert!(error.message.starts_with("RST-201404:"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_says_its_type_only_if_that_differs() {
    let (_app, end, _told) = serving().await;
    let user = r#"{"id":7,"name":"user 7"}"#;
    let answer = end.ask(json("test.Users.find"), "[7]").await.unwrap();
    assert_eq!((answer.metadata, &answer.data[..]), (None, user.as_bytes()));
    let message_pack = Mime::Name(b"application/x-msgpack");
    let answer = end.ask(json("test.Users.find").accept_mimes(&[mime::HESSIAN, message_pack]), "[7]").await.unwrap();
    let metadata = answer.metadata.unwrap();
    let written = Composite::new(&metadata).find(mime::MESSAGE_MIME).unwrap();
    assert_eq!(mime::read_message_mime(written), Some(message_pack));
    assert_eq!(answer.data[0], 0x82, "a map of two");
    // Without a type of its own it is in SETUP's.
    let answer = end.ask(routed("test.Users.find").accept_mimes(&[mime::JSON]), "\x07").await.unwrap();
    assert_eq!(&answer.data[..], user.as_bytes());
}

/// What a request in this type is answered: the type the answer says, and its data.
async fn answered(
    end: &End,
    route: &str,
    data: (Mime<'_>, &'static [u8]),
    accept: &[Mime<'_>],
) -> (Option<Encoding>, Vec<u8>) {
    let metadata = routed(route).message_mime(data.0).accept_mimes(accept);
    let answer = end.ask(metadata, data.1).await.unwrap();
    let said = answer.metadata.map(|metadata| {
        let written = Composite::new(&metadata).find(mime::MESSAGE_MIME).unwrap().to_vec();
        Encoding::from_mime(mime::read_message_mime(&written).unwrap().name().unwrap()).unwrap()
    });
    (said, answer.data.to_vec())
}

/// What the starters send: hessian, java-object, json, protobuf, avro, cbor, text, bytes.
const STARTER: [Mime<'static>; 8] = [
    mime::HESSIAN,
    mime::JAVA_OBJECT,
    mime::JSON,
    mime::PROTOBUF,
    mime::AVRO,
    mime::CBOR,
    mime::TEXT,
    mime::OCTET_STREAM,
];

#[tokio::test]
async fn cbor_text_and_bytes_are_read_and_answered_in_kind() {
    let (_app, end, _told) = serving().await;
    let user = b"\xa2\x62id\x07\x64name\x66user 7".to_vec();
    for data in [&b"\x07"[..], b"\x81\x07", b"\xa1\x62id\x07", b"\xbf\x62id\x18\x07\xff"] {
        assert_eq!(answered(&end, "test.Users.find", (mime::CBOR, data), &[]).await, (None, user.clone()));
    }
    for raw in [mime::TEXT, mime::OCTET_STREAM] {
        assert_eq!(answered(&end, "test.Users.shout", (raw, b"hi"), &[]).await, (None, b"HI".to_vec()));
        assert_eq!(answered(&end, "test.Users.shout", (raw, b""), &[raw]).await, (None, vec![]));
        assert_eq!(answered(&end, "test.Users.nothing", (raw, b""), &[]).await, (None, vec![]));
        let error = end.ask(routed("test.Users.find").message_mime(raw), "7").await.unwrap_err();
        assert_eq!(error.code, ErrorCode::INVALID);
        assert!(error.message.starts_with("RST-700501: test.Users.find: argument `id: u32`: only a string"), "{error}");
        // Typed errors are JSON, whatever the request is.
        let error = end.ask(routed("test.Users.find").message_mime(mime::CBOR), "\x18\x64").await.unwrap_err();
        assert!(error.message.starts_with("{\"code\":\"unknown-user\","), "{error}");
    }
    let error = end.ask(routed("test.Users.left").message_mime(mime::TEXT), "").await.unwrap();
    assert!(error.data.is_empty(), "none is nothing");
}

#[tokio::test]
async fn an_answer_is_in_the_first_accepted_type_that_can_be_written() {
    let (_app, end, _told) = serving().await;
    let user = br#"{"id":7,"name":"user 7"}"#.to_vec();
    let find = "test.Users.find";
    assert_eq!(answered(&end, find, (mime::CBOR, b"\x07"), &STARTER).await, (Some(Encoding::Json), user.clone()));
    assert_eq!(answered(&end, find, (mime::JSON, b"[7]"), &STARTER).await, (None, user.clone()));
    assert_eq!(answered(&end, find, (mime::JSON, b"[7]"), &[mime::TEXT]).await, (None, user.clone()));
    let shout = "test.Users.shout";
    let json = b"\"HI\"".to_vec();
    assert_eq!(answered(&end, shout, (mime::TEXT, b"hi"), &STARTER).await, (Some(Encoding::Json), json));
    let text = (Some(Encoding::Text), b"HI".to_vec());
    assert_eq!(answered(&end, shout, (mime::JSON, b"[\"hi\"]"), &[mime::AVRO, mime::TEXT]).await, text);
    let bytes = (Some(Encoding::Bytes), b"HI".to_vec());
    assert_eq!(answered(&end, shout, (mime::CBOR, b"\x62hi"), &[mime::OCTET_STREAM]).await, bytes);
}

#[tokio::test]
async fn a_text_client_reads_answers_that_are_no_text() {
    let (_app, end, _told) = serving().await;
    for encoding in Encoding::ALL {
        assert_eq!(end.users(encoding).shout("hi".to_owned()).await.unwrap(), "HI");
        assert!(end.users(encoding).left().timeout(Duration::from_secs(3_600)).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_result_of_nothing_is_a_payload_of_nothing() {
    let (_app, end, _told) = serving().await;
    let answer = end.ask(json("test.Users.nothing"), "").await.unwrap();
    assert!(answer.metadata.is_none() && answer.data.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_handler_knows_how_long_there_is() {
    let (_app, end, _told) = serving().await;
    for (millis, expected) in [(500_u32, "500"), (1, "1")] {
        let metadata = json("test.Users.left").entry(DEADLINE, &millis.to_be_bytes());
        assert_eq!(end.ask(metadata, "").await.unwrap().data, expected);
    }
    assert_eq!(end.ask(json("test.Users.left"), "").await.unwrap().data, "null");
    let left = end.users(Encoding::Json).left().timeout(Duration::from_millis(70)).await.unwrap();
    assert_eq!(left, Some(70));
}

#[tokio::test]
async fn a_request_past_its_deadline_reaches_no_handler() {
    let (_app, end, mut told) = serving().await;
    let error = end.ask(json("test.Users.hang").entry(DEADLINE, &[0; 4]), "").await.unwrap_err();
    assert_eq!((error.code, &*error.message), (ErrorCode(RpcError::CANCELED), "deadline exceeded"));
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn a_handler_that_panics_fails_its_request_only() {
    let (_app, end, told) = serving().await;
    drop(told);
    // `hang` tells a receiver that is gone, and unwraps.
    let error = end.ask(json("test.Users.hang"), "").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::APPLICATION_ERROR);
    end.ask(json("test.Users.nothing"), "").await.unwrap();
}
