use std::time::Duration;

use super::children::ready_address;
use super::client::{Sample, Shape};
use super::compare::{Round, Spread, ratio, undisturbed};
use super::cpu::{machine_seconds, process_seconds};
use super::defibus::{DeFiBus, messages, property};
use super::flight::Flight;
use super::histogram::Histogram;
use super::nats::{Line, read_line};
use super::remoting::{Command, put_command, read_command};
use super::report::{self, Comparison, Mark, Quantity, Run};
use super::rsocket::{Calls, Template};
use super::sides::Peer;
use super::talk::{Heard, Talk};
use super::wire::{self, Frame, Inbox, Link};

fn inbox_of(bytes: &[u8]) -> Inbox {
    let mut inbox = Inbox::new(64);
    put(&mut inbox, bytes);
    inbox
}

fn put(inbox: &mut Inbox, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let room = inbox.room();
        let len = room.len().min(bytes.len());
        room[..len].copy_from_slice(&bytes[..len]);
        inbox.filled(len);
        bytes = &bytes[len..];
    }
}

/// A connection that nobody reads, with these bytes come over it.
pub(super) async fn link_with(bytes: &[u8]) -> Link {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let mut link = Link::new(stream, 64).unwrap();
    put(&mut link.inbox, bytes);
    link
}

fn only_frame(bytes: &[u8]) -> Frame<'_> {
    let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
    assert_eq!(length, bytes.len() - 3, "the length prefix counts the frame");
    Frame::parse(&bytes[3..]).expect("a whole header")
}

#[test]
fn a_request_has_the_bytes_of_plain_client_md() {
    let mut out = Vec::new();
    let mut calls = Calls::new(&Calls::templates(Shape::new(1, 1, 2)), 2);
    calls.request(&mut out, 0x0102_0305);
    let mut expected = vec![0, 0, 6 + 3 + 25 + 2, 1, 2, 3, 5, 0x11, 0x00, 0, 0, 25];
    expected.extend_from_slice(b"\xfe\x00\x00\x10\x0fbench.Echo.echo\xfa\x00\x00\x01\x86\x00\x01");
    assert_eq!(out, expected);
    assert_eq!(only_frame(&out).data(), Some(&b"\x00\x01"[..]));
}

#[test]
fn a_request_in_fragments_has_its_id_in_each() {
    let template = Template::new(wire::REQUEST_RESPONSE, b"", b"meta", &[7; 25], 10);
    let mut out = Vec::new();
    template.put(&mut out, 9);
    let mut inbox = inbox_of(&out);
    let mut seen = Vec::new();
    while let Some(frame) = inbox.next_frame().unwrap() {
        seen.push((frame.stream_id, frame.kind, frame.has(wire::FOLLOWS), frame.data().unwrap().len()));
    }
    assert_eq!(
        seen,
        [(9, wire::REQUEST_RESPONSE, true, 10), (9, wire::PAYLOAD, true, 10), (9, wire::PAYLOAD, false, 5)]
    );
}

#[test]
fn a_line_of_nats_is_whole_or_waited_for() {
    let wire =
        b"INFO {}\r\nMSG bench.echo 1 _INBOX.a.7 5\r\nh\r\nlo\r\nMSG _INBOX.a.7 2 0\r\n\r\nPING\r\n-ERR 'slow'\r\n";
    let (line, info) = read_line(wire).unwrap().unwrap();
    assert_eq!(line, Line::Other);
    let rest = &wire[info..];
    let (line, len) = read_line(rest).unwrap().unwrap();
    assert_eq!(line, Line::Msg { subject: "bench.echo", reply: Some("_INBOX.a.7"), payload: b"h\r\nlo" });
    assert!((0..len).all(|cut| read_line(&rest[..cut]).unwrap().is_none()), "a part of it is none");
    let rest = &rest[len..];
    let (line, len) = read_line(rest).unwrap().unwrap();
    assert_eq!(line, Line::Msg { subject: "_INBOX.a.7", reply: None, payload: b"" });
    let rest = &rest[len..];
    assert_eq!(read_line(rest).unwrap(), Some((Line::Ping, 6)));
    assert_eq!(read_line(&rest[6..]).unwrap(), Some((Line::Error("-ERR 'slow'"), 13)));
    assert!(read_line(b"MSG only two\r\n").is_err());
}

