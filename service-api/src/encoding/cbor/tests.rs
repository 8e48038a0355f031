//! The bytes are those of RFC 8949, appendix A, unless a test says otherwise.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_bytes::ByteBuf;

use super::super::Encoding::Cbor;
use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn reads<T: DeserializeOwned + PartialEq + Debug>(bytes: &str, value: T) {
    assert_eq!(Cbor.decode::<T>(&hex(bytes)).expect(bytes), value, "{bytes}");
}

fn is_written_and_read<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, bytes: &str) {
    assert_eq!(Cbor.encode(&value).unwrap(), hex(bytes), "{value:?}");
    reads(bytes, value);
}

#[test]
fn values_are_the_bytes_of_the_standard_both_ways() {
    for (number, bytes) in [
        (0_u64, "00"),
        (23, "17"),
        (24, "1818"),
        (1_000, "1903e8"),
        (1_000_000, "1a000f4240"),
        (1_000_000_000_000, "1b000000e8d4a51000"),
        (u64::MAX, "1bffffffffffffffff"),
    ] {
        is_written_and_read(number, bytes);
    }
    for (number, bytes) in [(-1_i64, "20"), (-10, "29"), (-100, "3863"), (-1_000, "3903e7"), (1_000, "1903e8")] {
        is_written_and_read(number, bytes);
    }
    for (number, bytes) in [
        (0.0, "f90000"),
        (1.0, "f93c00"),
        (1.1, "fb3ff199999999999a"),
        (65_504.0, "f97bff"),
        (100_000.0, "fa47c35000"),
        (1.0e300, "fb7e37e43c8800759c"),
        (-4.1, "fbc010666666666666"),
        (f64::INFINITY, "f97c00"),
    ] {
        is_written_and_read(number, bytes);
    }
    is_written_and_read(false, "f4");
    is_written_and_read(true, "f5");
    is_written_and_read((), "f6");
    is_written_and_read(None::<u8>, "f6");
    is_written_and_read(ByteBuf::from([1, 2, 3, 4]), "4401020304");
    for (text, bytes) in [("", "60"), ("IETF", "6449455446"), ("\u{fc}", "62c3bc"), ("\u{6c34}", "63e6b0b4")] {
        is_written_and_read(text.to_owned(), bytes);
    }
    is_written_and_read(Vec::<u8>::new(), "80");
    is_written_and_read((1, (2, 3), vec![4, 5]), "8301820203820405");
    is_written_and_read((1..=25).collect::<Vec<u8>>(), "98190102030405060708090a0b0c0d0e0f101112131415161718181819");
    is_written_and_read(BTreeMap::from([(1, 2), (3, 4)]), "a201020304");
    is_written_and_read(Pair { a: 1.0, b: vec![2, 3] }, "a26161f93c006162820203");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pair {
    a: f64,
    b: Vec<u8>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    One(u8),
    Two(u8, String),
    Named { a: u8 },
}

#[test]
fn enums_are_texts_or_maps_of_one() {
    is_written_and_read(Shape::Unit, "64556e6974");
    is_written_and_read(Shape::One(7), "a1634f6e6507");
    is_written_and_read(Shape::Two(7, "x".to_owned()), "a16354776f82076178");
    is_written_and_read(Shape::Named { a: 7 }, "a1654e616d6564a1616107");
    reads("a164556e6974f6", Shape::Unit);
    reads("bf634f6e6507ff", Shape::One(7));
    for broken in ["a0", "a2634f6e6507634f6e6508", "07", "a1634f6e65f6", "bf634f6e6507634f6e6508ff"] {
        assert!(Cbor.decode::<Shape>(&hex(broken)).is_err(), "{broken}");
    }
}

#[test]
fn what_other_writers_write_is_read() {
    // JavaScript: no fraction, no float; `undefined`; half and single floats.
    reads("01", 1.0);
    reads("20", -1.0_f32);
    reads("f7", None::<u8>);
    reads("fa7f7fffff", 3.402_823_466_385_288_6e38);
    assert!(Cbor.decode::<f64>(&hex("f97e00")).unwrap().is_nan());
    // Jackson: no lengths, neither of objects nor of long texts.
    reads("bf61610161629f0203ffff", Pair { a: 1.0, b: vec![2, 3] });
    reads("bf7f6161ff0161629f0203ffff", Pair { a: 1.0, b: vec![2, 3] });
    reads("9f018202039f0405ffff", (1, vec![2, 3], vec![4, 5]));
    reads("7f657374726561646d696e67ff", "streaming".to_owned());
    reads("5f42010243030405ff", ByteBuf::from([1, 2, 3, 4, 5]));
    reads("7fff", String::new());
    // Numbers in more bytes than needed.
    reads("1b0000000000000007", 7_u8);
    reads("fb3ff0000000000000", 1.0_f32);
    // Tags: times, bytes to be shown as hex, "this is CBOR", and integers of any size, with Java's zero in front.
    reads("c074323031332d30332d32315432303a30343a30305a", "2013-03-21T20:04:00Z".to_owned());
    reads("c11a514b67b0", 1_363_896_240_u64);
    reads("d74401020304", ByteBuf::from([1, 2, 3, 4]));
    reads("d9d9f783010203", vec![1, 2, 3]);
    reads("d9d9f7f6", None::<u8>);
    reads("c249010000000000000000", 18_446_744_073_709_551_616_u128);
    reads("c349010000000000000000", -18_446_744_073_709_551_617_i128);
    reads("3bffffffffffffffff", -18_446_744_073_709_551_616_i128);
    reads("c2420007", 7_u8);
    reads("c34106", -7_i8);
    reads("c25f410041ffff", 255_u8);
}

#[test]
fn what_is_no_value_is_an_error() {
    for broken in [
        "",
        "1c",
        "1d",
        "1e",
        "1f",
        "3f",
        "fc",
        "fd",
        "fe",
        "ff",
        "c0",
        "c0ff",
        "df",
        "81ff",
        "a1ff",
        "a101ff",
        "bf01ff",
        "bf0102",
        "9f",
        "9f01",
        "9fc0ff",
        "5f6161ff",
        "7f4161ff",
        "7f7f6161ffff",
        "7fc06161ff",
        "7f6161",
        "0000",
        "6161ff",
        "f818",
    ] {
        assert!(Cbor.decode::<serde_json::Value>(&hex(broken)).is_err(), "{broken}");
    }
    for broken in ["61ff", "7f61ffff", "f0", "f8ff", "c252ffffffffffffffffffffffffffffffffffff"] {
        assert!(Cbor.decode::<serde_json::Value>(&hex(broken)).is_err(), "{broken}");
        Cbor.decode::<IgnoredAny>(&hex(broken)).unwrap();
    }
    // Elements the type has no place for are not taken for what comes next.
    assert!(Cbor.decode::<Vec<(u8, u8)>>(&hex("8283010203820405")).is_err());
    assert!(Cbor.decode::<Vec<(u8, u8)>>(&hex("829f010203ff820405")).is_err());
}

#[test]
fn a_length_that_is_not_there_allocates_nothing() {
    let most = "ffffffffffffffff";
    for length in [most, "7fffffffffffffff", "0000000100000000"] {
        for start in ["5b", "7b", "9b", "bb", "5f5b", "7f7b", "819b", "c25b"] {
            let bytes = hex(&format!("{start}{length}00"));
            assert!(Cbor.decode::<Vec<u64>>(&bytes).is_err());
            assert!(Cbor.decode::<ByteBuf>(&bytes).is_err());
            assert!(Cbor.decode::<String>(&bytes).is_err());
            assert!(Cbor.decode::<BTreeMap<u8, u8>>(&bytes).is_err());
        }
    }
}

#[test]
fn a_value_cut_anywhere_is_an_error() {
    let whole = hex("bf61618301f93c00f661625f4101ff6163d9d9f7c249010000000000000000617fa1617f7f6178ffff");
    Cbor.decode::<IgnoredAny>(&whole).unwrap();
    for end in 0..whole.len() {
        assert!(Cbor.decode::<IgnoredAny>(&whole[..end]).is_err(), "{end}");
    }
}

#[derive(Debug, Deserialize)]
struct Nested(#[allow(dead_code, reason = "only read by Debug")] Vec<Self>);

#[test]
fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
    let closed = |open: u8, inner: &[u8], close: &[u8], depth: usize| {
        let mut bytes = vec![open; depth];
        bytes.extend(inner);
        bytes.extend(close.repeat(depth));
        bytes
    };
    for depth in [129, 100_000] {
        for bytes in [
            closed(0x81, b"\x80", b"", depth),
            closed(0x81, b"", b"", depth),
            closed(0x9f, b"", b"\xff", depth),
            closed(0x9f, b"", b"", depth),
            closed(0xbf, b"", b"", depth),
        ] {
            assert!(Cbor.decode::<Nested>(&bytes).is_err());
            assert!(Cbor.decode::<IgnoredAny>(&bytes).is_err());
        }
    }
    Cbor.decode::<Nested>(&closed(0x9f, b"", b"\xff", 128)).unwrap();
    // Tags nest without a stack.
    assert_eq!(Cbor.decode::<u8>(&closed(0xc1, b"\x07", b"", 100_000)).unwrap(), 7);
}
