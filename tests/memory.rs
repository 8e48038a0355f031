//! The bound on the broker's memory, measured as what is resident, while everybody misbehaves at once.

mod harness;

use futures::SinkExt;
use harness::*;
use std::any::Any;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as WsFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use towline_rsocket::frame::{MAX_FRAME, PayloadParts};
use towline_rsocket::{Frame, FrameType, flags};

const MIB: usize = 1 << 20;

const READERS: usize = 1000;
const UNFINISHED: usize = 100;
const FRAGMENTERS: usize = 20;
const FLOODERS: usize = 20;
const PUSHERS: usize = 5;
const CALLERS: usize = 4;
/// The above, the one who reads, and the apps.
const CONNECTIONS: usize = READERS + UNFINISHED + FRAGMENTERS + FLOODERS + PUSHERS + CALLERS + 5;

/// Calls of each caller, and answers of 16 MiB.
const CALLS: u32 = 500;
const ANSWERS: u32 = 12;

/// Whoever misbehaves, its connection kept open.
type Attacker = Box<dyn Any + Send>;

async fn narrow(address: &str) -> Peer {
    Peer::connect_narrow(address).await.introduced(&Setup::anonymous()).await
}

/// Asks for all there is and reads nothing.
async fn reader(address: String) -> Attacker {
    let mut peer = narrow(&address).await;
    peer.send(stream(1, MAX_N, "test.Hog.list", b"")).await;
    Box::new(peer)
}

/// Begins a frame of 16 MiB and does not end it.
async fn unfinished(address: String, bytes: usize) -> Attacker {
    let mut peer = narrow(&address).await;
    let mut frame = vec![0; bytes];
    frame[..9].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0, 0, 0, 1, 0x0A << 2, 0]);
    peer.try_send_bytes(&frame).await;
    Box::new(peer)
}

/// Begins a message of 16 MiB on a WebSocket, in frames of which none is the last.
async fn unended(address: String, bytes: usize) -> Attacker {
    let stream = TcpStream::connect(&address).await.expect("the broker accepts connections");
    let (mut socket, _) =
        tokio_tungstenite::client_async(format!("ws://{address}"), stream).await.expect("it upgrades");
    let setup = Setup::anonymous().frame().view().bytes().to_vec();
    socket.send(Message::binary(setup)).await.expect("it is open");
    for nth in 0..bytes.div_ceil(64 * 1024) {
        let kind = OpCode::Data(if nth == 0 { Data::Binary } else { Data::Continue });
        let part = WsFrame::message(vec![7; bytes.min(64 * 1024)], kind, false);
        if socket.send(Message::Frame(part)).await.is_err() {
            break;
        }
    }
    Box::new(socket)
}

/// Requests whose fragments never end: data for one that reads it, or metadata that says nothing.
async fn fragmenter(address: String, is_data: bool) -> Attacker {
    let mut peer = narrow(&address).await;
    let metadata = if is_data { route("test.Hog.take") } else { vec![7; 1000] };
    let parts = PayloadParts { metadata: Some(&metadata), data: if is_data { b"x" } else { b"" } };
    for nth in 0..20 {
        let stream = 1 + 2 * nth;
        peer.send(Frame::request(FrameType::RequestResponse, stream, flags::FOLLOWS, 0, parts)).await;
        for _ in 0..50 {
            let frame = if is_data {
                payload(stream, flags::FOLLOWS, &[7; 10_000])
            } else {
                Frame::payload(stream, flags::FOLLOWS, parts)
            };
            if !peer.try_send_bytes(frame.wire()).await {
                return Box::new(peer);
            }
        }
    }
    Box::new(peer)
}

/// Requests nobody serves; their refusals are not read.
async fn flooder(address: String) -> Attacker {
    let mut peer = narrow(&address).await;
    let batch: Vec<u8> = (0..500).flat_map(|nth| call(1 + 2 * nth, "test.Nobody.call", b"").wire().to_vec()).collect();
    for _ in 0..40 {
        if !peer.try_send_bytes(&batch).await {
            break;
        }
    }
    Box::new(peer)
}

/// Calls an app that reads nothing.
async fn pusher(address: String) -> Attacker {
    let mut peer = Peer::join(&address, &Setup::anonymous()).await;
    for nth in 0..500 {
        if !peer.try_send_bytes(call(1 + 2 * nth, "test.Stuck.call", &[7; 60_000]).wire()).await {
            break;
        }
    }
    Box::new(peer)
}

/// Calls and counts: every one is answered.
async fn caller(address: String) {
    let mut peer = Peer::join(&address, &Setup::anonymous()).await;
    for nth in 0..CALLS {
        let stream = 1 + 2 * nth;
        peer.send(call(stream, "test.Echo.call", &nth.to_be_bytes())).await;
        peer.expect_item(stream, flags::NEXT | flags::COMPLETE, &nth.to_be_bytes()).await;
    }
}

/// Answers with a frame as large as a frame can be, its bytes by the number that was asked for.
async fn large(mut peer: Peer) {
    while let Some(frame) = peer.next().await {
        if frame.view().kind() == FrameType::RequestResponse {
            let seed = u32::from_be_bytes(frame.view().data().try_into().expect("4 bytes"));
            let answer = last(frame.view().stream_id(), &pattern(seed));
            if !peer.try_send_bytes(answer.wire()).await {
                return;
            }
        }
    }
}

