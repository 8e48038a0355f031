use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::timeout;
use towline_rsocket::engine::Config;
use towline_rsocket::transport::{ClientTls, Transport};
use towline_service_api::ServiceKey;

use crate::address::Addresses;
use crate::app::App;
use crate::caller::{Core, TIMEOUT};
use crate::error::StartError;
use crate::front::NoServices;
use crate::keeper::{Common, Place, keep_all};
use crate::pool::Pool;
use crate::serving::Serving;
use crate::setup::{Identity, random_hex};
use crate::state::Phase;

/// How long [`AppBuilder::start`] waits for the first broker.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long closing waits for what is in progress.
const GRACE: Duration = Duration::from_secs(10);

/// An app that is not started yet. What is wrong with it is told when it starts.
#[must_use = "an app does nothing before it is started"]
pub struct AppBuilder {
    origin: Origin,
    identity: Identity,
    timeout: Duration,
    connect_timeout: Duration,
    grace: Duration,
    config: Config,
    roots: Option<Vec<u8>>,
    serving: Option<Box<dyn Serving>>,
}

enum Origin {
    Brokers(Addresses),
    Transport(Arc<dyn Transport>),
}

impl AppBuilder {
    fn new(origin: Origin) -> Self {
        let identity = Identity { name: String::new(), uuid: random_hex(), metadata: BTreeMap::new(), token: None };
        Self {
            origin,
            identity,
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            grace: GRACE,
            config: Config::default(),
            roots: None,
            serving: None,
        }
    }

    pub(crate) fn dialling(brokers: Addresses) -> Self {
        Self::new(Origin::Brokers(brokers))
    }

    pub(crate) fn over(transport: Arc<dyn Transport>) -> Self {
        Self::new(Origin::Transport(transport))
    }

    /// Connects to these brokers too; nothing on an app over a given transport.
    pub fn broker(mut self, brokers: impl Into<Addresses>) -> Self {
        if let Origin::Brokers(all) = &mut self.origin {
            all.add(brokers.into());
        }
        self
    }

    /// The name people see.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.identity.name = name.into();
        self
    }

    /// The identity brokers know this instance by: 32 to 128 characters, unlike any other instance's; random unless given.
    pub fn uuid(mut self, uuid: impl Into<String>) -> Self {
        self.identity.uuid = uuid.into();
        self
    }

    /// The zone it runs in, for brokers that prefer near instances.
    pub fn zone(self, zone: impl Into<String>) -> Self {
        self.metadata("zone".to_owned(), zone.into())
    }

    /// Its share of the load, compared with others of its services; 1 unless given.
    pub fn weight(self, weight: u32) -> Self {
        self.metadata("weight".to_owned(), weight.to_string())
    }

    /// A label callers may ask for (`.tag(key, value)`).
    pub fn label(self, key: impl AsRef<str>, value: impl Into<String>) -> Self {
        self.metadata(format!("labels.{}", key.as_ref()), value.into())
    }

    fn metadata(mut self, key: String, value: String) -> Self {
        self.identity.metadata.insert(key, value);
        self
    }

    /// The token it authenticates with.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.identity.token = Some(token.into());
        self
    }

    /// The authorities that sign the certificates of brokers at `tls://` and `wss://`, as PEM, in place of those every browser trusts.
    pub fn roots_pem(mut self, roots: impl Into<Vec<u8>>) -> Self {
        self.roots = Some(roots.into());
        self
    }

    /// How long a call waits for its answer unless it or its method says otherwise; 10 s unless given.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long [`start`](Self::start) waits for the first broker; 10 s unless given.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long closing waits for what is in progress; 10 s unless given.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The time between KEEPALIVE frames, and the silence after which a broker counts as gone; 20 s and 90 s unless given.
    pub fn keepalive(mut self, interval: Duration, lifetime: Duration) -> Self {
        (self.config.keepalive, self.config.lifetime) = (interval, lifetime);
        self
    }

    /// All limits and times of a connection.
    pub fn engine(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Changes what the app answers with, made at first use: the hook of the crate `towline-responder`.
    ///
    /// # Panics
    /// If it answers with something of another type already.
    pub fn serving<S: Serving + Default>(mut self, change: impl FnOnce(&mut S)) -> Self {
        let serving = self.serving.get_or_insert_with(|| Box::new(S::default()));
        let serving: &mut dyn Any = &mut **serving;
        change(serving.downcast_mut().expect("an app answers with one kind of thing"));
        self
    }

    /// Starts and waits until a broker is connected.
    ///
    /// # Errors
    /// What was described cannot be, every broker refused it, or none was there in time.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(self) -> Result<App, StartError> {
        let within = self.connect_timeout;
        let (app, pool) = self.launch()?;
        let mut state = pool.subscribe();
        let first = async {
            loop {
                let now = *state.borrow_and_update();
                match pool.refusal() {
                    _ if now.connected > 0 => return Ok(()),
                    Some(refusal) => return Err(StartError::Refused { broker: refusal.broker, text: refusal.text }),
                    None if now.phase != Phase::Running => return Err(late(&pool, within)),
                    None => {}
                }
                // The sender is in `pool`.
                let _ = state.changed().await;
            }
        };
        // An app that is dropped here closes.
        timeout(within, first).await.unwrap_or_else(|_elapsed| Err(late(&pool, within)))?;
        Ok(app)
    }

    /// Starts and returns at once; calls wait until a broker is connected.
    ///
    /// # Errors
    /// What was described cannot be.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start_detached(self) -> Result<App, StartError> {
        self.launch().map(|(app, _)| app)
    }

    fn launch(self) -> Result<(App, Arc<Pool>), StartError> {
        let places = match self.origin {
            Origin::Brokers(brokers) => brokers.parse()?.into_iter().map(Place::Dialled).collect(),
            Origin::Transport(transport) => {
                let peer = transport.peer();
                vec![Place::Given(Mutex::new(Some(transport)), peer)]
            }
        };
        let tls = match self.roots {
            Some(roots) => ClientTls::with_roots_pem(&roots)?,
            None => ClientTls::public_roots(),
        };
        let services = self.serving.as_ref().map(|serving| serving.services()).unwrap_or_default();
        check_unique(&services)?;
        let setup = self.identity.setup(&services)?;
        let pool = Arc::new(Pool::new(places.len()));
        let window = self.config.window();
        let core = Arc::new(Core::new(Arc::clone(&pool), self.timeout, window));
        let app = App::new(core, &self.identity.name, &self.identity.uuid);
        let common = Common {
            pool: Arc::clone(&pool),
            identity: self.identity,
            setup,
            config: self.config,
            tls,
            responder: self.serving.map_or_else(|| Arc::new(NoServices) as _, Serving::into_responder),
            is_serving: !services.is_empty(),
            grace: self.grace,
        };
        tokio::spawn(keep_all(Arc::new(common), places));
        Ok((app, pool))
    }
}

fn check_unique(services: &[ServiceKey]) -> Result<(), StartError> {
    let mut seen = HashSet::new();
    match services.iter().find(|key| !seen.insert(*key)) {
        Some(key) => Err(StartError::ServedTwice(key.clone())),
        None => Ok(()),
    }
}

fn late(pool: &Pool, within: Duration) -> StartError {
    StartError::NotConnected { within, trouble: pool.troubles() }
}

impl fmt::Debug for AppBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the token.
        f.debug_struct("AppBuilder")
            .field("name", &self.identity.name)
            .field("uuid", &self.identity.uuid)
            .finish_non_exhaustive()
    }
}
