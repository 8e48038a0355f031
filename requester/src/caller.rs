use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use towline_rsocket::engine::{Config, Connection, Payload, Window};
use towline_service_api::{Answer, Call, Caller, RpcError};

use crate::handling::Handling;
use crate::pool::Pool;
use crate::request::Request;
use crate::retry::Budget;
use crate::sending::{Kind, Sending};
use crate::state::Phase;
use crate::stream;

/// How long a call waits unless it, its method or its app says otherwise.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Calls through the connections of an [`App`](crate::App), or through one given connection.
///
/// A call waits for a connection until its deadline. It is sent again within its deadline if it provably reached no
/// handler: at once if no connection took it; after the time asked for if it was REJECTED, up to three times or as often
/// as its `retry` says; for 300 ms if the broker knows no instance. Beyond that only if it is idempotent, has a `retry`,
/// and was lost, cancelled or failed without a typed error. Retries are at most a fifth of the calls of an app. Streams
/// and channels are sent again only before anything came of them.
#[derive(Clone)]
pub struct AppCaller {
    core: Arc<Core>,
}

/// What every call of an app shares.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) pool: Arc<Pool>,
    pub(crate) budget: Budget,
    pub(crate) timeout: Duration,
    pub(crate) window: Window,
}

impl AppCaller {
    /// Calls over one connection, for as long as it lives.
    pub fn over(connection: Connection) -> Self {
        Self::new(Arc::new(Core::new(Arc::new(Pool::of(connection)), TIMEOUT, Config::default().window())))
    }

    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    fn sending(&self, call: Call, kind: Kind) -> Sending<Call> {
        Sending::new(Arc::clone(&self.core), call, kind)
    }
}

impl Core {
    pub(crate) fn new(pool: Arc<Pool>, timeout: Duration, window: Window) -> Self {
        Self { pool, budget: Budget::default(), timeout, window }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // The last handle is gone, and with it the last call.
        self.pool.enter(Phase::Closing);
    }
}

impl Caller for AppCaller {
    fn unary(&self, call: Call) -> BoxFuture<'static, Result<Answer, RpcError>> {
        let sending = self.sending(call, Kind::Unary);
        let answer = async move { Call::read(sending.unary().await?.unwrap_or_default()) };
        async move { answer.await.inspect_err(Handling::note) }.boxed()
    }

    fn oneway(&self, call: Call) -> BoxFuture<'static, Result<(), RpcError>> {
        let sending = self.sending(call, Kind::OneWay);
        async move { sending.one_way().await.inspect_err(Handling::note) }.boxed()
    }

    fn stream(&self, call: Call) -> BoxStream<'static, Result<Answer, RpcError>> {
        stream::answers(self.sending(call, Kind::Stream), None)
    }

    fn channel(&self, call: Call, items: BoxStream<'static, Bytes>) -> BoxStream<'static, Result<Answer, RpcError>> {
        let items = items.map(|item| Ok(Payload::from_data(item))).boxed();
        stream::answers(self.sending(call, Kind::Stream), Some(items))
    }
}

impl fmt::Debug for AppCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppCaller").field("state", &self.core.pool.state()).finish_non_exhaustive()
    }
}
