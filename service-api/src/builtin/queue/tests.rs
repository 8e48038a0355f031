use super::*;
use crate::{CallError, Encoding, RpcError, ServiceError};
use bytes::Bytes;
use std::time::Duration;

fn read<T: serde::de::DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).expect(json)
}

#[test]
fn a_message_reads_as_plain_clients_send_it() {
    let message: Message = read(r#"{"json":{"id": 7.10},"key":"c42","sequence":"9007199254740993","more":1}"#);
    assert_eq!(message.json, Some(Json(Bytes::from_static(br#"{"id": 7.10}"#))), "byte for byte");
    assert_eq!((message.key.as_deref(), message.sequence), (Some("c42"), Some(9_007_199_254_740_993)));
    let message: Message = read(r#"{"body":"aGk=","headers":null}"#);
    assert_eq!(message, Message::new("hi"));
    let wire = [0x81, 0xa4, b'b', b'o', b'd', b'y', 0xc4, 2, b'h', b'i'];
    assert_eq!(Encoding::MessagePack.decode::<Message>(&wire).unwrap(), Message::new("hi"));
    assert!(serde_json::from_str::<Message>(r#"{"body":"a"}"#).is_err(), "base64 is padded");
}

#[test]
fn messages_settles_and_options_are_the_same_in_every_encoding() {
    let message = Message::json(&[1, 2]).unwrap().key("k").tag("t").header("a", "b").sequence("p", 3);
    let message = message.delay(Duration::from_secs(1)).ttl(Duration::from_secs(2)).id("i");
    let settle = Settle { ack: vec![1, 2], ack_to: Some(9), by_ms: Some(4), ..Settle::nack(3).because("no") };
    let options = ConsumeOptions {
        mode: Some(GroupMode::KeyOrdered),
        start: Some(Start::Offset(7)),
        ack: Some(SubscribeAck::Manual),
        ..ConsumeOptions::default()
    };
    for encoding in [Encoding::MessagePack, Encoding::Json, Encoding::Cbor] {
        let bytes = encoding.encode(&message).unwrap();
        assert_eq!(encoding.decode::<Message>(&bytes).unwrap(), message, "{encoding}");
        let bytes = encoding.encode(&settle).unwrap();
        assert_eq!(encoding.decode::<Settle>(&bytes).unwrap(), settle, "{encoding}");
        let bytes = encoding.encode(&options).unwrap();
        assert_eq!(encoding.decode::<ConsumeOptions>(&bytes).unwrap(), options, "{encoding}");
    }
}

#[test]
fn starts_look_as_documented() {
    assert_eq!(read::<Start>(r#""latest""#), Start::Latest);
    assert_eq!(read::<Start>(r#"{"offset":"7"}"#), Start::Offset(7));
    assert_eq!(read::<Start>(r#"{"copyOf":"billing"}"#), Start::CopyOf("billing".to_owned()));
}

#[test]
fn a_delivery_shows_its_bytes_in_the_readers_terms() {
    let delivery = |content_type: &str, body: &'static str| Delivery {
        topic: "orders".to_owned(),
        offset: 17,
        attempt: 1,
        content_type: Some(content_type.to_owned()),
        body: Bytes::from_static(body.as_bytes()),
        ..Delivery::default()
    };
    for (content_type, body, shown) in [
        ("application/json; charset=utf-8", r#"{"id":7.10}"#, r#""json":{"id":7.10}"#),
        ("application/json", "{", r#""body":"ew==""#),
        ("text/plain", "paid", r#""text":"paid""#),
        ("image/png", "hi", r#""body":"aGk=""#),
    ] {
        let delivery = delivery(content_type, body);
        let json = serde_json::to_string(&delivery).unwrap();
        assert!(json.contains(shown), "{json}");
        for encoding in [Encoding::MessagePack, Encoding::Json, Encoding::Cbor] {
            let bytes = encoding.encode(&delivery).unwrap();
            assert_eq!(encoding.decode::<Delivery>(&bytes).unwrap(), delivery, "{encoding}");
        }
    }
}

#[test]
fn errors_have_the_documented_codes_and_others_pass_through() {
    let error = QueueError::SequenceGap { producer: "p".to_owned(), sequence: 7, expected: 5 };
    let rpc = error.clone().into_rpc();
    let typed = rpc.typed().unwrap();
    assert_eq!((&*typed.code, typed.detail["expected"].as_u64()), ("sequence-gap", Some(5)));
    assert_eq!(QueueError::from_rpc(rpc), Ok(error));
    let busy = RpcError::rejected("over its budget", Some(Duration::from_millis(50)));
    assert_eq!(QueueError::Rpc(busy.clone()).into_rpc(), busy);
    assert_eq!(QueueError::from_rpc(busy.clone()), Err(busy.clone()), "a caller sees it as `CallError::Rpc`");
    assert!(matches!(CallError::<QueueError>::Rpc(busy), CallError::Rpc(error) if error.is_retryable()));
}
