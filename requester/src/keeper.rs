use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use towline_rsocket::engine::{CallFailure, ClientSetup, Config, Payload, Responder, connect};
use towline_rsocket::transport::{ClientTls, Transport};
use towline_rsocket::{ConnectionError, ErrorCode};
use towline_service_api::builtin::HealthClient;
use towline_service_api::{Call, CallOptions, Client, Encoding};

use crate::address::Address;
use crate::backoff::{Backoff, Pace};
use crate::dial::{dial, unanswered};
use crate::front::Front;
use crate::link::{Link, Signals, Unclaimed};
use crate::metadata;
use crate::pool::{Pool, Trouble};
use crate::setup::Identity;
use crate::state::{AppState, Phase};

/// How long one try may take: to dial, and to get the first sign of life.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the connections of an app have in common.
pub(crate) struct Common {
    pub(crate) pool: Arc<Pool>,
    pub(crate) identity: Identity,
    pub(crate) setup: ClientSetup,
    pub(crate) config: Config,
    pub(crate) tls: ClientTls,
    pub(crate) responder: Arc<dyn Responder>,
    pub(crate) is_serving: bool,
    pub(crate) grace: Duration,
}

/// Where a connection comes from.
pub(crate) enum Place {
    Dialled(Address),
    /// Already there, once.
    Given(Mutex<Option<Arc<dyn Transport>>>, String),
}

/// Keeps one connection to one broker.
pub(crate) struct Keeper {
    common: Arc<Common>,
    index: usize,
    place: Place,
    backoff: Backoff,
    phase: watch::Receiver<AppState>,
    /// Connections that are left and end on their own.
    retiring: JoinSet<()>,
}

/// Runs a keeper for every place, until the app closes or none has anything to keep.
pub(crate) async fn keep_all(common: Arc<Common>, places: Vec<Place>) {
    let mut keepers = JoinSet::new();
    for (index, place) in places.into_iter().enumerate() {
        keepers.spawn(Keeper::new(Arc::clone(&common), index, place).run());
    }
    while keepers.join_next().await.is_some() {}
    common.pool.enter(Phase::Closed);
}

impl Keeper {
    fn new(common: Arc<Common>, index: usize, place: Place) -> Self {
        let phase = common.pool.subscribe();
        Self { common, index, place, backoff: Backoff::default(), phase, retiring: JoinSet::new() }
    }

    async fn run(mut self) {
        loop {
            let mut phase = self.phase.clone();
            let link = select! {
                biased;
                () = closing(&mut phase) => break,
                link = self.establish() => link,
            };
            let pace = match link {
                Ok(link) => self.live(link).await,
                Err(trouble) => {
                    let pace = if trouble.is_refusal { Pace::Refused } else { Pace::Away };
                    self.report("not connected", trouble);
                    pace
                }
            };
            if matches!(self.place, Place::Given(..)) {
                break;
            }
            let pause = self.backoff.pause(pace, fastrand::f64());
            select! {
                biased;
                () = closing(&mut phase) => break,
                () = sleep(pause) => {}
            }
            while self.retiring.try_join_next().is_some() {}
        }
        while self.retiring.join_next().await.is_some() {}
    }

    /// Until a connection ends, is to be replaced, or the app closes.
    async fn live(&mut self, link: Arc<Link>) -> Pace {
        let (pool, since) = (&self.common.pool, Instant::now());
        tracing::info!(broker = self.place.name(), "connected");
        pool.recovered(self.index);
        pool.add(Arc::clone(&link));
        select! {
            biased;
            error = link.connection.closed() => {
                pool.remove(&link);
                self.report("connection lost", self.trouble(error));
            }
            () = link.signals.replaced() => {
                tracing::info!(broker = self.place.name(), "leaving a connection");
                self.retiring.spawn(leave(Arc::clone(&self.common), link));
            }
            () = closing(&mut self.phase) => {
                leave(Arc::clone(&self.common), link).await;
            }
        }
        self.backoff.lived(since.elapsed());
        Pace::Away
    }

