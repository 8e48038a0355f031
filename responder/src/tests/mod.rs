//! Pure parts: routes, the table, what metadata says.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use towline_rsocket::engine::{Payload, Responder};
use towline_rsocket::metadata::CompositeBuilder;
use towline_rsocket::metadata::mime::{self, Mime};
use towline_rsocket::metadata::routing::write_tags;
use towline_service_api::{Accept, Contract, Dispatch, Encoding, Interaction, Reply, Request, RpcError, ServiceKey};

use crate::answering::Answering;
use crate::head::{Head, NO_ROUTING};
use crate::route::Route;
use crate::table::{Entry, Table};

fn route(group: &'static str, service: &'static str, method: &'static str, version: &'static str) -> Route<'static> {
    Route { group, service, method, version }
}

#[test]
fn a_route_is_read_in_the_starters_order() {
    for (text, expected) in [
        ("com.acme.Users.find", route("", "com.acme.Users", "find", "")),
        ("g!com.acme.Users.find:1.0.0", route("g", "com.acme.Users", "find", "1.0.0")),
        ("g!S.m:1?sticky=1&e=ip:192.0.2.2&", route("g", "S", "m", "1")),
        ("S.m?e=a.b:c!d", route("", "S", "m", "")),
        ("!S.m", route("", "!S", "m", "")),
        ("S.m:1:2", route("", "S", "m:1", "2")),
        ("S", route("", "S", "", "")),
        ("", route("", "", "", "")),
        ("?", route("", "", "", "")),
        ("g!", route("g", "", "", "")),
    ] {
        assert_eq!(Route::parse(text), expected, "{text}");
    }
}

struct Named(&'static Contract);

impl Dispatch for Named {
    fn contract(&self) -> &'static Contract {
        self.0
    }

    fn dispatch(&self, method: &str, _: Interaction, _: Request) -> Result<Reply, RpcError> {
        Err(RpcError::no_method(self.0, method))
    }
}

const fn contract(group: &'static str, version: &'static str) -> Contract {
    Contract { key: ServiceKey::new(group, "S", version), docs: "", methods: &[] }
}

#[test]
fn a_service_is_found_exactly_or_if_it_is_the_only_one() {
    static FIRST: Contract = contract("", "1");
    static SECOND: Contract = contract("g", "2");
    let found = |contracts: &[&'static Contract], route| {
        let table = Table::new(contracts.iter().map(|contract| Entry::calls(Arc::new(Named(contract)))).collect());
        table.find(route).map(|entry| entry.key.to_string()).ok_or_else(|| table.missing(route).message)
    };
    let both = [&FIRST, &SECOND];
    assert_eq!(found(&both, route("", "S", "m", "1")).unwrap(), "S:1");
    assert_eq!(found(&both, route("g", "S", "m", "2")).unwrap(), "g!S:2");
    assert_eq!(found(&both, route("g", "S", "m", "")).unwrap(), "g!S:2");
    assert_eq!(found(&[&FIRST], route("", "S", "m", "")).unwrap(), "S:1");
    let missing = "RST-201404: No service handler found: S.m: served here: S:1, g!S:2";
    assert_eq!(found(&both, route("", "S", "m", "")).unwrap_err(), missing);
    assert_eq!(found(&both, route("g", "S", "m", "1")).unwrap_err(), missing);
    assert_eq!(found(&both, route("", "T", "m", "")).unwrap_err(), "RST-201404: No service handler found: T.m");
    static DOTTED: Contract = Contract { key: ServiceKey::new("", "com.S", ""), docs: "", methods: &[] };
    assert_eq!(
        found(&[&DOTTED], route("", "com", "S", "")).unwrap_err(),
        "RST-201404: No service handler found: com.S; that is a service: name one of its methods, com.S.<method>"
    );
}

