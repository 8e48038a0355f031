use serde::Deserialize;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct User {
    id: u32,
    nick: Option<String>,
}

#[test]
fn mime_types_are_found_again_whatever_their_case_and_parameters() {
    for encoding in Encoding::ALL {
        assert_eq!(Encoding::from_mime(encoding.mime()), Some(encoding));
    }
    assert_eq!(Encoding::from_mime("Application/JSON; charset=utf-8"), Some(Encoding::Json));
    assert_eq!(Encoding::from_mime("text/plain;charset=UTF-8"), Some(Encoding::Text));
    assert_eq!(Encoding::from_mime("text/html"), None);
}

#[test]
fn structs_travel_with_named_fields() {
    let user = User { id: 7, nick: None };
    assert_eq!(&Encoding::Json.encode(&user).unwrap()[..], br#"{"id":7,"nick":null}"#);
    assert_eq!(&Encoding::MessagePack.encode(&user).unwrap()[..], b"\x82\xa2id\x07\xa4nick\xc0");
    assert_eq!(Encoding::MessagePack.decode::<User>(b"\x81\xa2id\x07").unwrap(), user);
}

#[test]
fn unit_is_zero_bytes_and_none_is_null() {
    for encoding in [Encoding::MessagePack, Encoding::Json, Encoding::Cbor] {
        assert!(encoding.encode_result(&()).unwrap().is_empty());
        encoding.decode_result::<()>(b"").unwrap();
        assert_eq!(encoding.decode_result::<Option<u32>>(b"").unwrap(), None);
        assert!(encoding.decode_result::<u32>(b"").is_err());
    }
    assert_eq!(&Encoding::Json.encode_result(&None::<u32>).unwrap()[..], b"null");
    assert_eq!(&Encoding::MessagePack.encode_result(&None::<u32>).unwrap()[..], b"\xc0");
    assert_eq!(&Encoding::Cbor.encode_result(&None::<u32>).unwrap()[..], b"\xf6");
}

#[test]
fn floats_arrive_as_they_were_sent() {
    for number in [-121_081_715.351_184_77, 0.1, f64::MAX, f64::MIN_POSITIVE] {
        for encoding in [Encoding::MessagePack, Encoding::Json, Encoding::Cbor] {
            assert_eq!(encoding.decode::<f64>(&encoding.encode(&number).unwrap()).unwrap(), number);
        }
    }
}

#[test]
fn bytes_after_the_value_are_an_error() {
    assert!(Encoding::MessagePack.decode::<u32>(b"\x07\x08").is_err());
    assert!(Encoding::Json.decode::<u32>(b"7 8").is_err());
    assert!(Encoding::Cbor.decode::<u32>(b"\x07\x08").is_err());
}

/// What a recursive user type does with a hostile depth.
#[derive(Debug, Deserialize)]
struct Nested(#[allow(dead_code, reason = "only read by Debug")] Vec<Self>);

#[test]
fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
    let depth = 1_000_000;
    assert!(Encoding::Json.decode::<Nested>(&vec![b'['; depth]).is_err());
    assert!(Encoding::MessagePack.decode::<Nested>(&vec![0x91; depth]).is_err());
    let mut closed = vec![0x91; depth];
    closed.push(0x90);
    assert!(Encoding::MessagePack.decode::<Nested>(&closed).is_err());
    assert!(Encoding::MessagePack.decode::<serde::de::IgnoredAny>(&closed).is_err());
}
