use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// A message: its payload, where it is cut into continuation frames, and what PINGs say between those.
#[derive(Clone, Debug)]
struct Message {
    payload: Vec<u8>,
    cuts: Vec<usize>,
    pings: Vec<Vec<u8>>,
}

impl Message {
    fn wire(&self, mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut cuts: Vec<_> = self.cuts.iter().map(|cut| cut % (self.payload.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(self.payload.len());
        let (mut bytes, mut from) = (Vec::new(), 0);
        for (at, to) in cuts.iter().enumerate() {
            let opcode = if at == 0 { 2 } else { 0 };
            let fin = if at == cuts.len() - 1 { 0x80 } else { 0 };
            bytes.extend(wire(fin | opcode, mask, &self.payload[from..*to]));
            from = *to;
            if let Some(ping) = self.pings.get(at) {
                bytes.extend(wire(0x89, mask, ping));
                bytes.extend(wire(0x8A, mask, ping));
            }
        }
        bytes
    }
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    // Around the lengths at which headers grow and parts are no longer copied.
    let len = prop_oneof![6 => 0usize..300, 1 => 4000usize..5000, 1 => 65_500usize..70_000];
    (len, any::<usize>()).prop_map(|(len, seed)| (0..len).map(|at| (at.wrapping_mul(seed) >> 3) as u8).collect())
}

fn message() -> impl Strategy<Value = Message> {
    (payload(), vec(any::<usize>(), 0..4), vec(vec(any::<u8>(), 0..126), 0..4)).prop_map(|(payload, cuts, pings)| {
        let pings = pings.into_iter().take(cuts.len() + 1).collect();
        Message { payload, cuts, pings }
    })
}

/// Cuts `bytes` into parts of these sizes, again and again; a long wire into larger ones.
fn parts<'a>(mut bytes: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let least = bytes.len() / 1000;
    sizes.iter().cycle().map_while(move |size| {
        let (part, rest) = bytes.split_at(bytes.len().min(*size.max(&least)));
        bytes = rest;
        (!part.is_empty()).then_some(part)
    })
}

/// Decodes parts, each to its end; returns the frames' bytes and the PINGs.
fn decode<'a>(decoder: &mut Decoder, parts: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<u8>, Vec<Vec<u8>>), Fault> {
    let (mut into, mut pings) = (BytesMut::new(), Vec::new());
    for mut part in parts {
        while !part.is_empty() {
            match decoder.decode(&mut part, &mut into)? {
                Some(Signal::Ping(payload)) => pings.push(payload.to_vec()),
                Some(Signal::Close(_)) => return Ok((into.to_vec(), pings)),
                None => assert!(part.is_empty(), "nothing that was read is left behind"),
            }
        }
    }
    Ok((into.to_vec(), pings))
}

/// Encodes a batch of parts, `most` bytes a time.
fn encode<'a>(encoder: &mut Encoder, parts: impl Iterator<Item = &'a [u8]>, most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut batch, mut out) = (Batch::default(), Batch::default());
    parts.for_each(|part| batch.push(BytesMut::from(part)));
    while !batch.is_empty() {
        let before = batch.len();
        let taken = encoder.encode(&mut batch, most, &mut out);
        assert!((1..=most).contains(&taken));
        assert_eq!(batch.len(), before - taken);
        bytes.extend(bytes_of(&mut out));
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_messages_in_any_cuts_are_the_same_frames(
        messages in vec(message(), 1..6),
        sizes in vec(1usize..5000, 1..6),
        is_client in any::<bool>(),
    ) {
        let (role, mask) = if is_client { (Role::Client, None) } else { (Role::Server, Some(MASK)) };
        let bytes: Vec<u8> = messages.iter().flat_map(|message| message.wire(mask)).collect();
        let mut decoder = Decoder::new(role, 70_000);
        let (frames, pings) = decode(&mut decoder, parts(&bytes, &sizes)).unwrap();
        prop_assert!(frames == messages.iter().flat_map(|message| prefixed(&message.payload)).collect::<Vec<_>>());
        prop_assert_eq!(pings, messages.into_iter().flat_map(|message| message.pings).collect::<Vec<_>>());
        prop_assert_eq!(decoder.held(), 0);
    }

    #[test]
    fn what_is_encoded_is_decoded_at_the_other_end(
        payloads in vec(payload(), 1..8),
        sizes in vec(1usize..10_000, 1..6),
        wire_sizes in vec(1usize..10_000, 1..6),
        most in 1usize..100_000,
        is_client in any::<bool>(),
        pongs in 0usize..16,
    ) {
        let (here, there) = if is_client { (Role::Client, Role::Server) } else { (Role::Server, Role::Client) };
        let frames: Vec<u8> = payloads.iter().flat_map(|payload| prefixed(payload)).collect();
        let mut encoder = Encoder::new(here);
        (0..pongs).for_each(|at| encoder.pong(&vec![0; at]));
        let bytes = encode(&mut encoder, parts(&frames, &sizes), most.max(frames.len() / 1000));
        prop_assert!(!encoder.has_pongs());
        let (decoded, _) = decode(&mut Decoder::new(there, 70_000), parts(&bytes, &wire_sizes)).unwrap();
        prop_assert!(decoded == frames);
    }

    #[test]
    fn garbage_is_never_a_panic(bytes in vec(any::<u8>(), 0..400), sizes in vec(1usize..50, 1..4), is_client in any::<bool>()) {
        let role = if is_client { Role::Client } else { Role::Server };
        let _ = decode(&mut Decoder::new(role, 1000), parts(&bytes, &sizes));
    }

    #[test]
    fn nearly_right_bytes_are_never_a_panic(
        messages in vec(message(), 1..3),
        at in any::<usize>(),
        bit in 0u8..8,
        sizes in vec(1usize..5000, 1..4),
    ) {
        let mut bytes: Vec<u8> = messages.iter().flat_map(|message| message.wire(Some(MASK))).collect();
        let at = at % bytes.len().min(200);
        bytes[at] ^= 1 << bit;
        let mut decoder = Decoder::new(Role::Server, 10_000);
        let _ = decode(&mut decoder, parts(&bytes, &sizes));
        prop_assert!(decoder.held() <= 10_000 + LENGTH + MAX_HEADER + MAX_CONTROL);
    }
}

