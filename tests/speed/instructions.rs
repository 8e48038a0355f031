//! What the relay executes for one operation, counted by callgrind: `.ci/instructions` runs this program twice a scenario,
//! for n and for 2n operations, and divides the difference.
//!
//! Everything runs on one thread and in lockstep: a requester writes a batch over TCP, the responder reads all of it and
//! writes as many answers, and so on; so the same instructions are executed every time, whatever else the machine does.
//! The ends write bytes made beforehand, and the script counts the broker's connection tasks alone; `proxied` counts
//! everything: a generated client and server, the libraries' engine and the broker between them; `publish` the same for a
//! message to a durable topic, on all threads of the broker.
//!
//! Usage: `instructions SCENARIO OPERATIONS`.

use rsocket::frame::{LENGTH, MAX_REQUEST_N, PayloadParts, SetupParts, set_stream_id};
use rsocket::metadata::{CompositeBuilder, mime, routing};
use rsocket::{Frame, FrameType, flags};
use serde::Serialize;
use std::future::IntoFuture;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use towline::config::Config;
use towline::metrics::{Meters, recorder};
use towline_responder::{App, RpcError, Serve, service};
use towline_rsocket as rsocket;
use towline_service_api::Encoding;
use towline_service_api::builtin::Message;

/// Requests that are under way at a time.
const BATCH: usize = 32;
const SERVICE: &str = "bench.Counted";

#[service(name = "bench.Counted")]
trait Counted {
    async fn echo(&self, text: String) -> Result<String, RpcError>;
}

struct Echo;

impl Counted for Echo {
    async fn echo(&self, text: String) -> Result<String, RpcError> {
        Ok(text)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scenario {
    /// Request-response with this many bytes of data; with the type of its data, or as plain clients send it.
    Rpc {
        size: usize,
        is_typed: bool,
    },
    Fnf,
    Item,
    Proxied,
    Publish,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [scenario, operations] = &arguments[..] else {
        // What `cargo test --benches` and `cargo bench` do is not what is counted.
        println!("usage: instructions rpc|rpc-text|rpc-4k|fnf|item|proxied|publish OPERATIONS; see .ci/instructions");
        return;
    };
    let scenario = match &scenario[..] {
        "rpc" => Scenario::Rpc { size: 128, is_typed: true },
        "rpc-text" => Scenario::Rpc { size: 128, is_typed: false },
        "rpc-4k" => Scenario::Rpc { size: 4096, is_typed: true },
        "fnf" => Scenario::Fnf,
        "item" => Scenario::Item,
        "proxied" => Scenario::Proxied,
        "publish" => Scenario::Publish,
        other => panic!("no scenario is called {other}"),
    };
    let operations: usize = operations.parse().expect("a number of operations");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let operations = operations.next_multiple_of(BATCH);
    let address = runtime.block_on(broker());
    match scenario {
        Scenario::Proxied => {
            let apps = runtime.block_on(apps(&address));
            measured(&runtime, &apps.1, operations);
        }
        Scenario::Publish => {
            let mut publisher = runtime.block_on(publisher(&address));
            published(&runtime, &mut publisher, operations);
        }
        _ => runtime.block_on(run(scenario, &address, operations)),
    }
    let _ = std::fs::remove_dir_all(folder());
    // Whatever ends with the process is no part of an operation.
    std::process::exit(0);
}

/// Where a broker of this process listens.
async fn broker() -> String {
    let mut config = Config::default();
    config.listen.addresses = vec!["tcp://127.0.0.1:0".parse().expect("an address")];
    config.data.directory = folder();
    let meters = Arc::new(Meters::new(&recorder()));
    let broker = towline::Broker::start(config, meters).await.expect("a port of its own");
    let address = broker.addresses().remove(0);
    // It serves until the process ends.
    std::mem::forget(broker);
    address
}

/// Of this process alone.
fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("towline-instructions-{}", std::process::id()))
}

