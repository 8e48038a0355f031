//! See the parent.

use super::*;
use crate::store::TopicId;
use crate::store::record::Record;

const SEED: u64 = 99;

fn encoded() -> (Vec<u8>, Header) {
    let (segment, position) = (7, 4096 + 640);
    let header = Header {
        sequence: Sequence::at(segment, position),
        previous: Sequence::at(segment, 4096),
        synced: Sequence::at(6, 8192),
        ..Header::default()
    };
    let mut bytes = vec![0; HEADER];
    for offset in 0..3u64 {
        let content = vec![offset as u8; 50].into();
        Record::Message { topic: TopicId(1), offset, timestamp: 5, dedup: None, content }.encode(&mut bytes);
    }
    finish(&mut bytes, &header, SEED);
    (bytes, header)
}

#[test]
fn every_flipped_bit_of_a_group_is_noticed() {
    let (bytes, header) = encoded();
    assert_eq!(check(&bytes, header.sequence, SEED, true), Found::Group { header, len: bytes.len() });
    let end = HEADER + records(&bytes).len();
    for bit in 0..8 * end {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match check(&bytes, header.sequence, SEED, true) {
            Found::Nothing => {}
            // Only what the checksums and lengths in the table do not cover themselves.
            Found::Torn { header: found, len } => assert!(bit / 8 >= HEADER && found == header && len == bytes.len()),
            found => panic!("bit {bit}: {found:?}"),
        }
    }
}

#[test]
fn a_group_counts_only_where_it_was_written() {
    let (bytes, header) = encoded();
    assert_eq!(check(&bytes, header.sequence, SEED + 1, true), Found::Nothing, "another file's");
    let elsewhere = Sequence(header.sequence.0 + 1);
    assert_eq!(check(&bytes, elsewhere, SEED, true), Found::Nothing, "another place's");
    for len in 0..HEADER + records(&bytes).len() {
        assert!(matches!(check(&bytes[..len], header.sequence, SEED, false), Found::Short(needed) if needed > len));
        assert_eq!(check(&bytes[..len], header.sequence, SEED, true), Found::Nothing);
    }
}

#[test]
fn a_torn_group_is_told_from_what_another_life_of_the_file_left() {
    let (bytes, header) = encoded();
    let len = bytes.len() as u64;
    assert_eq!(torn(&bytes, 1 << 20, header.sequence, header.previous), len);
    assert_eq!(torn(&bytes, 100, header.sequence, header.previous), 100, "the file has no more");
    assert_eq!(torn(&bytes[..20], 20, header.sequence, header.previous), 20);
    for bit in 0..8 * 56 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(torn(&bytes, 1 << 20, header.sequence, header.previous), len, "bit {bit}");
    }
    let later = Sequence::at(9, 4096 + 640);
    assert_eq!(torn(&bytes, 1 << 20, later, Sequence::at(9, 4096)), 0, "of another life");
    assert_eq!(torn(&[0; HEADER], 1 << 20, header.sequence, header.previous), 0, "zeros");
}
