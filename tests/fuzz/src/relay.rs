//! A broker, and connections that play a script.

use super::calls::runtime;
use super::engine::SOON;
use super::input::Input;
use super::panics;
use super::script::play;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::yield_now;
use tokio::time::{interval, timeout};
use towline::Broker;
use towline::config::Config;
use towline::metrics::{Meters, recorder};
use towline_rsocket::engine::{ClientSetup, Connection, Payload, Responder, connect};
use towline_rsocket::frame::SetupParts;
use towline_rsocket::metadata::routing::write_tags;
use towline_rsocket::metadata::{CompositeBuilder, mime};
use towline_rsocket::{Frame, StreamError};

const COMPOSITE: &str = "message/x.rsocket.composite-metadata.v0";
/// A service no script knows the name of.
const HONEST: &str = "honest.between-ourselves-c19a2f";
/// What is as it was when all connections of a script are closed.
const GAUGES: [&str; 7] = [
    "towline_links_open{",
    "towline_streams_open ",
    "towline_outbox_bytes ",
    "towline_parked_bytes ",
    "towline_budget_used_bytes ",
    "towline_services_registered ",
    "towline_instances ",
];

/// Three connections to one broker, of which the first two serve `test.Echo`: afterwards a pair that has nothing to do with
/// them is served as before, and nothing of them is left.
pub fn relay(bytes: &[u8]) {
    thread_local! {
        // Never dropped: the runtime could not be while the thread ends.
        static WORLD: &'static World = Box::leak(Box::new(World::new()));
    }
    panics::watch();
    WORLD.with(|world| world.play(Input(bytes)));
    panics::check();
}

struct World {
    runtime: Runtime,
    broker: Broker,
    meters: Arc<Meters>,
    requester: Connection,
    _responder: Connection,
    before: Vec<String>,
}

/// Answers with what it got.
struct Echo;

impl Responder for Echo {
    fn request_response(&self, request: Payload) -> BoxFuture<'static, Result<Option<Payload>, StreamError>> {
        ready(Ok(Some(Payload::from_data(request.data)))).boxed()
    }
}

impl World {
    fn new() -> Self {
        let runtime = runtime();
        let mut config = Config::default();
        config.listen.addresses.clear();
        // Small, so that scripts get to the bounds.
        let relay = &mut config.relay;
        (relay.max_frame, relay.small_frame) = (1 << 16, 128);
        (relay.max_streams_requester, relay.max_streams_responder) = (4, 6);
        (relay.gathering_max, relay.gathering_link) = (1024, 3072);
        (relay.window_min, relay.window_max, relay.window_items) = (256, 1024, 8);
        (relay.park_stream, relay.park_link, relay.request_fragments_max) = (1024, 4096, 4096);
        config.registration.max_services = 4;
        let meters = Arc::new(Meters::new(&recorder()));
        let world = runtime.block_on(async {
            let broker = Broker::start(config, meters.clone()).await.expect("it listens nowhere");
            let app = |name: &str, services: &[&str]| {
                let setup = ClientSetup {
                    metadata_mime: COMPOSITE.to_owned(),
                    data_mime: "application/json".to_owned(),
                    metadata: Some(described(name, services).into()),
                    data: Bytes::new(),
                };
                connect(Arc::new(broker.connect()), setup, Arc::new(Echo), Default::default())
            };
            let (requester, responder) = (app("requester", &[]), app("responder", &[HONEST]));
            (broker, requester, responder)
        });
        let (broker, requester, responder) = world;
        let mut world = Self { runtime, broker, meters, requester, _responder: responder, before: Vec::new() };
        world.runtime.block_on(async {
            while !world.is_served().await {}
            // What the last answer took is given back a moment later.
            for _ in 0..100 {
                yield_now().await;
            }
        });
        world.before = world.gauges();
        world
    }

    fn play(&self, input: Input<'_>) {
        self.runtime.block_on(async {
            play(input, 3, &|nth| Some((self.broker.connect(), setup(nth)))).await;
            let served = timeout(SOON, self.is_served()).await;
            assert_eq!(served, Ok(true), "the honest pair is served");
            let quiet = async {
                let mut looks = interval(Duration::from_millis(1));
                for nth in 0.. {
                    // Mostly a few turns are enough.
                    match nth {
                        0..3 => turns(10).await,
                        _ => _ = looks.tick().await,
                    }
                    if self.gauges() == self.before {
                        break;
                    }
                }
            };
            let is_quiet = timeout(SOON, quiet).await.is_ok();
            assert!(is_quiet, "left behind: {:?}, before: {:?}", self.gauges(), self.before);
        });
    }

    async fn is_served(&self) -> bool {
        let tags = write_tags([&*format!("{HONEST}.call")]).expect("a short tag");
        let metadata = CompositeBuilder::new().entry(mime::ROUTING, &tags).message_mime(mime::JSON).finish();
        let answer = self.requester.request_response(Payload::new(metadata, "7")).await;
        matches!(answer, Ok(Some(answer)) if answer.data == "7")
    }

    fn gauges(&self) -> Vec<String> {
        let text = self.meters.render();
        let lines = text.lines().filter(|line| GAUGES.iter().any(|gauge| line.starts_with(gauge)));
        let mut lines: Vec<_> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

async fn turns(times: usize) {
    for _ in 0..times {
        yield_now().await;
    }
}

/// The SETUP of a script's connection.
fn setup(nth: usize) -> Vec<u8> {
    let services: &[&str] = if nth < 2 { &["test.Echo"] } else { &[] };
    let metadata = described(&format!("peer-{nth}"), services);
    let parts = SetupParts {
        keepalive: Duration::from_secs(20),
        lifetime: Duration::from_secs(90),
        metadata_mime: if nth < 2 { COMPOSITE } else { mime::ROUTING.name().expect("a known type") },
        data_mime: "application/json",
        metadata: Some(&metadata),
        data: b"",
    };
    Frame::setup(parts).wire().to_vec()
}

fn described(name: &str, services: &[&str]) -> Vec<u8> {
    let app = serde_json::json!({"name": name, "uuid": format!("{name:-<32}")});
    let published: Vec<_> = services.iter().map(|service| serde_json::json!({"service": service})).collect();
    let registry = serde_json::json!({"published": published});
    CompositeBuilder::new()
        .entry(mime::APPLICATION, app.to_string().as_bytes())
        .entry(mime::SERVICE_REGISTRY, registry.to_string().as_bytes())
        .finish()
        .to_vec()
}
