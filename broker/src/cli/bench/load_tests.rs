//! What the verbs of load count with.

use std::time::Duration;

use tokio::time::Instant;

use super::arrivals::Arrivals;
use super::bulk::{NUMBER_LEN, Pattern};
use super::figures::Figures;
use super::hosted::{Counts, management_address};
use super::memory::Memory;
use super::reader::{Beat, Gaps};
use super::requests;
use super::wire::{self, Frame};

const ROLLUP: &str = "\
55d0c4a00000-7ffc1b9fe000 ---p 00000000 00:00 0                          [rollup]
Rss:               10240 kB
Pss:                8192 kB
Pss_Dirty:          4000 kB
Shared_Clean:       2048 kB
Private_Clean:      4096 kB
Private_Dirty:      4096 kB
Swap:                  0 kB
";

const MIB: u64 = 1024 * 1024;

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn frame(bytes: &[u8]) -> Frame<'_> {
    assert_eq!(u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize, bytes.len() - 3);
    Frame::parse(&bytes[3..]).expect("a whole header")
}

#[test]
fn memory_is_what_the_rollup_says_under_exactly_these_names() {
    let memory = Memory::parse(ROLLUP).expect("well formed");
    assert_eq!(memory, Memory { resident: 10 * MIB, proportional: 8 * MIB, private: 4 * MIB });
    assert_eq!(Memory::parse(&ROLLUP.replace("Private_Dirty", "Private")), None);
    let before = Memory { resident: 9 * MIB, proportional: 8 * MIB, private: 5 * MIB };
    assert_eq!(memory.each_since(&before, 1024), [1024.0, 0.0, -1024.0]);
}

