//! Bytes that are no frames, are not all there, or come one by one.

use crate::harness::*;
use crate::scene::{Scene, frames, raw_socket, say};
use futures::{StreamExt, stream as each};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use towline_rsocket::frame::{LENGTH, PayloadParts};
use towline_rsocket::{Frame, FrameType, flags};

/// Connections that misbehave at the same time.
const AT_ONCE: usize = 4;

/// One frame of every kind a client may send, as a byte stream carries them.
fn session() -> Vec<Vec<u8>> {
    let metadata = route("test.Echo.call");
    let (head, tail) = metadata.split_at(20);
    let part = |metadata, data| PayloadParts { metadata: Some(metadata), data };
    let event = format!(
        r#"{{"source":"app://{0}","type":"com.alibaba.rsocket.events.AppStatusEvent","data":{{"id":"{0}","status":1}}}}"#,
        uuid("hostile")
    );
    let frames = [
        Setup::app("hostile").service("test.Mine").label("zone", "a").frame(),
        Frame::keepalive(true, b"alive"),
        Frame::metadata_push(event.as_bytes()),
        Frame::lease(Duration::from_secs(1), 5),
        call(1, "test.Echo.call", b"one"),
        stream(3, 5, "test.Echo.list", b"two"),
        Frame::request_n(3, 5),
        channel(5, 0, 5, "test.Echo.talk", b"three"),
        item(5, b"item"),
        complete(5),
        Frame::request(FrameType::RequestResponse, 7, flags::FOLLOWS, 0, part(head, b"")),
        Frame::payload(7, flags::FOLLOWS, part(tail, b"four")),
        payload(7, flags::NEXT, b"four, part two"),
        Frame::cancel(3),
        forget(9, "test.Echo.tell", b"five"),
        call(11, "test.Nobody.call", b"six"),
        error(5, 0x201, "seven"),
        Frame::keepalive(false, b""),
    ];
    frames.iter().map(|frame| frame.wire().to_vec()).collect()
}