#[test]
fn a_fragmented_message_holds_no_more_than_a_message_may_have() {
    let mut decoder = Decoder::new(Role::Server, 100_000);
    let mut into = BytesMut::new();
    let mut first = true;
    for _ in 0..100 {
        let bytes = masked(if first { 2 } else { 0 }, &[9; 1000]);
        first = false;
        decoder.decode(&mut &bytes[..], &mut into).unwrap();
        assert!((1..=100_000 + LENGTH).contains(&decoder.held()), "{}", decoder.held());
    }
    assert!(into.is_empty(), "its length is not known before its end");
    let too_much = masked(0, &[9]);
    assert_eq!(decoder.decode(&mut &too_much[..], &mut into).unwrap_err().code, 1009);
}

#[test]
fn a_long_message_streams_through() {
    let mut decoder = Decoder::new(Role::Server, 1 << 24);
    let bytes = masked(0x82, &vec![5; 100_000]);
    let mut into = BytesMut::new();
    decoder.decode(&mut &bytes[..14], &mut into).unwrap();
    assert_eq!(into[..], [1, 134, 160], "the length comes with the header");
    decoder.decode(&mut &bytes[14..50_014], &mut into).unwrap();
    assert_eq!(into.len(), LENGTH + 50_000);
    assert!(decoder.held() <= MAX_HEADER);
}

#[test]
fn an_announced_length_reserves_nothing() {
    let mut decoder = Decoder::new(Role::Server, 1 << 24);
    let header = [2, 0xFF, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4, 5];
    let mut into = BytesMut::new();
    decoder.decode(&mut &header[..], &mut into).unwrap();
    assert!(decoder.held() < 100 && into.capacity() < 100);
}

#[test]
fn large_parts_of_a_frame_are_not_copied() {
    let mut batch = Batch::default();
    batch.push(BytesMut::from(&[1, 0, 0][..]));
    let payload = BytesMut::from(&vec![7; 65_536][..]);
    let place = payload.as_ptr();
    batch.push(payload);
    let mut out = Batch::default();
    Encoder::new(Role::Server).encode(&mut batch, 1 << 20, &mut out);
    assert_eq!(out.pop().unwrap()[..], [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(out.pop().unwrap().as_ptr(), place);
    assert!(out.is_empty());
}

#[test]
fn small_frames_become_one_chunk() {
    let mut batch = Batch::default();
    (0..100).for_each(|at| batch.push(BytesMut::from(&prefixed(&vec![at; usize::from(at)])[..])));
    let mut out = Batch::default();
    Encoder::new(Role::Server).encode(&mut batch, 1 << 20, &mut out);
    assert!(out.single().is_some());
}

#[test]
fn a_client_masks_every_frame_differently() {
    let mut batch = Batch::default();
    (0..8).for_each(|_| batch.push(BytesMut::from(&prefixed(&[0; 8])[..])));
    let mut out = Batch::default();
    Encoder::new(Role::Client).encode(&mut batch, 1 << 20, &mut out);
    let bytes = bytes_of(&mut out);
    let masks: std::collections::HashSet<_> = bytes.chunks(14).map(|frame| &frame[2..6]).collect();
    assert!(masks.len() > 4, "{bytes:?}");
    assert!(bytes.chunks(14).all(|frame| frame[6..10] == frame[2..6]), "zeros show the mask");
}

#[test]
fn a_pong_waits_for_the_end_of_the_message() {
    let (mut encoder, mut out) = (Encoder::new(Role::Server), Batch::default());
    let mut batch = Batch::default();
    batch.push(BytesMut::from(&prefixed(b"abcd")[..5]));
    encoder.encode(&mut batch, 100, &mut out);
    encoder.pong(b"!");
    assert!(!encoder.has_pongs(), "in the middle of a message nothing else can be written");
    assert_eq!(encoder.close(Some(1000)), None);
    batch.push(BytesMut::from(&[b"cd", &prefixed(b"x")[..]].concat()[..]));
    encoder.encode(&mut batch, 100, &mut out);
    assert_eq!(bytes_of(&mut out), b"\x82\x04abcd\x8A\x01!\x82\x01x");
}

#[test]
fn of_many_pings_only_the_newest_is_answered() {
    let (mut encoder, mut out) = (Encoder::new(Role::Server), Batch::default());
    (0..=16).for_each(|at| encoder.pong(&[at]));
    encoder.encode(&mut Batch::default(), 100, &mut out);
    assert_eq!(bytes_of(&mut out), [0x8A, 1, 16]);
    (0..16).for_each(|at| encoder.pong(&[at]));
    encoder.encode(&mut Batch::default(), 100, &mut out);
    assert_eq!(out.len(), 16 * 3, "16 may wait");
}