#[test]
fn what_the_broker_counts_is_read_by_name_and_label() {
    let metrics = "\
# TYPE towline_links_open gauge
towline_links_open{kind=\"memory\"} 2
towline_links_open{kind=\"app\"} 15000
towline_links_accepted_total 15001
towline_services_registered_by_nobody 3
towline_services_registered 15002
";
    let counts = Counts::parse(metrics);
    assert_eq!(counts, Some(Counts { links: 15_000, accepted: 15_001, services: 15_002 }));
    assert_eq!(Counts::parse(&metrics.replace("kind=\"app\"", "kind=\"peer\"")), None);
}

#[test]
fn the_ready_line_tells_the_management_address() {
    let line = "towline ready tcp://127.0.0.1:4711 management=http://127.0.0.1:4712";
    assert_eq!(management_address(line).map(|at| at.port()), Some(4712));
    assert_eq!(management_address("towline ready tcp://127.0.0.1:4711"), None);
}

#[test]
fn the_worst_second_is_found_wherever_it_begins() {
    let mut arrivals = Arrivals::default();
    // 50 in the first second, 200 within one that begins in its middle, 30 later.
    for (at, count) in [(0, 0), (500, 50), (900, 150), (1500, 250), (1501, 250), (2600, 260), (4000, 280), (9000, 280)]
    {
        arrivals.record(ms(at), count);
    }
    assert_eq!(arrivals.worst_and_mean(), (200.0, 70.0));
}

#[test]
fn whoever_comes_within_one_second_came_evenly() {
    let mut arrivals = Arrivals::default();
    assert_eq!(arrivals.worst_and_mean(), (0.0, 0.0));
    // What was there before does not count.
    [(0, 1000), (5000, 1000), (5020, 1600), (5040, 2000)].into_iter().for_each(|(at, n)| arrivals.record(ms(at), n));
    assert_eq!(arrivals.worst_and_mean(), (1000.0, 1000.0));
}

#[test]
fn a_gap_is_the_time_between_two_items() {
    let begin = Instant::now();
    let mut beat = Beat::since(begin);
    let gaps = [100, 150, 400].map(|at| beat.item(begin + ms(at)) / 1_000_000);
    assert_eq!((gaps, beat.count), ([100, 50, 250], 3));
    assert_eq!(beat.waits(begin + ms(1400)), 1_000_000_000);
}

#[test]
fn the_slowest_stream_is_told_over_the_mean() {
    let gaps = |counts: &[u64]| Gaps { counts: counts.to_vec(), ..Gaps::new() };
    assert_eq!(gaps(&[100, 100, 40, 160]).slowest_over_mean(), 0.4);
    assert_eq!(gaps(&[100, 0]).slowest_over_mean(), 0.0);
    assert_eq!(gaps(&[]).slowest_over_mean(), 0.0);
    let mut all = gaps(&[30]);
    all.merge(&gaps(&[10]));
    assert_eq!((all.items(), all.slowest_over_mean()), (40.0, 0.5));
}

#[test]
fn a_message_in_any_fragments_is_the_message_and_no_other_one_is() {
    const SIZE: usize = 4096;
    let pattern = Pattern::new(SIZE);
    for number in [0, 7, u64::MAX] {
        let mut whole = Vec::new();
        pattern.put(&mut whole, number, 0, SIZE);
        assert_eq!(whole[..NUMBER_LEN], number.to_be_bytes());
        assert_eq!(whole.len(), SIZE);
        for fragment in [1, 3, 1000, SIZE] {
            let mut pieces = Vec::new();
            (0..SIZE).step_by(fragment).for_each(|at| pattern.put(&mut pieces, number, at, fragment.min(SIZE - at)));
            assert_eq!(pieces, whole, "in fragments of {fragment}");
        }
        assert!(pattern.is_exact(number, NUMBER_LEN, &whole[NUMBER_LEN..]));
        assert!(pattern.is_exact(number, 1001, &whole[1001..1500]));
        assert!(!pattern.is_exact(number, 1000, &whole[1001..1500]), "a place further on");
        assert!(!pattern.is_exact(number ^ 1, 1001, &whole[1001..1500]), "another message");
        assert!(!pattern.is_exact(number, NUMBER_LEN, &vec![0; 9 * SIZE]), "longer than any");
        whole[1400] ^= 1;
        assert!(!pattern.is_exact(number, 1001, &whole[1001..1500]), "one bit");
    }
}

#[test]
fn a_stream_says_how_many_items_and_which_service() {
    let mut out = Vec::new();
    requests::put_stream(&mut out, 5, 32, "bench.Paced");
    let stream = frame(&out);
    assert_eq!((stream.stream_id, stream.kind, stream.flags), (5, requests::REQUEST_STREAM, wire::METADATA));
    assert_eq!(requests::requested(stream.body), 32);
    let mut expected = vec![0, 0, 0, 32, 0, 0, 26];
    expected.extend_from_slice(b"\xfe\x00\x00\x11\x10bench.Paced.call\xfa\x00\x00\x01\x86");
    assert_eq!(stream.body, expected);

    out.clear();
    requests::put_request_n(&mut out, 5, 16);
    assert_eq!((frame(&out).kind, requests::requested(frame(&out).body)), (requests::REQUEST_N, 16));
    assert_eq!(requests::requested(b"\0\0"), 0);
}

#[test]
fn a_setup_publishes_the_service_of_its_own() {
    let mut out = Vec::new();
    wire::put_setup(&mut out, "crowd-7", fastrand::u128(..), Some("crowd.Service7"));
    let text = String::from_utf8_lossy(frame(&out).body).into_owned();
    assert!(
        text.contains(r#"{"published":[{"group":"","gsv":"crowd.Service7","service":"crowd.Service7","version":""}]}"#),
        "{text}"
    );
    let mut thin = Vec::new();
    wire::put_setup(&mut thin, "crowd-7", fastrand::u128(..), None);
    assert!(!String::from_utf8_lossy(frame(&thin).body).contains("published"));
    assert_eq!(frame(&thin).body[..13], [0, 1, 0, 0, 0, 0, 0x4e, 0x20, 0, 1, 0x5f, 0x90, 39]);
}

#[test]
fn figures_are_numbers_by_name() {
    let mut found = Figures::new("idle", serde_json::json!({"connections": 3}));
    found.add("disconnects", "connections that ended", 0.0);
    found.add("idle_cpu_cores", "CPU while idle", 0.125);
    let json = found.json();
    assert_eq!((&json["verb"], &json["shape"]["connections"]), (&"idle".into(), &3.into()));
    assert_eq!(
        (json["figures"]["disconnects"].as_f64(), json["figures"]["idle_cpu_cores"].as_f64()),
        (Some(0.0), Some(0.125))
    );
    assert!(found.table().contains("0.125"), "{}", found.table());
}
