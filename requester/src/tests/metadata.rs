use std::time::Duration;

use bytes::Bytes;
use towline_rsocket::engine::Payload;
use towline_rsocket::metadata::mime::{self, Mime};
use towline_rsocket::metadata::routing::write_tags;
use towline_rsocket::metadata::{Composite, CompositeBuilder};
use towline_service_api::{Answer, Call, CallOptions, Encoding, RpcError, ServiceKey};

use crate::metadata::{read_answer, write};

fn call(options: CallOptions) -> Call {
    let service = ServiceKey::new("g", "com.acme.Users", "2");
    Call { service, method: "findById".into(), encoding: Encoding::Json, arguments: Bytes::new(), options }
}

#[test]
fn a_request_says_where_it_goes_and_how_it_is_written() {
    let options = CallOptions {
        tags: vec![("zone".into(), "a".to_owned())],
        endpoint: Some("uuid:x".to_owned()),
        key: Some("7".to_owned()),
        sticky: true,
        ..CallOptions::default()
    };
    let written = write(&call(options), Some(Duration::from_micros(1_001))).unwrap();
    let tags = ["g!com.acme.Users.findById:2", "e=uuid:x", "sticky=1", "key=7", "t.zone=a"];
    let expected = CompositeBuilder::new()
        .entry(mime::ROUTING, &write_tags(tags).unwrap())
        .message_mime(mime::JSON)
        .accept_mimes(&[mime::JSON, mime::CBOR, mime::OCTET_STREAM, mime::TEXT])
        .entry(Mime::Name(b"message/x.towline.deadline.v0"), &[0, 0, 0, 2])
        .finish();
    assert_eq!(written, expected);
}

#[test]
fn a_type_without_an_id_is_accepted_only_where_the_request_is_in_it() {
    for encoding in Encoding::ALL {
        let written = write(&Call { encoding, ..call(CallOptions::default()) }, None).unwrap();
        let accepted = mime::read_accept_mimes(Composite::new(&written).find(mime::ACCEPT_MIMES).unwrap());
        assert_eq!(accepted[0], Mime::named(encoding.mime()));
        assert_eq!(accepted.contains(&Mime::Name(b"application/x-msgpack")), encoding == Encoding::MessagePack);
        assert!(accepted.contains(&mime::JSON) && accepted.contains(&mime::CBOR), "{encoding}");
    }
}

#[test]
fn a_tag_that_does_not_fit_is_an_error_before_anything_is_sent() {
    let error = write(&call(CallOptions { key: Some("k".repeat(252)), ..CallOptions::default() }), None).unwrap_err();
    assert!(error.is_retryable() && error.code == RpcError::INVALID, "{error}");
    assert!(error.message.ends_with("has 256 bytes: 255 are allowed"), "{error}");
}

#[test]
fn an_answer_is_read_as_it_says() {
    let answer = |metadata| read_answer(Payload { metadata, data: Bytes::from_static(b"7") });
    assert_eq!(answer(None).unwrap(), Answer { encoding: None, data: Bytes::from_static(b"7") });
    let json = CompositeBuilder::new().message_mime(mime::JSON).finish().freeze();
    assert_eq!(answer(Some(json)).unwrap().encoding, Some(Encoding::Json));
    let hessian = CompositeBuilder::new().message_mime(mime::HESSIAN).finish().freeze();
    let error = answer(Some(hessian)).unwrap_err();
    assert!(
        error.message.starts_with("the answer is application/x-hessian, not one of application/x-msgpack, "),
        "{error}"
    );
}
