use super::*;

fn fault(role: Role, bytes: &[u8]) -> Fault {
    let mut whole = None;
    for step in [bytes.len(), 1] {
        let (mut decoder, mut into) = (Decoder::new(role, 1000), BytesMut::new());
        let found = bytes.chunks(step).find_map(|mut part| {
            while !part.is_empty() {
                if let Err(fault) = decoder.decode(&mut part, &mut into) {
                    return Some(fault);
                }
            }
            None
        });
        let found = found.unwrap_or_else(|| panic!("{bytes:?} in parts of {step} is taken"));
        assert_eq!(*whole.get_or_insert(found), found, "a cut changes nothing");
    }
    whole.unwrap()
}

#[test]
fn every_breach_is_told_by_its_status_code() {
    let begun = masked(2, b"ab");
    let cases: &[(&str, Vec<u8>, u16)] = &[
        ("unmasked", wire(0x82, None, b"a"), 1002),
        ("RSV1, as permessage-deflate sets it", masked(0xC2, b"a"), 1002),
        ("RSV2", masked(0xA2, b"a"), 1002),
        ("RSV3", masked(0x92, b"a"), 1002),
        ("opcode 3", masked(0x83, b"a"), 1002),
        ("opcode 15", masked(0x8F, b"a"), 1002),
        ("a PING in fragments", masked(9, b"a"), 1002),
        ("a CLOSE in fragments", masked(8, b""), 1002),
        ("a PING of 126 bytes", masked(0x89, &[0; 126]), 1002),
        ("a PONG of 126 bytes", masked(0x8A, &[0; 126]), 1002),
        ("a CLOSE of 126 bytes", masked(0x88, &[0; 126]), 1002),
        ("a message in a message", [begun.clone(), masked(0x82, b"a")].concat(), 1002),
        ("a text in a message", [begun.clone(), masked(0x81, b"a")].concat(), 1002),
        ("a continuation of nothing", masked(0x80, b"a"), 1002),
        ("half a status code", masked(0x88, &[3]), 1002),
        ("status code 1005", masked(0x88, &1005u16.to_be_bytes()), 1002),
        ("status code 999", masked(0x88, &999u16.to_be_bytes()), 1002),
        ("a reason that is no text", masked(0x88, &[3, 232, 255]), 1007),
        ("text", masked(0x81, b"hello"), 1003),
        ("a text in fragments", masked(1, b"hello"), 1003),
        ("1001 bytes", masked(0x82, &[0; 1001]), 1009),
        ("2^63 bytes", vec![0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1009),
        ("999 and 2 bytes", [begun, masked(0, &[0; 998]), masked(0x80, &[0])].concat(), 1009),
    ];
    for (name, bytes, code) in cases {
        assert_eq!(fault(Role::Server, bytes).code, *code, "{name}");
    }
    assert_eq!(fault(Role::Client, &masked(0x82, b"a")).code, 1002, "masked by a server");
}

#[test]
fn a_fault_is_told_before_the_rest_of_the_frame_comes() {
    for bytes in [&[0x82, 1][..], &[0x81, 0x85], &[0x89, 0xFE], &[0xF2, 0x80]] {
        let mut decoder = Decoder::new(Role::Server, 1000);
        assert!(decoder.decode(&mut &bytes[..], &mut BytesMut::new()).is_err(), "{bytes:?}");
    }
}

#[test]
fn no_message_is_longer_than_a_frame_may_be() {
    let header = [0x82, 127, 0, 0, 0, 0, 1, 0, 0, 0];
    let mut decoder = Decoder::new(Role::Client, usize::MAX);
    assert_eq!(decoder.decode(&mut &header[..], &mut BytesMut::new()).unwrap_err().code, 1009);
    let header = [0x82, 127, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF];
    let mut into = BytesMut::new();
    Decoder::new(Role::Client, usize::MAX).decode(&mut &header[..], &mut into).unwrap();
    assert_eq!(into[..], [0xFF; 3]);
}

#[test]
fn an_empty_message_is_an_empty_frame() {
    let mut into = BytesMut::new();
    for bytes in [masked(0x82, b""), [masked(2, b""), masked(0x80, b"")].concat()] {
        into.clear();
        Decoder::new(Role::Server, 10).decode(&mut &bytes[..], &mut into).unwrap();
        assert_eq!(into[..], [0, 0, 0]);
    }
}