fn pattern(seed: u32) -> Vec<u8> {
    (0..(MAX_FRAME - 6) as u32).map(|n| (n.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24) as u8).collect()
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Reads answers of 16 MiB, two at a time: it gets them all.
async fn honest(address: String) {
    let mut peer = Peer::join(&address, &Setup::anonymous()).await;
    let mut waiting = HashMap::new();
    let mut asked = 0;
    while asked < ANSWERS || !waiting.is_empty() {
        while asked < ANSWERS && waiting.len() < 2 {
            let stream = 1 + 2 * asked;
            peer.send(call(stream, "test.Large.call", &asked.to_be_bytes())).await;
            waiting.insert(stream, asked);
            asked += 1;
        }
        let frame = peer.expect(FrameType::Payload).await;
        let seed = waiting.remove(&frame.view().stream_id()).expect("one of those asked for");
        assert_eq!(hash(frame.view().data()), hash(&pattern(seed)), "answer {seed} has changed");
    }
}

/// A broker, its apps, and everybody who misbehaves.
struct Scene {
    broker: Process,
    base: usize,
    budget: usize,
    _stuck: Peer,
}

impl Scene {
    /// None, with the reason printed, if this process may not open enough sockets.
    async fn set(budget: usize, settings: &[(&str, &str)]) -> Option<Self> {
        if descriptors() < CONNECTIONS + 100 {
            println!("skipped: {} descriptors are too few for {CONNECTIONS} connections", descriptors());
            return None;
        }
        let text = budget.to_string();
        let broker = Process::start(&[settings, &[("TOWLINE_RELAY__BUDGET", text.as_str())]].concat());
        let base = broker.peak();
        let (address, serve) = (&broker.address, |service: &str| Setup::anonymous().service(service));
        produce(Peer::join(address, &serve("test.Hog")).await, 1024);
        echo(Peer::join(address, &serve("test.Echo")).await);
        tokio::spawn(large(Peer::join(address, &serve("test.Large")).await));
        let stuck = Peer::connect_narrow(address).await.introduced(&serve("test.Stuck")).await;
        Some(Self { broker, base, budget, _stuck: stuck })
    }

    fn attack(&self) -> JoinSet<Attacker> {
        let address = || self.broker.address.clone();
        let mut attacks = JoinSet::new();
        for _ in 0..READERS {
            attacks.spawn(reader(address()));
        }
        for nth in 0..UNFINISHED {
            let bytes = if nth % 2 == 0 { MIB } else { 10 };
            if nth % 4 < 2 {
                attacks.spawn(unfinished(address(), bytes));
            } else {
                attacks.spawn(unended(address(), bytes));
            }
        }
        for nth in 0..FRAGMENTERS {
            attacks.spawn(fragmenter(address(), nth % 2 == 0));
        }
        for _ in 0..FLOODERS {
            attacks.spawn(flooder(address()));
        }
        for _ in 0..PUSHERS {
            attacks.spawn(pusher(address()));
        }
        attacks
    }

    /// Each of them makes all its calls, and every one is answered.
    fn callers(&self) -> JoinSet<()> {
        (0..CALLERS).map(|_| caller(self.broker.address.clone())).collect()
    }

    /// What the budget does not count: a read buffer of 64 KiB each, and tables, at 1 KiB a connection or stream.
    fn expect_bounded(&self, name: &str) {
        let tables = (CONNECTIONS + READERS + FRAGMENTERS * 20 + PUSHERS * 500) * 1024;
        let bound = self.base + self.budget + CONNECTIONS * 64 * 1024 + tables;
        let (peak, now) = (self.broker.peak(), self.broker.resident());
        let [base, now_mib, peak_mib, bound_mib] = [self.base, now, peak, bound].map(|bytes| bytes / MIB);
        println!(
            "{name}: {base} MiB resident at first, {peak_mib} at most, {now_mib} now; the bound is {bound_mib} MiB"
        );
        assert!(peak <= bound, "{peak} bytes were resident, the bound is {bound}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn within_the_budget_everybody_who_reads_gets_everything() {
    // All settings as they are by default on a machine with 2 GiB or more.
    let Some(scene) = Scene::set(512 * MIB, &[]).await else { return };
    let attacks = scene.attack();
    let mut callers = scene.callers();
    callers.spawn(honest(scene.broker.address.clone()));
    let attackers = attacks.join_all().await;
    callers.join_all().await;
    scene.expect_bounded("within the budget");
    drop(attackers);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_budget_memory_is_bounded_and_small_calls_are_answered() {
    let settings = [("TOWLINE_RELAY__STALLED_AFTER", "1s")];
    let Some(scene) = Scene::set(64 * MIB, &settings).await else { return };
    let attacks = scene.attack();
    let callers = scene.callers();
    let attackers = attacks.join_all().await;
    callers.join_all().await;
    scene.expect_bounded("over the budget");
    drop(attackers);
    // Whoever made it so full is gone: the next one who reads large answers gets them.
    honest(scene.broker.address.clone()).await;
}
