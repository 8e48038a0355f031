//! A type of every shape serde knows, through every encoding that has a form for all types.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use towline_service_api::Encoding;

const ENCODINGS: [Encoding; 3] = [Encoding::MessagePack, Encoding::Json, Encoding::Cbor];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Nothing;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(i64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Choice {
    None,
    Number(i32),
    Both(u8, String),
    Named { left_side: Box<Tree>, right_side: Option<bool> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Empty,
    Full { level: u64 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Extra {
    extra: u16,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tree {
    unsigned: u64,
    signed: (i8, Wrapped),
    floats: (f32, f64),
    text: (char, String),
    bytes: ByteBuf,
    nothing: (Nothing, ()),
    choice: Choice,
    tagged: Vec<Tagged>,
    untagged: Vec<Untagged>,
    map: BTreeMap<String, Option<u32>>,
    #[serde(flatten)]
    extra: Extra,
    #[serde(default)]
    children: Vec<Self>,
}

fn tree() -> impl Strategy<Value = Tree> {
    leaf().prop_recursive(3, 8, 3, |inner| {
        (leaf(), vec(inner.clone(), 0..3), inner, any::<Option<bool>>(), any::<bool>()).prop_map(
            |(leaf, children, left, right_side, is_named)| {
                let named = Choice::Named { left_side: Box::new(left), right_side };
                Tree { children, choice: if is_named { named } else { leaf.choice.clone() }, ..leaf }
            },
        )
    })
}

fn leaf() -> impl Strategy<Value = Tree> {
    let choice = prop_oneof![
        Just(Choice::None),
        any::<i32>().prop_map(Choice::Number),
        (any::<u8>(), ".*").prop_map(|(number, text)| Choice::Both(number, text)),
    ];
    let tagged = prop_oneof![Just(Tagged::Empty), any::<u64>().prop_map(|level| Tagged::Full { level })];
    let untagged = prop_oneof![any::<i64>().prop_map(Untagged::Number), ".*".prop_map(Untagged::Text)];
    let floats = (proptest::num::f32::NORMAL, proptest::num::f64::NORMAL | proptest::num::f64::ZERO);
    let numbers = (any::<u64>(), any::<(i8, i64)>(), floats, any::<u16>());
    let texts = (any::<char>(), ".*", vec(any::<u8>(), 0..300));
    let rest = (choice, vec(tagged, 0..3), vec(untagged, 0..3), btree_map(".*", any::<Option<u32>>(), 0..4));
    (numbers, texts, rest).prop_map(|(numbers, texts, rest)| {
        let (unsigned, signed, floats, extra) = numbers;
        let (character, text, bytes) = texts;
        let (choice, tagged, untagged, map) = rest;
        Tree {
            unsigned,
            signed: (signed.0, Wrapped(signed.1)),
            floats,
            text: (character, text),
            bytes: ByteBuf::from(bytes),
            nothing: (Nothing, ()),
            choice,
            tagged,
            untagged,
            map,
            extra: Extra { extra },
            children: Vec::new(),
        }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(tree in tree()) {
        for encoding in ENCODINGS {
            let bytes = encoding.encode(&tree).unwrap();
            prop_assert_eq!(&encoding.decode::<Tree>(&bytes).unwrap(), &tree);
        }
    }

    #[test]
    fn damage_is_an_error_or_another_value_but_no_panic(tree in tree(), at in any::<usize>(), byte: u8) {
        for encoding in ENCODINGS {
            let mut bytes = encoding.encode(&tree).unwrap().to_vec();
            let at = at % bytes.len();
            prop_assert!(encoding.decode::<Tree>(&bytes[..at]).is_err());
            bytes[at] = byte;
            let _ = encoding.decode::<Tree>(&bytes);
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..64)) {
        for encoding in Encoding::ALL {
            let _ = encoding.decode::<Tree>(&bytes);
            let _ = encoding.decode::<Vec<Choice>>(&bytes);
            let _ = encoding.decode::<serde_json::Value>(&bytes);
            let _ = encoding.decode_result::<Option<(String, ByteBuf)>>(&bytes);
        }
    }
}