async fn run(scenario: Scenario, address: &str, operations: usize) {
    match scenario {
        Scenario::Proxied | Scenario::Publish => unreachable!("counted as a whole"),
        Scenario::Rpc { size, is_typed } => {
            let data = vec![7; size];
            let request = |stream| request(FrameType::RequestResponse, stream, 0, is_typed, &data);
            let answer = |nth| Frame::payload(2 * nth, flags::NEXT | flags::COMPLETE, parts(&data));
            lockstep(address, operations, request, Some(&answer)).await;
        }
        Scenario::Fnf => {
            let request = |stream| request(FrameType::RequestFnf, stream, 0, true, &[7; 128]);
            lockstep(address, operations, request, None).await;
        }
        Scenario::Item => items(address, operations).await,
    }
}

fn parts(data: &[u8]) -> PayloadParts<'_> {
    PayloadParts { metadata: None, data }
}

fn request(kind: FrameType, stream: u32, n: u32, is_typed: bool, data: &[u8]) -> Frame {
    let tags = routing::write_tags([format!("{SERVICE}.echo").as_str()]).expect("short tags");
    let metadata = CompositeBuilder::new().entry(mime::ROUTING, &tags);
    let metadata = if is_typed { metadata.message_mime(mime::OCTET_STREAM) } else { metadata }.finish();
    Frame::request(kind, stream, 0, n, PayloadParts { metadata: Some(&metadata), data })
}

/// An end of the load.
struct End(TcpStream);

impl End {
    async fn connect(address: &str, published: &str) -> Self {
        let stream = TcpStream::connect(address.trim_start_matches("tcp://")).await.expect("the broker listens");
        stream.set_nodelay(true).expect("a live socket");
        let uuid = format!("{:0>32}", published.len());
        let app = format!(r#"{{"name":"counted","uuid":"{uuid}"}}"#);
        let services = format!(r#"{{"published":[{published}]}}"#);
        let metadata = CompositeBuilder::new()
            .entry(mime::APPLICATION, app.as_bytes())
            .entry(mime::SERVICE_REGISTRY, services.as_bytes())
            .finish();
        let setup = Frame::setup(SetupParts {
            keepalive: Duration::from_secs(60),
            lifetime: Duration::from_secs(600),
            metadata_mime: "message/x.rsocket.composite-metadata.v0",
            data_mime: "application/octet-stream",
            metadata: Some(&metadata),
            data: b"",
        });
        let mut end = Self(stream);
        // The echo says that the SETUP before it is in force.
        end.write(&[setup.wire(), Frame::keepalive(true, b"").wire()].concat()).await;
        end.read(Frame::keepalive(false, b"").wire().len()).await;
        end
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("the broker reads");
    }

    async fn read(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).await.expect("the broker writes");
        bytes
    }

    /// Reads so many answers to their end.
    async fn read_frames(&mut self, count: usize) {
        for _ in 0..count {
            let head = self.read(3).await;
            let frame = self.read(usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])).await;
            assert_eq!(frame[4] >> 2, FrameType::Payload as u8, "{}", String::from_utf8_lossy(&frame));
        }
    }
}

