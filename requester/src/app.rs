use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;
use towline_rsocket::transport::Transport;
use towline_service_api::{Caller, Client};

use crate::address::Addresses;
use crate::builder::AppBuilder;
use crate::caller::{AppCaller, Core};
use crate::publish::Topic;
use crate::state::{AppState, Phase};

/// An app: its connections to the brokers, kept for as long as it runs. Clones are handles to one app.
///
/// It closes when [`close`](Self::close) is called, or in the background when the last handle, client and call is gone.
#[derive(Clone)]
pub struct App {
    core: Arc<Core>,
    name: Arc<str>,
    uuid: Arc<str>,
}

impl App {
    /// Starts to describe an app that connects to these brokers, 8 at most, several in a list or separated by
    /// commas: `rsocket://host:port` or `tcp://host:port` (plain TCP), `tls://host:port`, or `unix:///path`. It has one
    /// connection to each.
    pub fn connect(brokers: impl Into<Addresses>) -> AppBuilder {
        AppBuilder::dialling(brokers.into())
    }

    /// Starts to describe an app that runs over one given transport. When that ends, the app ends.
    pub fn over(transport: Arc<dyn Transport>) -> AppBuilder {
        AppBuilder::over(transport)
    }

    pub(crate) fn new(core: Arc<Core>, name: &str, uuid: &str) -> Self {
        Self { core, name: name.into(), uuid: uuid.into() }
    }

    #[cfg(feature = "raw")]
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// A client of a service, wherever it runs: `app.client::<UserServiceClient>()`.
    pub fn client<C: Client>(&self) -> C {
        C::from_caller(self.caller())
    }

    /// What clients are made of.
    pub fn caller(&self) -> Arc<dyn Caller> {
        Arc::new(AppCaller::new(Arc::clone(&self.core)))
    }

    /// A durable topic, to publish to; it need not be there yet.
    pub fn topic(&self, name: impl Into<String>) -> Topic {
        Topic::new(self.clone(), name.into())
    }

    /// The name it goes by; may be empty.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What brokers know it by, the same after every reconnect.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// Connections that take new calls.
    pub fn connected(&self) -> usize {
        self.core.pool.state().connected
    }

    /// Waits until a broker is connected. False: the app was closed first.
    pub async fn wait_connected(&self) -> bool {
        self.reach(|state| state.connected > 0 || state.phase == Phase::Closed).await.connected > 0
    }

    /// How it is doing, and every change of that.
    pub fn state(&self) -> watch::Receiver<AppState> {
        self.core.pool.subscribe()
    }

    /// Closes: refuses new requests and calls (not the nested ones of handlers at work), tells the brokers to send no
    /// more, waits until what is in progress has ended, for the builder's `grace` at most, and closes the connections.
    pub async fn close(&self) {
        self.core.pool.enter(Phase::Closing);
        self.closed().await;
    }

    /// Waits until the app is closed, by whomever.
    pub async fn closed(&self) {
        self.reach(|state| state.phase == Phase::Closed).await;
    }

    async fn reach(&self, is_reached: impl FnMut(&AppState) -> bool) -> AppState {
        let mut state = self.state();
        *state.wait_for(is_reached).await.expect("the sender lives as long as this handle")
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("name", &self.name)
            .field("uuid", &self.uuid)
            .field("state", &self.core.pool.state())
            .finish_non_exhaustive()
    }
}
