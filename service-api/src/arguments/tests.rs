use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::contract::{Argument, Shape};
use crate::key::ServiceKey;

const fn argument(name: &'static str, rust_name: &'static str, required: bool) -> Argument {
    Argument { name, rust_name, type_text: "T", required }
}

static CONTRACT: Contract = Contract {
    key: ServiceKey::new("", "a.S", ""),
    docs: "",
    methods: &[Method {
        name: "m",
        rust_name: "m",
        docs: "",
        shape: Shape::Unary,
        arguments: &[
            argument("userId", "user_id", true),
            argument("names", "names", true),
            argument("note", "note", false),
        ],
        inbound: None,
        result: "()",
        error: None,
        timeout: None,
        idempotent: false,
        bare: false,
    }],
};

type Values = (i64, Vec<String>, Option<f64>);

fn write(encoding: Encoding, values: &Values) -> bytes::Bytes {
    let mut writer = ArgumentWriter::new(&CONTRACT, &CONTRACT.methods[0], encoding);
    writer.put(&values.0).unwrap();
    writer.put(&values.1).unwrap();
    writer.put(&values.2).unwrap();
    writer.finish()
}

fn read(encoding: Encoding, bytes: &[u8]) -> Result<Values, RpcError> {
    let mut arguments = Arguments::<3>::read(&CONTRACT, &CONTRACT.methods[0], encoding, bytes)?;
    Ok((arguments.take(0)?, arguments.take(1)?, arguments.take(2)?))
}

fn encodings() -> impl Strategy<Value = Encoding> {
    proptest::sample::select(Encoding::ALL.to_vec())
}

fn encodings_of_all_types() -> impl Strategy<Value = Encoding> {
    encodings().prop_filter("strings and bytes only", |encoding| !encoding.is_raw())
}

proptest! {
    #[test]
    fn what_a_client_writes_a_server_reads(
        encoding in encodings_of_all_types(),
        values in (any::<i64>(), vec(".*", 0..4), proptest::option::of(-1e9..1e9)),
    ) {
        prop_assert_eq!(read(encoding, &write(encoding, &values)).unwrap(), values);
    }

    #[test]
    fn no_bytes_make_a_server_panic(encoding in encodings(), bytes in vec(any::<u8>(), 0..64)) {
        let _ = read(encoding, &bytes);
    }

    #[test]
    fn no_damage_to_a_call_makes_a_server_panic(encoding in encodings_of_all_types(), at in any::<usize>(), byte: u8, cut in any::<usize>()) {
        let mut bytes = write(encoding, &(-7, vec!["x".to_owned()], Some(0.5))).to_vec();
        let length = bytes.len();
        bytes[at % length] = byte;
        let _ = read(encoding, &bytes);
        let _ = read(encoding, &bytes[..cut % length]);
    }

    #[test]
    fn a_skipped_value_ends_where_it_was_written(text in ".*", numbers in vec(any::<i64>(), 0..40), blob in vec(any::<u8>(), 0..300)) {
        let value = (serde_json::json!({"text": text, "numbers": numbers}), serde_bytes::ByteBuf::from(blob));
        let walks = [(Encoding::MessagePack, messagepack::value_end as fn(&[u8], usize) -> _), (Encoding::Cbor, cbor::value_end)];
        for (encoding, value_end) in walks {
            let mut bytes = encoding.encode(&value).unwrap().to_vec();
            let end = bytes.len();
            bytes.extend([0xc3, 0xc0]);
            prop_assert_eq!(value_end(&bytes, 0).unwrap(), end);
            prop_assert!(value_end(&bytes[..end - 1], 0).is_err());
        }
    }
}

#[test]
fn every_messagepack_format_is_skipped_whole() {
    let formats: [&[u8]; 17] = [
        b"\xc4\x01a",
        b"\xc5\x00\x01a",
        b"\xc6\x00\x00\x00\x01a",
        b"\xc7\x01\x05a",
        b"\xc8\x00\x01\x05a",
        b"\xc9\x00\x00\x00\x01\x05a",
        b"\xca1234",
        b"\xcb12345678",
        b"\xd4\x051",
        b"\xd8\x050123456789abcdef",
        b"\xd9\x01a",
        b"\xda\x00\x01a",
        b"\xdb\x00\x00\x00\x01a",
        b"\xdc\x00\x01\x01",
        b"\xdd\x00\x00\x00\x01\x01",
        b"\xde\x00\x01\x01\x01",
        b"\xdf\x00\x00\x00\x01\x01\x01",
    ];
    for format in formats {
        assert_eq!(messagepack::value_end(format, 0).unwrap(), format.len(), "{format:x?}");
        assert!(messagepack::value_end(&format[..format.len() - 1], 0).is_err(), "{format:x?}");
    }
}

#[test]
fn a_raw_json_value_is_skipped_without_recursion() {
    let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    assert!(serde_json::from_str::<&RawValue>(&deep).is_ok());
}