async fn ends(address: &str) -> (End, End) {
    let published = format!(r#"{{"service":"{SERVICE}","version":"","group":""}}"#);
    (End::connect(address, "").await, End::connect(address, &published).await)
}

/// Batches of requests, each answered before the next.
async fn lockstep(
    address: &str,
    operations: usize,
    request: impl Fn(u32) -> Frame,
    answer: Option<&dyn Fn(u32) -> Frame>,
) {
    let (mut requester, mut responder) = ends(address).await;
    let appended = if request(1).view().metadata().is_some_and(|bytes| !bytes.ends_with(&[0x86])) { 5 } else { 0 };
    // Of large ones so few that a batch is read whole: in parts, what is cut is moved, and how often depends on the kernel.
    let batch = if request(1).wire().len() > 1024 { 4 } else { BATCH as u32 };
    let mut sent = 0;
    while sent < operations as u32 {
        let ids = || (sent..sent + batch).map(|nth| 2 * nth + 1);
        let requests = ids().flat_map(|id| request(id).wire().to_vec()).collect::<Vec<u8>>();
        requester.write(&requests).await;
        responder.read(requests.len() + batch as usize * appended).await;
        if let Some(answer) = answer {
            let answers = (sent..sent + batch).flat_map(|nth| answer(nth + 1).wire().to_vec()).collect::<Vec<u8>>();
            responder.write(&answers).await;
            requester.read(answers.len()).await;
        }
        sent += batch;
    }
}

/// Items of one stream without end of credit at its requester, as many at a time as the broker lets pass.
async fn items(address: &str, operations: usize) {
    let (mut requester, mut responder) = ends(address).await;
    let request = request(FrameType::RequestStream, 1, MAX_REQUEST_N, true, b"");
    requester.write(request.wire()).await;
    let asked = responder.read(request.wire().len()).await;
    let mut credit = Frame::parse(asked.as_slice().into()).expect("a frame").view().request_n() as usize;
    let item = Frame::payload(2, flags::NEXT, parts(&[7; 128]));
    let more = Frame::request_n(2, 1).wire().len();
    let mut sent = 0;
    while sent < operations {
        let batch = credit.min(BATCH);
        let items = item.wire().repeat(batch);
        responder.write(&items).await;
        requester.read(items.len()).await;
        (sent, credit) = (sent + batch, credit - batch);
        while credit == 0 {
            let granted = responder.read(more).await;
            credit += Frame::parse(granted.as_slice().into()).expect("a frame").view().request_n() as usize;
        }
    }
}

/// A generated server and the app of a generated client.
async fn apps(address: &str) -> (App, App) {
    let server = App::connect(address).name("server").serve(CountedServer::new(Echo)).start().await.expect("a broker");
    (server, App::connect(address).name("client").start().await.expect("a broker"))
}

/// What users write: calls of a generated client, as many at a time as in the other scenarios. On a runtime of one thread
/// everything happens within this function, so that the script can count it alone.
#[inline(never)]
fn measured(runtime: &tokio::runtime::Runtime, client: &App, operations: usize) {
    runtime.block_on(async {
        let calls = client.client::<CountedClient>();
        for _ in 0..operations / BATCH {
            let batch = (0..BATCH).map(|_| calls.echo("x".repeat(128)).into_future());
            let answers = futures::future::join_all(batch).await;
            assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|text| text.len() == 128)));
        }
    });
}

/// A call of one of the broker's own services, in MessagePack.
fn call(stream: u32, route: &str, arguments: &impl Serialize) -> Frame {
    let tags = routing::write_tags([route]).expect("short tags");
    let mime = mime::Mime::Name(b"application/x-msgpack");
    let metadata = CompositeBuilder::new().entry(mime::ROUTING, &tags).message_mime(mime).finish();
    let data = Encoding::MessagePack.encode(arguments).expect("plain values");
    let parts = PayloadParts { metadata: Some(&metadata), data: &data };
    Frame::request(FrameType::RequestResponse, stream, 0, 0, parts)
}

/// A connection, and a topic.
async fn publisher(address: &str) -> End {
    let mut end = End::connect(address, "").await;
    end.write(call(1, "towline.Topics.create", &("counted",)).wire()).await;
    end.read_frames(1).await;
    end
}

/// Batches of messages, each confirmed before the next.
fn published(runtime: &tokio::runtime::Runtime, publisher: &mut End, operations: usize) {
    let call = call(1, "towline.Queue.publish", &("counted", Message::new(vec![7; 128])));
    let mut calls = Vec::new();
    runtime.block_on(async {
        for batch in 0..operations / BATCH {
            calls.clear();
            for nth in 0..BATCH {
                let begin = calls.len();
                calls.extend_from_slice(call.wire());
                set_stream_id(&mut calls[begin + LENGTH..], (2 * (batch * BATCH + nth) + 3) as u32);
            }
            publisher.write(&calls).await;
            publisher.read_frames(BATCH).await;
        }
    });
}
