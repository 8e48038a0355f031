//! The Towline broker: applications connect over RSocket, and call each other through it.
//!
//! ```text
//!  config  metrics  shutdown    typed configuration, counters, phases and signals
//!  touch                        memory that is in no cache, waited for together
//!  store/                       what durable topics are kept in
//!  link/                        a connection as others see it: streams, windows, outbox, writer
//!  routing/                     who serves what
//!  relay/                       sockets in, frames across
//!  mq/                          durable topics and their groups
//!  services/                    what the broker itself serves, as ordinary responders on in-process links
//!  http/                        the management port
//! ```
//! Each of these uses only those above it.
extern crate towline_rsocket as rsocket;

pub mod config;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
mod link;
pub mod metrics;
mod mq;
mod relay;
mod routing;
mod services;
pub mod shutdown;
pub mod store;
mod touch;

use config::Config;
use link::{Bounds, Budget, Shared};
use metrics::{CloseReason, LinkKind, Meters};
use relay::{Layers, Listener, Relay, Room};
use routing::{Caps, Registry, Routes};
use rsocket::ErrorCode;
use rsocket::transport::{MemoryTransport, ServerTls, memory_pair};
use shutdown::{Lifecycle, Phase, Tasks};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener cannot be opened.
    #[error("cannot listen on {address}: {error}; is another broker running there? Choose another port with --listen")]
    Listen {
        /// As configured.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("cannot use the certificate `{path}`: {why}; see tls.certificate and tls.key")]
    Tls {
        /// As configured.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The data folder is there, and cannot be opened.
    #[error("cannot open the data folder `{path}`: {error}; see data.directory and `towline fsck`")]
    Data {
        /// As configured.
        path: PathBuf,
        /// What is wrong.
        error: String,
    },
    /// The thread that topics are served on cannot be started.
    #[error("cannot start a thread: {0}; see the limit of tasks of this process or container")]
    Thread(io::Error),
    /// A service of the broker itself cannot be mounted: a defect.
    #[error("cannot mount the broker's own services: {0}; this is a defect, please report it")]
    Services(towline_responder::StartError),
}

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    relay: Arc<Relay>,
    addresses: Vec<String>,
    tasks: Tasks,
    lifecycle: Lifecycle,
    grace: Duration,
    services: services::Services,
}

/// How often a drain looks whether connections have ended their streams.
const LOOK: Duration = Duration::from_millis(20);
/// Time Towline apps have to leave by themselves: only they know that no request of theirs is still on its way.
const LEAVE: Duration = Duration::from_secs(2);
/// Time the last frames of closed connections have.
const LAST_WORDS: Duration = Duration::from_millis(1500);

impl Broker {
    /// Opens every listener of the configuration and accepts applications.
    ///
    /// # Errors
    /// [`StartError`], if a listener cannot be opened.
    pub async fn start(config: Config, meters: Arc<Meters>) -> Result<Self, StartError> {
        let layers = Layers {
            tls: tls(&config.tls)?,
            origins: config.listen.origins.clone(),
            max_frame: config.relay.max_frame,
        };
        let mut listeners = Vec::new();
        for address in &config.listen.addresses {
            let listener =
                Listener::bind(address).map_err(|error| StartError::Listen { address: address.to_string(), error })?;
            listeners.push(listener);
        }
        let routes = Arc::<Routes>::default();
        let path = &config.data.directory;
        let thread = services::Thread::start().map_err(StartError::Thread)?;
        let (budget, queue) = (config.relay.budget_bytes(), meters.queue.clone());
        let topics = Arc::new(mq::Folder::new(&config.data, budget, queue, thread.handle()));
        topics
            .open_existing()
            .await
            .map_err(|error| StartError::Data { path: path.clone(), error: error.to_string() })?;
        observe_topics(&meters, &topics);
        let relay = relay(&config, layers, meters, routes.clone());
        observe(&relay);
        let (tasks, lifecycle) = (Tasks::default(), Lifecycle::default());
        tasks.spawn(relay::keep_time(relay.clone()));
        tasks.spawn(relay::keep_budget(relay.clone()));
        let services =
            services::mount(&relay, &config.listen.advertised, topics, thread).await.map_err(StartError::Services)?;
        let mut addresses = Vec::new();
        for listener in listeners {
            addresses.extend(listener.address());
            let mut phases = lifecycle.watch();
            let stop = async move { phases.reached(Phase::Draining).await };
            tasks.spawn(relay::accept(relay.clone(), listener, stop));
        }
        lifecycle.enter(Phase::Running);
        Ok(Self { relay, addresses, tasks, lifecycle, grace: config.shutdown.grace, services })
    }

    /// Where applications connect: scheme, address and the port that was really opened.
    pub fn addresses(&self) -> Vec<String> {
        self.addresses.clone()
    }