#[test]
fn a_command_of_rocketmq_is_whole_or_waited_for() {
    let header = br#"{"code":0,"extFields":{"queueOffset":"4"},"flag":1,"opaque":5}"#;
    let wire = [&(4 + header.len() as u32 + 2).to_be_bytes()[..], &(header.len() as u32).to_be_bytes(), header, b"ok"]
        .concat();
    assert!((0..wire.len()).all(|cut| read_command(&wire[..cut]).unwrap().is_none()));
    let (Command { header, body }, len) = read_command(&wire).unwrap().unwrap();
    assert_eq!((header.code, header.opaque, header.is_answer(), body, len), (0, 5, true, &b"ok"[..], wire.len()));
    assert_eq!((header.field("queueOffset"), header.field("offset")), (Some("4"), None));
    for (whole, header) in [(4u32, 9u32), (3, 0), (4, 0)] {
        let odd = [whole.to_be_bytes(), header.to_be_bytes()].concat();
        assert!(read_command(&odd).is_err(), "{whole} {header}");
    }
}

/// A message as DeFiBus stores it.
fn stored(body: &[u8], properties: &str) -> Vec<u8> {
    let rest = [&[7; 80][..], &(body.len() as u32).to_be_bytes(), body, b"\x05bench"].concat();
    let rest = [&rest[..], &(properties.len() as u16).to_be_bytes(), properties.as_bytes()].concat();
    [&(4 + rest.len() as u32).to_be_bytes()[..], &rest].concat()
}

#[test]
fn messages_of_defibus_are_read_whole_or_refused() {
    let wire = [stored(b"one", "REPLY_TO\x01me\x02RR_REQUEST_UNIQ_ID\x019\x02"), stored(b"", "")].concat();
    let found = messages(&wire).unwrap();
    assert_eq!(found.iter().map(|message| &message.body[..]).collect::<Vec<_>>(), [&b"one"[..], b""]);
    let asked = &found[0].properties;
    assert_eq!((property(asked, "REPLY_TO"), property(asked, "RR_REQUEST_UNIQ_ID")), (Some("me"), Some("9")));
    assert_eq!(property(&found[1].properties, "REPLY_TO"), None);
    let first = stored(b"one", "REPLY_TO\x01me\x02RR_REQUEST_UNIQ_ID\x019\x02").len();
    assert!((1..wire.len()).filter(|cut| *cut != first).all(|cut| messages(&wire[..cut]).is_err()));
    assert!(messages(&[0; 8]).is_err(), "a length of nothing ends");
}

