use bytes::BytesMut;
use std::time::Duration;
use towline_rsocket::frame::{PayloadParts, SetupParts, flags};
use towline_rsocket::metadata::auth::bearer;
use towline_rsocket::metadata::routing::write_tags;
use towline_rsocket::metadata::{CompositeBuilder, Mime, mime};
use towline_rsocket::transport::Batch;
use towline_rsocket::transport::websocket::{Encoder, Role};
use towline_rsocket::{ErrorCode, Frame, FrameType};

const UUID: &str = "11111111-2222-4333-8444-555555555555";
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: https://o\r\n\
    Sec-WebSocket-Protocol: rsocket\r\n\r\nrest";

/// What a target's corpus begins with: a name and the bytes.
pub fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    let seeds = match target {
        "frame" => frames().iter().map(|frame| frame.view().bytes().to_vec()).collect(),
        "codec" => vec![[&[2], &wire(&frames())[..]].concat()],
        "fragments" => vec![
            wire(&frames()),
            wire(&fragments(b"tags", b"data")),
            [&[1, 9, 7, 1, 40][..], &[b'x'; 400]].concat(),
            [&[0, 0, 0, 1, 0][..], &[b'x'; 100]].concat(),
        ],
        "composite" | "route" => vec![entries(), tags(), with_deadline(), binary()],
        "mimes" => {
            vec![vec![0x85], b"\x0fapplication/json".to_vec(), b"\x10application/json".to_vec(), vec![0x85, 0xA6]]
        }
        "tags" => vec![tags()],
        "log_record" | "log_group" | "log_snapshot" => towline::fuzzing::log_seeds(&target["log_".len()..]),
        "credentials" => vec![bearer("token"), b"\x80\0\x04userpassword".to_vec(), b"\x05simple\0\x01up".to_vec()],
        "websocket" => vec![from_client(), from_server(), controls()],
        "upgrade" => vec![
            [&[9], UPGRADE.as_bytes()].concat(),
            b"\0HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
                .to_vec(),
        ],
        "arguments" => vec![
            b"\0\x83\xa6userId\x07\xa5names\x91\xa1x\xa4note\xcb\x3f\xe0\0\0\0\0\0\0".to_vec(),
            b"\0\x93\x07\x91\xa1x\xc0".to_vec(),
            b"\x01[7, [\"x\"], 0.5, null]".to_vec(),
            b"\x01{\"user_id\": 7, \"names\": []}".to_vec(),
        ],
        "errors" => texts(&[
            r#" {"code":"unknown-topic","message":"m","next":"n","detail":{"topic":"orders"}}"#,
            "\u{1}RST-900503: busy retry-after-ms=25",
            "\u{2}RST-900404: none",
            "\0g!com.acme.User:2",
        ]),
        "answering" => [&b"[7,[\"x\"],null]"[..], b"{\"userId\":1,\"names\":[]}"].map(call).to_vec(),
        "config" => texts(&[
            "[listen]\naddresses = [\"tcp://127.0.0.1:9999\", \"unix:///run/t.sock\"]\nsetup_timeout = \"5s\"\n",
            "[relay]\nbudget = \"64MiB\"\nstrict_credit = true\nlease_requests = 7\n[shutdown]\ngrace = \"1500ms\"\n",
            "listen.addresses = \"ws://[::1]:1,tls://0.0.0.0:2\"\nlisten.insecure = true\nlog.format = \"json\"\n",
            "management.address = \"off\"\nlog.level = \"info,towline::link=debug\"\nlisten.origins = [\"*\"]\n",
            "[relay]\nbudgte = 7\n",
        ]),
        "setup" => vec![setup(&described()).view().bytes().to_vec(), setup(b"").view().bytes().to_vec()],
        "event" => {
            let event = |kind: &str, data: &str| {
                format!(r#"{{"source":"app://{UUID}/","type":"com.alibaba.rsocket.events.{kind}","data":{data}}}"#)
            };
            let services = format!(r#"{{"appId":"{UUID}","services":[{{"service":"a.B","version":"2"}}]}}"#);
            let status = event("AppStatusEvent", &format!(r#"{{"id":"{UUID}","status":1}}"#));
            vec![
                CompositeBuilder::new().entry(mime::CLOUDEVENTS_JSON, status.as_bytes()).finish().to_vec(),
                event("ServicesExposedEvent", &services).into_bytes(),
                event("PortsUpdateEvent", &format!(r#"{{"appId":"{UUID}","rsocketPorts":{{"1":"tcp"}},"webPort":2}}"#))
                    .into_bytes(),
            ]
        }
        "reframe" => {
            requests(&[entries(), tags(), with_deadline()]).iter().map(|f| f.view().bytes().to_vec()).collect()
        }
        "gathering" => vec![wire(&fragments(&with_deadline(), b"data")), wire(&fragments(&tags(), b""))],
        "hessian" => vec![
            b"\x71\x07[object\x92".to_vec(),
            b"\x71\x07[object\x01*".to_vec(),
            "R\0\u{2}\u{670d}\u{52a1}S\0\u{2}😀".as_bytes().to_vec(),
            b"\x7cNI\x7f\xff\xff\xff\xc7\0\xd4\x01\x02".to_vec(),
        ],
        "relay" | "engine" => scripts(),
        _ => Vec::new(),
    };
    seeds.into_iter().enumerate().map(|(nth, seed)| (format!("seed-{nth:02}"), seed)).collect()
}

fn wire(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.wire().to_vec()).collect()
}

fn tags() -> Vec<u8> {
    write_tags(["g!a.B.call:2?sticky=1", "e=id:1", "t.zone=a"]).expect("tags are short").to_vec()
}

fn entries() -> Vec<u8> {
    let json = mime::JSON;
    let entries = CompositeBuilder::new().entry(mime::ROUTING, &tags()).message_mime(json).accept_mimes(&[json]);
    entries.entry(Mime::Name(b"x/y"), b"z").finish().to_vec()
}

fn with_deadline() -> Vec<u8> {
    let deadline = Mime::Name(b"message/x.towline.deadline.v0");
    CompositeBuilder::new().entry(deadline, &[0, 0, 5, 0xDC]).entry(mime::ROUTING, &tags()).finish().to_vec()
}

fn binary() -> Vec<u8> {
    CompositeBuilder::new().entry(mime::BINARY_ROUTING, b"aaaabbbbccccg!a.B.m:2?sticky=1&").finish().to_vec()
}

fn described() -> Vec<u8> {
    let app =
        format!(r#"{{"name":"shop","uuid":"{UUID}","ip":null,"sdk":"towline","metadata":{{"weight":"3","a":1}}}}"#);
    let registry = r#"{"published":[{"service":"a.B","group":"g","version":"2"},{"service":"c.D"}]}"#;
    CompositeBuilder::new()
        .entry(mime::APPLICATION, app.as_bytes())
        .entry(mime::SERVICE_REGISTRY, registry.as_bytes())
        .finish()
        .to_vec()
}

fn setup(metadata: &[u8]) -> Frame {
    Frame::setup(SetupParts {
        keepalive: Duration::from_secs(20),
        lifetime: Duration::from_secs(90),
        metadata_mime: "message/x.rsocket.composite-metadata.v0",
        data_mime: "application/json",
        metadata: Some(metadata),
        data: b"",
    })
}

fn requests(metadata: &[Vec<u8>]) -> Vec<Frame> {
    let kinds = [FrameType::RequestResponse, FrameType::RequestStream, FrameType::RequestChannel];
    let parts = |metadata| PayloadParts { metadata: Some(metadata), data: b"data" };
    kinds.iter().zip(metadata).map(|(kind, metadata)| Frame::request(*kind, 1, 0, 7, parts(metadata))).collect()
}

fn frames() -> Vec<Frame> {
    let parts = PayloadParts { metadata: None, data: b"data" };
    let mut frames = requests(&[entries(), tags(), Vec::new()]);
    frames.extend([
        setup(b"m"),
        Frame::request(FrameType::RequestFnf, 3, flags::FOLLOWS, 0, parts),
        Frame::payload(3, flags::NEXT | flags::COMPLETE, parts),
        Frame::request_n(1, 7),
        Frame::cancel(1),
        Frame::error(1, ErrorCode::REJECTED, "no"),
        Frame::keepalive(true, b"data"),
        Frame::metadata_push(b"m"),
        Frame::lease(Duration::from_secs(1), 7),
    ]);
    frames
}

/// A request, its metadata cut every five bytes.
fn fragments(metadata: &[u8], data: &[u8]) -> Vec<Frame> {
    let mut frames: Vec<_> = metadata
        .chunks(5)
        .map(|piece| {
            let parts = PayloadParts { metadata: Some(piece), data: b"" };
            Frame::payload(1, flags::NEXT | flags::FOLLOWS, parts)
        })
        .collect();
    let first = PayloadParts { metadata: Some(&metadata[..metadata.len().min(5)]), data: b"" };
    frames[0] = Frame::request(FrameType::RequestResponse, 1, flags::FOLLOWS, 0, first);
    frames.push(Frame::payload(1, flags::NEXT, PayloadParts { metadata: None, data }));
    frames
}

/// What a server sends: a PONG, and each frame in a message.
fn from_server() -> Vec<u8> {
    let (mut encoder, mut batch, mut out) = (Encoder::new(Role::Server), Batch::default(), Batch::default());
    encoder.pong(b"pong");
    batch.push(BytesMut::from(&wire(&frames())[..]));
    encoder.encode(&mut batch, usize::MAX, &mut out);
    let mut seed = vec![1, 3];
    while let Some(chunk) = out.pop() {
        seed.extend_from_slice(&chunk);
    }
    seed
}

/// Two messages as a client sends them, masked with zeros: a real mask would be another one every time.
fn from_client() -> Vec<u8> {
    let heads = [0, 3, 0x82, 0x84, 0, 0, 0, 0, 1, 2, 3, 4, 0x82, 0xFE, 0, 0x7E, 0, 0, 0, 0];
    [&heads[..], &[5; 126]].concat()
}

/// A message in continuation frames with control frames between, as a client sends it.
fn controls() -> Vec<u8> {
    let mask = [0; 4];
    let frame = |first: u8, payload: &[u8]| [&[first, 0x80 | payload.len() as u8], &mask[..], payload].concat();
    let frames = [frame(0x02, b"ab"), frame(0x89, b"ping"), frame(0x00, b"c"), frame(0x8A, b""), frame(0x80, b"d")];
    [vec![0, 0], frames.concat(), frame(0x88, &[3, 0xE8, b'x'])].concat()
}

/// For the app side: an encoding, an interaction, metadata and these arguments in JSON.
fn call(arguments: &[u8]) -> Vec<u8> {
    let tags = write_tags(["test.Probe.put"]).expect("a short tag");
    let metadata = CompositeBuilder::new().entry(mime::ROUTING, &tags).message_mime(mime::JSON).finish();
    [&[0, 0][..], &(metadata.len() as u16).to_be_bytes(), &metadata, arguments].concat()
}

/// See `script.rs`: a request from the third peer, answered by the first two; a stream, credit and its end; fragments;
/// a cut; a peer that leaves and comes back; bytes that are no frame.
fn scripts() -> Vec<Vec<u8>> {
    let (third, turn, answer) = (0x80, 6, 14);
    vec![
        vec![third, 0, 1, 0, 0, 10, 5, answer, 0x40 | answer, third | turn],
        vec![third, 3, 1, 0, 2, 10, 5, turn, 0x40 | turn, 0, 7, 1, 0x08, 0, 0, 3, 0, 9, 1, 0, 0, 0, 3, third | turn],
        vec![0x40, 5, 1, 0, 3, 2, 5, turn, 0x40, 7, 1, 0x08, 0, 0, 9, 0x40, 11, 1, 0, 0, 0, 0, answer],
        vec![0x40, 0, 1, 0x20, 0, 11, 20, 0, turn, 0x40, 7, 1, 0x08, 0, 12, 20, 5, answer, 0x40 | turn],
        vec![third | 5, 4, 3, 0, 4, 10, 50, 9, 15, 0, 2, third | turn, 7, 0x40 | 15, answer],
        // Events of the first peer; a peer that says another SETUP; more requests than may be open.
        vec![0, 15, 0, 0, 0, 14, 0, 2, 0, 0, 15, 0, 0, 0, 14, 0, 1, 0, turn, third, 0, 1, 0, 0, 2, 5, third | turn],
        vec![0x40 | 31, 17, 8, 0x40 | turn, 0x40 | 31, 8, 0x10, 0x40 | turn, 0x40 | 31, 60, 1, 0x40 | turn],
        [1, 3, 5, 7, 9, 11].iter().flat_map(|id| [0x40, 3, *id, 0, 3, 2, 5]).chain([0x40 | turn, turn]).collect(),
        vec![0x40, 0, 1, 0, 0, 6, 0, 5, 0x40, 0, 3, 0, 0, 6, 200, 5, 0x40, 0, 5, 0, 0, 7, 5, answer, 0x40 | turn],
        [&[3, 9][..], b"\0\0\x06\0\0\0\0", &[4, 6, 0, 0, 0, 1, 0xFF, 0xFF, 2, 0, 0, 1, 0, 0, 3, 5, 4, 0xFF]].concat(),
    ]
}