    /// Dials, sends SETUP and waits for a sign of life: RSocket has no answer to SETUP, so a health check is asked for,
    /// and any answer to it will do.
    async fn establish(&self) -> Result<Arc<Link>, Trouble> {
        let failed = |text: String| Trouble { broker: self.place.name().to_owned(), text, is_refusal: false };
        let transport: Arc<dyn Transport> = match &self.place {
            Place::Given(transport, _) => {
                transport.lock().take().ok_or_else(|| failed("the connection was used up".to_owned()))?
            }
            Place::Dialled(address) => match timeout(PATIENCE, dial(address, &self.common.tls)).await {
                Ok(Ok(transport)) => transport,
                Ok(Err(error)) => return Err(failed(error.to_string())),
                Err(_elapsed) => return Err(failed(format!("no connection within {PATIENCE:?}"))),
            },
        };
        let Common { pool, setup, config, responder, .. } = &*self.common;
        let signals = Arc::<Signals>::default();
        let front = Front { pool: Arc::clone(pool), signals: Arc::clone(&signals), responder: Arc::clone(responder) };
        let connection = connect(transport, setup.clone(), Arc::new(front), config.clone());
        let unclaimed = Unclaimed::new(&connection);
        let answer = async {
            connection.leased().await;
            connection.request_response(probe()).await
        };
        match timeout(PATIENCE, answer).await {
            Ok(Ok(_) | Err(CallFailure::Stream(_))) => {}
            Ok(Err(CallFailure::Connection { error, .. })) => return Err(self.unanswered(error)),
            Err(_elapsed) => return Err(failed(format!("SETUP was sent, and no answer came within {PATIENCE:?}"))),
        }
        unclaimed.claim();
        Ok(Arc::new(Link::new(connection, signals)))
    }

    /// Logged once, however often it is tried again.
    fn report(&self, what: &'static str, trouble: Trouble) {
        let Trouble { broker, text, .. } = trouble.clone();
        if self.common.pool.report(self.index, trouble) {
            tracing::warn!(broker, why = text, "{what}");
        } else {
            tracing::debug!(broker, why = text, "{what}");
        }
    }

    /// No answer came at all: the address may be the fault.
    fn unanswered(&self, error: ConnectionError) -> Trouble {
        let text = match &self.place {
            Place::Dialled(address) => unanswered(address, &error),
            Place::Given(..) => error.to_string(),
        };
        let trouble = self.trouble(error);
        if trouble.is_refusal { trouble } else { Trouble { text, ..trouble } }
    }

    fn trouble(&self, error: ConnectionError) -> Trouble {
        let broker = self.place.name().to_owned();
        match error {
            ConnectionError::Refused { code, message } if code.0 <= ErrorCode::REJECTED_RESUME.0 => {
                Trouble { broker, text: message, is_refusal: true }
            }
            error => Trouble { broker, text: error.to_string(), is_refusal: false },
        }
    }
}

impl Place {
    fn name(&self) -> &str {
        match self {
            Self::Dialled(address) => &address.text,
            Self::Given(_, peer) => peer,
        }
    }
}

/// Ends a connection in peace. Its services are taken out of routing first; once the broker has answered what follows
/// that, no request is on its way here any more that closing would lose.
async fn leave(common: Arc<Common>, link: Arc<Link>) {
    let began = Instant::now();
    if common.is_serving {
        link.connection.metadata_push(common.identity.farewell());
        // If it does not answer, what is on its way is lost as it would be without asking.
        let _ = timeout(common.grace, link.connection.request_response(probe())).await;
    }
    link.retire(common.grace.saturating_sub(began.elapsed())).await;
    common.pool.remove(&link);
}

async fn closing(phase: &mut watch::Receiver<AppState>) {
    // The sender outlives this task: it is in `Common`.
    let _ = phase.wait_for(|state| state.phase != Phase::Running).await;
}

/// A call of `towline.Health.check` for the broker itself.
fn probe() -> Payload {
    let call = Call {
        service: HealthClient::contract().key.clone(),
        method: "check".into(),
        encoding: Encoding::Json,
        arguments: bytes::Bytes::new(),
        options: CallOptions::default(),
    };
    Payload { metadata: Some(metadata::write(&call, None).expect("the route is short")), data: call.arguments }
}
