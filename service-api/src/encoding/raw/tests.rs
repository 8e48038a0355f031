use std::fmt::Debug;

use serde::Deserialize;
use serde_bytes::ByteBuf;

use super::super::Encoding::{Bytes, Text};
use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Name(String);

fn is_both_ways<T: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(value: T, bytes: &[u8]) {
    for encoding in [Text, Bytes] {
        assert_eq!(encoding.encode_result(&value).unwrap(), bytes, "{value:?}");
        assert_eq!(encoding.decode_result::<T>(bytes).unwrap(), value);
    }
}

#[test]
fn strings_and_bytes_travel_as_they_are() {
    is_both_ways("gr\u{fc}n".to_owned(), b"gr\xc3\xbcn");
    is_both_ways(String::new(), b"");
    is_both_ways('x', b"x");
    is_both_ways(Name("x".to_owned()), b"x");
    is_both_ways(ByteBuf::from(*b"x\0y"), b"x\0y");
    is_both_ways(ByteBuf::new(), b"");
    is_both_ways(Some("x".to_owned()), b"x");
    is_both_ways(None::<String>, b"");
    is_both_ways((), b"");
    let bytes = ByteBuf::from([0xff, 0]);
    assert_eq!(Bytes.encode(&bytes).unwrap(), [0xff, 0][..]);
    assert_eq!(Bytes.decode::<ByteBuf>(&[0xff, 0]).unwrap(), bytes);
    assert_eq!(Text.decode::<serde_json::Value>(b"[1]").unwrap(), "[1]");
}

#[test]
fn nothing_else_does_and_the_error_says_so() {
    #[derive(Debug, Serialize, Deserialize)]
    enum Choice {
        Unit,
        One(String),
    }
    fn is_refused<T: Serialize + DeserializeOwned + Debug>(value: T) {
        for encoding in [Text, Bytes] {
            let expected = "only a string or bytes (by `serde_bytes`) have a form in it: use application/json";
            assert_eq!(encoding.encode(&value).unwrap_err().to_string(), expected, "{value:?}");
            assert_eq!(encoding.decode::<T>(b"1").unwrap_err().to_string(), expected, "{value:?}");
        }
    }
    is_refused(true);
    is_refused(-1_i8);
    is_refused(1_u64);
    is_refused(1_i128);
    is_refused(1.5);
    is_refused(());
    is_refused((1, 2));
    is_refused(vec![1_u8]);
    is_refused(Some(7));
    is_refused(Choice::Unit);
    is_refused(Choice::One("x".to_owned()));
    is_refused(serde_json::Map::new());
}

#[test]
fn what_would_be_read_as_something_else_is_not_written() {
    for encoding in [Text, Bytes] {
        let error = encoding.encode(&Some("")).unwrap_err().to_string();
        assert_eq!(error, "an empty one would be read as none");
        assert!(encoding.encode(&Some(None::<String>)).is_err());
        assert!(encoding.decode::<String>(&[0xff]).is_err());
    }
    assert_eq!(Text.encode(&ByteBuf::from([0xff])).unwrap_err().to_string(), "the bytes are no UTF-8");
}