#[test]
fn nothing_of_a_large_request_is_kept_once_it_is_answered() {
    static CONTRACT: Contract = contract("", "1");
    let answering = Answering::new(Table::new(vec![Entry::calls(Arc::new(Named(&CONTRACT)))]), Encoding::Json);
    let metadata = CompositeBuilder::new().entry(mime::ROUTING, &write_tags(["S.m"]).unwrap()).finish();
    // As a frame holds them: both are parts of the same memory.
    let frame = Bytes::from([&metadata[..], &vec![7; 1 << 20]].concat());
    for _ in 0..2 {
        let request = Payload { metadata: Some(frame.slice(..metadata.len())), data: frame.slice(metadata.len()..) };
        let outcome = answering.request_response(request).now_or_never();
        assert!(matches!(outcome, Some(Err(_))), "it has no such method");
        assert!(frame.is_unique());
    }
}

#[test]
fn metadata_is_read_up_to_the_first_malformed_entry() {
    let tags = write_tags(["S.m", "sticky=1"]).unwrap();
    let mut metadata = CompositeBuilder::new()
        .entry(Mime::Id(0x50), b"other")
        .entry(mime::ROUTING, &tags)
        .entry(mime::ROUTING, &write_tags(["second"]).unwrap())
        .entry(Mime::Name(b"message/x.towline.deadline.v0"), &[0, 0, 1, 0])
        .finish();
    metadata.extend_from_slice(&[0xFA, 0, 0, 9]);
    let head = Head::read(&metadata);
    assert_eq!(head.route().unwrap(), "S.m");
    assert_eq!(head.deadline().unwrap().as_millis(), 256);
    assert_eq!(head.encodings(Encoding::Json).unwrap(), (Encoding::Json, Accept::default()));
    assert_eq!(Head::read(&[]).route().unwrap_err().message, NO_ROUTING);
    let odd = CompositeBuilder::new().entry(Mime::Name(b"message/x.towline.deadline.v0"), &[1]).finish();
    assert_eq!(Head::read(&odd).deadline(), None);
}

#[test]
fn an_answer_may_be_in_the_types_that_are_known() {
    use Encoding::{Cbor, Json, MessagePack, Text};
    let message_pack = Mime::Name(b"application/x-msgpack");
    let encodings = |data: Option<Mime<'_>>, accept: &[Mime<'_>]| {
        let mut metadata = CompositeBuilder::new();
        if let Some(data) = data {
            metadata = metadata.message_mime(data);
        }
        if !accept.is_empty() {
            metadata = metadata.accept_mimes(accept);
        }
        let read = Head::read(&metadata.finish()).encodings(MessagePack);
        read.map(|(request, accept)| (request, accept.iter().collect::<Vec<_>>())).map_err(|error| error.message)
    };
    assert_eq!(encodings(None, &[]), Ok((MessagePack, vec![])));
    assert_eq!(encodings(Some(mime::JSON), &[]), Ok((Json, vec![])));
    assert_eq!(encodings(Some(mime::JSON), &[mime::JSON, message_pack]), Ok((Json, vec![])));
    assert_eq!(
        encodings(Some(mime::JSON), &[mime::HESSIAN, message_pack, mime::JSON]),
        Ok((Json, vec![MessagePack, Json]))
    );
    assert_eq!(encodings(Some(message_pack), &[mime::HESSIAN]), Ok((MessagePack, vec![])));
    assert_eq!(encodings(None, &[mime::JSON]), Ok((MessagePack, vec![Json])));
    assert_eq!(encodings(Some(mime::CBOR), &[mime::CBOR, mime::JSON]), Ok((Cbor, vec![])));
    // Not every answer is a text.
    assert_eq!(encodings(Some(mime::TEXT), &[mime::TEXT, mime::JSON]), Ok((Text, vec![Text, Json])));
    let unknown = format!("is not readable here: send one of {}", Encoding::names());
    assert_eq!(encodings(Some(mime::HESSIAN), &[]), Err(format!("RST-700501: application/x-hessian {unknown}")));
    assert_eq!(encodings(Some(Mime::Id(0x44)), &[]), Err(format!("RST-700501: a type without a name {unknown}")));
    // The starters' form: the length as it is.
    let starter = CompositeBuilder::new().entry(mime::MESSAGE_MIME, b"\x15application/x-msgpack").finish();
    assert_eq!(Head::read(&starter).encodings(Json).unwrap().0, MessagePack);
}