/// A WebSocket's upgrade.
const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A WebSocket frame of a client: FIN and opcode, then its data, masked.
fn masked(head: u8, data: &[u8]) -> Vec<u8> {
    let mask = [0x11, 0x22, 0x33, 0x44];
    let mut bytes = vec![head];
    if data.len() < 126 {
        bytes.push(0x80 | data.len() as u8);
    } else {
        bytes.extend([0x80 | 126, (data.len() >> 8) as u8, data.len() as u8]);
    }
    bytes.extend(mask);
    bytes.extend(data.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The same over a WebSocket: the upgrade, then each frame in pieces of so many bytes, masked.
fn web_session(piece: usize) -> Vec<u8> {
    let mut bytes = UPGRADE.to_vec();
    for frame in session() {
        let count = frame[LENGTH..].chunks(piece).count();
        for (nth, chunk) in frame[LENGTH..].chunks(piece).enumerate() {
            let head = if nth == 0 { 2 } else { 0 } | if nth + 1 == count { 0x80 } else { 0 };
            bytes.extend(masked(head, chunk));
        }
    }
    bytes
}

fn flipped(bytes: &[u8], at: usize, mask: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= mask;
    bytes
}

/// Says each of these on a connection of its own; whatever is heard is frames.
async fn say_all(scene: &Scene, sessions: impl Iterator<Item = Vec<u8>>, is_stream: bool) {
    each::iter(sessions)
        .for_each_concurrent(AT_ONCE, |bytes| async move {
            let heard = say(&scene.broker, &bytes).await;
            if is_stream {
                frames(&heard);
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_breaks_off_at_any_byte_leaves_nothing_behind() {
    let scene = Scene::set().await;
    let bytes = session().concat();
    say_all(&scene, (0..=bytes.len()).map(|len| bytes[..len].to_vec()), true).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_any_byte_changed_harms_its_own_connection_alone() {
    let scene = Scene::set().await;
    let bytes = session().concat();
    for mask in [0xFF, 0x01, 0x80] {
        say_all(&scene, (0..bytes.len()).map(|at| flipped(&bytes, at, mask)), true).await;
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_that_breaks_off_or_changes_at_any_byte_harms_nobody() {
    let scene = Scene::on_with(Carrier::WebSocket, |_| ()).await;
    let bytes = web_session(usize::MAX);
    say_all(&scene, (0..=bytes.len()).map(|len| bytes[..len].to_vec()), false).await;
    say_all(&scene, (0..bytes.len()).map(|at| flipped(&bytes, at, 0xFF)), false).await;
    scene.end().await;
}

/// Writes byte by byte and reads until these answers are among what was heard.
async fn trickle(scene: &Scene, bytes: &[u8], answers: &[&[u8]]) {
    let (mut from, mut to) = raw_socket(&scene.broker).await.into_split();
    let mut heard = Vec::new();
    let listening = async {
        while !answers.iter().all(|answer| heard.windows(answer.len()).any(|window| window == *answer)) {
            assert_ne!(from.read_buf(&mut heard).await.expect("it is open"), 0, "closed before the answers came");
        }
    };
    let talking = async {
        for byte in bytes {
            to.write_all(&[*byte]).await.expect("it is open");
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, futures::future::join(listening, talking)).await.expect("the answers came");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_comes_byte_by_byte_is_served() {
    let scene = Scene::set().await;
    trickle(&scene, &session().concat(), &[b"alive", b"one", b"RST-900404"]).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_in_pieces_of_one_byte_that_come_byte_by_byte_are_served() {
    let scene = Scene::on_with(Carrier::WebSocket, |_| ()).await;
    trickle(&scene, &web_session(1), &[b"alive", b"one", b"RST-900404"]).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_type_on_any_stream_closes_unless_it_asks_to_be_ignored() {
    let scene = Scene::set().await;
    let mut server = scene.broker.serve("test.Mine").await;
    let is_known = |kind: u8| (0x01..=0x0E).contains(&kind);
    let mut tolerant = scene.broker.client().await;
    tolerant.send(stream(1, 1, "test.Mine.list", b"")).await;
    let opened = server.expect(FrameType::RequestStream).await.view().stream_id();
    let mut closed = 0.0;
    for kind in (0..=0x3F).filter(|kind| !is_known(*kind)) {
        // The connection's, an open one, one that is not, one of the broker's, the last one.
        for id in [0, 1, 3, opened, MAX_N] {
            tolerant.send_bytes(&raw(id, kind, flags::IGNORE, &[0; 9])).await;
            let mut doomed = scene.broker.client().await;
            doomed.send_bytes(&raw(id, kind, 0, &[0; 9])).await;
            assert_eq!(doomed.expect_end().await.0, 0x101, "{kind:#x} on {id}");
            closed += 1.0;
        }
    }
    scene.broker.until("towline_links_closed_total", closed).await;
    assert_eq!(scene.broker.labelled("towline_links_closed_total", "protocol"), closed);
    server.send(last(opened, b"still there")).await;
    tolerant.expect_item(1, flags::NEXT | flags::COMPLETE, b"still there").await;
    drop((tolerant, server));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_does_not_grow_is_closed_with_its_reason() {
    let scene = Scene::with(|config| {
        config.relay.stalled_after = Duration::from_millis(100);
        config.relay.progress_window = Duration::from_millis(300);
    })
    .await;
    let mut slow = Vec::new();
    for begun in [&[0xFF, 0xFF, 0xFF, 0, 0, 0, 1, 4 << 2, 0, 7][..], &[0], &call(1, "test.Echo.call", b"").wire()[..9]]
    {
        let mut peer = scene.broker.client().await;
        peer.send_bytes(begun).await;
        slow.push(peer);
    }
    for mut peer in slow {
        let (code, text) = peer.expect_end().await;
        assert!(code == 0x101 && text.contains("not ended"), "{code:#x} {text}");
    }
    scene.broker.until("towline_links_closed_total", 3.0).await;
    assert_eq!(scene.broker.labelled("towline_links_closed_total", "slow_frame"), 3.0);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pongs_that_nobody_reads_do_not_pile_up_and_the_newest_is_sent() {
    const PINGS: u32 = 200_000;
    let scene = Scene::on_with(Carrier::WebSocket, |_| ()).await;
    let (mut from, mut to) = raw_socket(&scene.broker).await.into_split();
    to.write_all(UPGRADE).await.expect("it is open");
    to.write_all(&masked(0x82, Setup::anonymous().frame().view().bytes())).await.expect("it is open");
    let ping = |nth: u32| masked(0x89, &[&nth.to_be_bytes()[..], &[7; 100]].concat());
    let mut peak = 0.0f64;
    for first in (0..PINGS).step_by(1000) {
        let pings: Vec<u8> = (first..first + 1000).flat_map(ping).collect();
        timeout(SOON, to.write_all(&pings)).await.expect("the broker reads").expect("it is open");
        peak = peak.max(scene.broker.meter("towline_budget_used_bytes"));
    }
    assert!(peak < (1 << 20) as f64, "{peak} bytes are held");
    let newest = [&(PINGS - 1).to_be_bytes()[..], &[7; 100]].concat();
    let mut heard = Vec::new();
    while !heard.ends_with(&newest) {
        let read = timeout(SOON, from.read_buf(&mut heard)).await.expect("the newest PONG comes");
        assert_ne!(read.expect("it is open"), 0, "closed before the newest PONG came");
    }
    drop((from, to));
    scene.end().await;
}