#[tokio::test]
async fn a_call_of_defibus_is_answered_by_what_the_broker_pushes() {
    let mut talk = DeFiBus::calls(Shape::new(1, 1, 3));
    let mut out = Vec::new();
    talk.request(&mut out, 9);
    let (request, _) = read_command(&out).unwrap().unwrap();
    let properties = request.header.field("i").unwrap().to_owned();
    assert_eq!((request.body, property(&properties, "RR_REQUEST_UNIQ_ID")), (&[0, 1, 2][..], Some("9")));
    let mut come = Vec::new();
    // Stored; then the answer, which is a request of the broker's own.
    put_command(&mut come, format_args!(r#"{{"code":0,"flag":1,"opaque":9}}"#), b"");
    let fields = serde_json::json!({ "properties": properties });
    put_command(&mut come, format_args!(r#"{{"code":400,"flag":2,"opaque":77,"extFields":{fields}}}"#), &[0, 1, 2]);
    put_command(&mut come, format_args!(r#"{{"code":14,"flag":1,"opaque":9,"remark":"full"}}"#), b"");
    let mut link = link_with(&come).await;
    assert_eq!(talk.hear(&mut link).unwrap(), Some(Heard::Other));
    assert_eq!(talk.hear(&mut link).unwrap(), Some(Heard::Answer { id: 9, is_right: true }));
    assert_eq!(talk.hear(&mut link).unwrap_err().to_string(), "DeFiBus: 14 full");
}

#[test]
fn a_peer_has_name_kind_address_and_pid() {
    for right in ["nats=nats://127.0.0.1:4222?pid=7", "other=defibus://127.0.0.1:10911?pid=7"] {
        assert!(right.parse::<Peer>().is_ok(), "{right}");
    }
    for wrong in [
        "nats",
        "x=http://127.0.0.1:1?pid=7",
        "x=nats://127.0.0.1:1",
        "x=nats://here?pid=7",
        "A=nats://127.0.0.1:1?pid=7",
    ] {
        assert!(wrong.parse::<Peer>().is_err(), "{wrong}");
    }
}

#[test]
fn a_setup_has_the_fixed_part_and_both_entries() {
    let mut out = Vec::new();
    wire::put_setup(&mut out, "bench-responder", 7, ["bench.Echo"]);
    let frame = only_frame(&out);
    assert_eq!((frame.stream_id, frame.kind, frame.flags), (0, wire::SETUP, wire::METADATA));
    assert_eq!(frame.body[..13], [0, 1, 0, 0, 0, 0, 0x4e, 0x20, 0, 1, 0x5f, 0x90, 39]);
    let text = String::from_utf8_lossy(frame.body).into_owned();
    assert!(text.contains(r#""uuid":"00000000000000000000000000000007""#), "{text}");
    assert!(
        text.contains(r#"{"published":[{"group":"","gsv":"bench.Echo","service":"bench.Echo","version":""}]}"#),
        "{text}"
    );
    let metadata = &frame.body[13 + 39 + 1 + 24..];
    assert_eq!(u32::from_be_bytes([0, metadata[0], metadata[1], metadata[2]]) as usize, metadata.len() - 3);
    assert_eq!(metadata[3], 0xD1);
}

#[test]
fn a_keepalive_is_answered_once_with_its_data() {
    let (mut asked, mut answer) = (Vec::new(), Vec::new());
    wire::put_keepalive(&mut asked, true, b"x");
    wire::answer_keepalive(&mut answer, &only_frame(&asked));
    assert_eq!(answer, [0, 0, 15, 0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'x']);
    let mut nothing = Vec::new();
    wire::answer_keepalive(&mut nothing, &only_frame(&answer));
    assert!(nothing.is_empty());
}

#[test]
fn metadata_that_overruns_its_frame_has_no_data() {
    let body = [0, 0, 9, 1, 2];
    assert_eq!(Frame { stream_id: 1, kind: wire::PAYLOAD, flags: wire::METADATA, body: &body }.data(), None);
    assert_eq!(Frame { stream_id: 1, kind: wire::PAYLOAD, flags: wire::NEXT, body: &body }.data(), Some(&body[..]));
}

#[test]
fn an_error_shows_code_and_text() {
    let frame = Frame { stream_id: 1, kind: wire::ERROR, flags: 0, body: b"\0\0\x02\x04RST-900404: no" };
    assert_eq!(frame.error_text(), "0x00000204 RST-900404: no");
}

#[test]
fn frames_are_found_however_the_bytes_arrive() {
    let mut bytes = Vec::new();
    for (stream_id, len) in [(1, 0), (3, 5), (5, 300), (7, 1)] {
        wire::put_answer(&mut bytes, stream_id, &vec![stream_id as u8; len]);
    }
    for step in [1, 2, 7, 64, 1000] {
        let mut inbox = Inbox::new(16);
        let (mut rest, mut seen) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let room = inbox.room();
            let len = step.min(rest.len()).min(room.len());
            room[..len].copy_from_slice(&rest[..len]);
            inbox.filled(len);
            rest = &rest[len..];
            while let Some(frame) = inbox.next_frame().expect("well formed") {
                seen.push((frame.stream_id, frame.body.len()));
            }
        }
        assert_eq!(seen, [(1, 0), (3, 5), (5, 300), (7, 1)], "{step} bytes at a time");
    }
}

#[test]
fn a_frame_without_a_header_is_refused() {
    let mut inbox = Inbox::new(16);
    inbox.room()[..5].copy_from_slice(&[0, 0, 2, 1, 1]);
    inbox.filled(5);
    assert!(inbox.next_frame().is_err());
}

#[test]
fn stream_ids_wrap_and_skip_what_is_outstanding() {
    let mut flight = Flight::at(2, 0x7FFF_FFFD);
    let (first, second) = (flight.begin(10), flight.begin(20));
    assert_eq!((first, second), (0x7FFF_FFFD, 0x7FFF_FFFF));
    assert_eq!(flight.end(second), Some(20));
    assert_eq!(flight.begin(30), 1);
    assert_eq!(flight.end(1), Some(30));
    // Four places: 3 stands where 1 + 2 stands, 5 where 0x7FFF_FFFD stands.
    assert_eq!(flight.begin(40), 3);
    assert_eq!(flight.end(3), Some(40));
    assert_eq!(flight.begin(50), 7, "5 has the place of the outstanding first id");
    assert_eq!(flight.outstanding, 2);
}

#[test]
fn only_outstanding_ids_end_and_only_once() {
    let mut flight = Flight::new(4);
    let id = flight.begin(1);
    assert_eq!((flight.end(0), flight.end(id + 2), flight.end(id + 0x1000)), (None, None, None));
    assert_eq!((flight.end(id), flight.end(id), flight.outstanding), (Some(1), None, 0));
}

#[test]
fn quantiles_are_within_one_hundredth() {
    let mut latencies = Histogram::new();
    (1..=100_000).for_each(|nanos| latencies.record(nanos));
    for (share, exact) in [(0.001, 100.0), (0.5, 50_000.0), (0.99, 99_000.0), (1.0, 100_000.0)] {
        let off = (latencies.quantile(share) as f64 - exact).abs() / exact;
        assert!(off < 0.01, "{share}: {}", latencies.quantile(share));
    }
    latencies.record(u64::MAX);
    assert!(latencies.quantile(1.0) > Duration::from_secs(2000).as_nanos() as u64);
    assert_eq!(Histogram::new().quantile(0.5), 0);
    let mut both = Histogram::new();
    both.record(7);
    both.merge(&latencies);
    assert_eq!(both.quantile(0.0), 1);
}

#[test]
fn the_median_of_an_even_number_is_between() {
    assert_eq!(Spread::of([]), None);
    assert_eq!(Spread::of([4.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 4.0 }));
    assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
}

fn sample(rate: f64, foreign_cores: f64) -> Sample {
    Sample {
        rate,
        p50_us: 20.0,
        p99_us: 40.0,
        server_cpu_us: 0.5,
        load_cpu_us: 2.0,
        foreign_cores,
        behind: 0,
        wrong: 0,
        server_bytes: 1 << 20,
    }
}

fn round(a: f64, broker: f64, foreign: f64) -> Round {
    Round { samples: vec![sample(a, 0.0), sample(broker, foreign), sample(10.0, 0.0)] }
}

#[test]
fn ratios_are_paired_by_round() {
    let rounds = [round(100.0, 50.0, 0.0), round(400.0, 240.0, 0.0), round(200.0, 80.0, 0.0)];
    assert_eq!(ratio(&rounds, 0, |sample| sample.rate), Some(Spread { median: 0.5, min: 0.4, max: 0.6 }));
    assert_eq!(ratio(&rounds, 2, |sample| sample.rate), Some(Spread { median: 8.0, min: 5.0, max: 24.0 }));
}

#[test]
fn disturbed_rounds_go_only_while_three_remain() {
    let (disturbed, calm) = (|| round(1.0, 1.0, 0.6), || round(1.0, 1.0, 0.5));
    assert_eq!(undisturbed(&[calm(), disturbed(), calm(), calm()]).len(), 3);
    assert_eq!(undisturbed(&[calm(), disturbed(), calm(), disturbed()]).len(), 4);
}

#[test]
fn cpu_time_is_found_behind_any_process_name() {
    let stat = "42 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 150 50 7 13 20 0";
    let time = process_seconds(stat).expect("well formed");
    assert_eq!((time.own, time.with_reaped), (2.0, 2.2));
    assert!(process_seconds("42 (cut) S 1").is_none());
}

#[test]
fn busy_time_leaves_idle_and_interrupts_out() {
    let time = machine_seconds("cpu  100 10 90 5000 7 3 2 50 1 1\ncpu0 1 2 3\n").expect("well formed");
    assert_eq!((time.busy, time.stolen), (2.0, 0.5));
    assert!(machine_seconds("intr 1").is_none());
}

#[test]
fn the_ready_line_tells_the_address() {
    let address = |line| ready_address(line, "towline ready").map(|address| address.to_string());
    assert_eq!(address("towline ready tcp://127.0.0.1:4711 http off").as_deref(), Some("127.0.0.1:4711"));
    assert_eq!(address("towline ready (tcp://[::1]:99, management 127.0.0.1:7)").as_deref(), Some("[::1]:99"));
    assert_eq!(address("starting tcp://127.0.0.1:4711"), None);
    assert_eq!(address("towline ready unix:///run/towline"), None);
}

#[test]
fn the_report_holds_ratios_and_marks() {
    let shape = Shape::new(8, 32, 128);
    let mark = |number, shape, over, quantity, first, goal| Mark { number, shape, over, quantity, first, goal };
    let marks = [
        mark("1", shape, "A", Quantity::Rate, 0.5, 1.0),
        mark("2", Shape { size: 9, ..shape }, "A", Quantity::Rate, 0.5, 1.0),
        mark("5", shape, "A", Quantity::Cpu, 2.5, 0.9),
        mark("6", shape, "nats", Quantity::Rate, 2.0, 8.0),
        mark("8", shape, "nobody", Quantity::Rate, 2.0, 8.0),
    ];
    let comparisons = [Comparison { shape, rounds: vec![round(100.0, 75.0, 0.1)] }];
    let sides = ["A", "broker", "nats"].map(str::to_owned).to_vec();
    let run = Run { verb: "rpc", unit: "round trips", yardstick: report::RELAY, sides };
    let json = report::json(&run, &comparisons, &marks);
    let shape = &json["shapes"][0];
    assert_eq!(shape["ratios"]["A"]["rate"]["median"], 0.75);
    assert_eq!(
        (&shape["ratios"]["nats"]["rate"]["median"], &shape["sides"]["nats"]["rate"]),
        (&7.5.into(), &10.0.into())
    );
    assert_eq!(
        (&shape["rounds"][0]["broker"]["rate"], &shape["ratios"]["broker"]),
        (&75.0.into(), &serde_json::Value::Null)
    );
    let numbers: Vec<_> = json["marks"].as_array().unwrap().iter().map(|mark| mark["mark"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["1", "5", "6"], "a shape or a side that was not measured has no mark");
    assert_eq!((&json["marks"][0]["first_met"], &json["marks"][0]["goal_met"]), (&true.into(), &false.into()));
    assert_eq!(json["marks"][1]["goal_met"], false, "CPU: less is better");
    let table = report::table(&run, &comparisons, &marks);
    assert!(table.contains("8x32 128 B") && table.contains("0.75 (0.75..0.75)"), "{table}");
}