    /// Connects an app that runs in this process: one end of a connection, for `towline_responder::App::over` or an engine of
    /// its own. To the broker it is like one from outside, SETUP and its deadline included; on a broker that drains it is
    /// refused.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(&self) -> MemoryTransport {
        let (broker, app) = memory_pair("memory");
        relay::attach(&self.relay, Arc::new(broker), LinkKind::App);
        app
    }

    /// Ends well: nothing new is accepted, each connection is closed once it has no streams (those of Towline apps close
    /// themselves), and after the grace time the rest.
    pub async fn drain(self) {
        const TEXT: &str = "this broker is shutting down: connect to another one";
        let deadline = Instant::now() + self.grace;
        self.relay.begin_drain();
        self.lifecycle.enter(Phase::Draining);
        let told = self.relay.announce_drain();
        self.services.finish();
        let leave = Instant::now() + LEAVE;
        let mut cut = 0;
        loop {
            let is_over = Instant::now() >= deadline;
            let is_leaving = |id| Instant::now() < leave && told.contains(id);
            let apps: Vec<_> = self.relay.links().into_iter().filter(|link| link.kind == LinkKind::App).collect();
            if apps.is_empty() {
                break;
            }
            for link in apps.iter().filter(|link| is_over || link.streams() == 0 && !is_leaving(&link.id)) {
                cut += usize::from(link.streams() > 0);
                self.relay.dismiss(link, CloseReason::Drain, ErrorCode::CONNECTION_ERROR, TEXT);
            }
            if is_over {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        let last = Instant::now() + LAST_WORDS;
        while self.relay.links().iter().any(|link| link.kind == LinkKind::App) && Instant::now() < last {
            tokio::time::sleep(LOOK).await;
        }
        self.services.close().await;
        if cut > 0 {
            tracing::warn!(connections = cut, "the grace time was over before their streams had ended");
        }
        self.tasks.finish(Instant::now()).await;
    }
}

impl Drop for Broker {
    /// Without a drain everything ends at once: the sockets are shut down, and with them the tasks that read them.
    fn drop(&mut self) {
        for link in self.relay.links() {
            link.transport().shutdown();
        }
    }
}

/// The certificate of the configuration, read.
fn tls(files: &config::Tls) -> Result<Option<ServerTls>, StartError> {
    let (Some(certificate), Some(key)) = (&files.certificate, &files.key) else { return Ok(None) };
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| StartError::Tls { path: path.clone(), why: error.to_string() })
    };
    let tls = ServerTls::from_pem(&read(certificate)?, &read(key)?);
    tls.map(Some).map_err(|error| StartError::Tls { path: certificate.clone(), why: error.to_string() })
}

fn relay(config: &Config, layers: Layers, meters: Arc<Meters>, routes: Arc<Routes>) -> Arc<Relay> {
    let Config { relay, keepalive, listen, registration, .. } = config;
    let bounds = Bounds {
        window: link::Limits {
            total: relay.window_total,
            bytes: (relay.window_min, relay.window_max),
            items: relay.window_items as u64,
            park: relay.park_stream,
        },
        mark: relay.mark,
        refuse: (relay.refuse_small_marks, relay.refuse_large_marks),
        small_request: relay.large_request,
        small_frame: relay.small_frame,
        request_fragments: relay.request_fragments_max,
        park: relay.park_link,
        streams: (relay.max_streams_requester, relay.max_streams_responder),
    };
    let timing = link::Timing {
        tick: Duration::from_millis(250),
        interval: keepalive.interval,
        busy_interval: keepalive.busy_interval,
        suspect: keepalive.suspect_after,
        lifetime: keepalive.max_lifetime,
        stalled: relay.stalled_after,
        progress: relay.progress_bytes as u64,
        window: relay.progress_window,
    };
    let limits = relay::Limits {
        max_frame: relay.max_frame,
        small_frame: relay.small_frame,
        setup_max: listen.setup_max,
        setup_timeout: listen.setup_timeout,
        gathering: (relay.gathering_max, relay.gathering_link, relay.gathering_timeout),
        refusals: relay.max_streams_requester,
        strict_credit: relay.strict_credit,
        strict_setup: relay.strict_setup,
        grant: link::Grant { requests: relay.lease_requests, ttl: relay.lease_ttl },
        control: (relay.control_rate, relay.control_burst),
        events: registration.events_per_second,
    };
    let budget = Budget::new(relay.budget_bytes());
    let runtime = tokio::runtime::Handle::current();
    let shared = Shared { bounds: Arc::new(bounds), budget, runtime, meters, batch: relay.batch, timing };
    let caps = Caps { services: registration.max_services, links: registration.max_links_per_instance };
    Relay::new(Arc::new(shared), Registry::new(routes, caps), limits, layers, Room::of_this_process())
}

/// Reads what is cheaper to read at a scrape than to keep on the way.
fn observe(relay: &Arc<Relay>) {
    let meters = relay.meters.clone();
    let relay = Arc::downgrade(relay);
    meters.before_scrape(move |meters| {
        let Some(relay) = relay.upgrade() else { return };
        let (instances, services) = relay.registry.counts();
        meters.instances.set(instances as f64);
        meters.services_registered.set(services as f64);
        meters.budget_used.set(relay.shared.budget.used() as f64);
        meters.budget_limit.set(relay.shared.budget.limit() as f64);
        let (mut streams, mut queued, mut parked) = (0, 0, 0);
        for link in relay.links() {
            let held = link.held();
            streams += held.requests;
            queued += held.queued;
            parked += held.parked;
        }
        meters.streams_open.set(streams as f64);
        meters.outbox_bytes.set(queued as f64);
        meters.parked_bytes.set(parked as f64);
    });
}

/// The same of durable topics.
fn observe_topics(meters: &Meters, topics: &Arc<mq::Folder>) {
    let weak = Arc::downgrade(topics);
    meters.before_scrape(move |meters| {
        let Some((topics, stats)) = weak.upgrade().and_then(|topics| topics.stats()) else { return };
        let queue = &meters.queue;
        queue.topics.set(topics as f64);
        queue.store_disk_bytes.set(stats.disk_bytes as f64);
        queue.store_free_bytes.set(stats.free_bytes as f64);
        queue.store_failed.set(if stats.is_poisoned { 1.0 } else { 0.0 });
    });
    let weak = Arc::downgrade(topics);
    meters.render_too(move |out| {
        if let Some(topics) = weak.upgrade() {
            topics.render(out);
        }
    });
}
