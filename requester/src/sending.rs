use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use towline_rsocket::engine::{CallFailure, Payload};
use towline_service_api::{Delivery, RpcError};

use crate::caller::Core;
use crate::handling::Handling;
use crate::link::Link;
use crate::request::Request;
use crate::retry::{Effort, Next};

/// One call on its way: it looks for a connection, and for another one where that is safe.
pub(crate) struct Sending<R> {
    pub(crate) core: Arc<Core>,
    pub(crate) request: R,
    effort: Effort,
    /// When there is no use any more in sending it.
    pub(crate) send_by: Option<Instant>,
    /// What the request says of its deadline.
    told: Option<Instant>,
    is_nested: bool,
    /// Connections that were tried.
    avoid: Vec<u64>,
}

/// Which shape of call it is, as far as deadlines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The timeout is the time until the answer.
    Unary,
    /// Nobody waits for what it does, so it inherits no deadline; the timeout is its own.
    OneWay,
    /// The timeout is the longest silence.
    Stream,
}

impl<R: Request> Sending<R> {
    /// Reads what the running handler, if any, hands down: the deadline of its request.
    pub(crate) fn new(core: Arc<Core>, request: R, kind: Kind) -> Self {
        let options = request.options();
        core.budget.earn();
        let inherited = Handling::deadline();
        let timeout = options.timeout.unwrap_or(core.timeout);
        // A timeout beyond the clock's end is none.
        let own = Instant::now().checked_add(timeout);
        let send_by = own.into_iter().chain(inherited).min();
        let told = match kind {
            Kind::Unary => send_by,
            Kind::OneWay => own.filter(|_| options.timeout.is_some()),
            Kind::Stream => inherited,
        };
        let effort = Effort::new(options, kind == Kind::Unary);
        let is_nested = Handling::is_active();
        Self { core, request, effort, send_by, told, is_nested, avoid: Vec::new() }
    }

    /// `None` if the answer is a COMPLETE without a payload.
    pub(crate) async fn unary(mut self) -> Result<Option<Payload>, RpcError> {
        loop {
            let (link, request) = self.aim().await?;
            let error = match until(self.send_by, link.connection.request_response(request)).await {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(failure)) => rpc_error(failure),
                // The stream was dropped with its future, which cancels it.
                None => return Err(exceeded()),
            };
            self.failed(&link, error).await?;
        }
    }

    pub(crate) async fn one_way(mut self) -> Result<(), RpcError> {
        loop {
            let (link, request) = self.aim().await?;
            let error = match until(self.send_by, link.connection.fire_and_forget(request)).await {
                Some(Ok(())) => return Ok(()),
                Some(Err(failure)) => rpc_error(failure),
                None => return Err(RpcError { delivery: Delivery::NotDelivered, ..exceeded() }),
            };
            self.failed(&link, error).await?;
        }
    }

    /// A connection, and the request as it goes out there. Errors: none in time; it cannot be written.
    pub(crate) async fn aim(&mut self) -> Result<(Arc<Link>, Payload), RpcError> {
        let pool = &self.core.pool;
        let picked = if pool.is_closing() { None } else { pool.pick(&self.avoid, self.is_nested) };
        let link = match picked {
            Some(link) => link,
            None => pool.wait(&self.avoid, self.is_nested, self.send_by).await?,
        };
        let left = match self.told {
            Some(told) => Some(left_until(told).ok_or_else(exceeded)?),
            None => None,
        };
        Ok((link, self.request.write(left)?))
    }

    /// A try failed. Returns once it may be tried again. Errors: it may not; this was the end.
    pub(crate) async fn failed(&mut self, link: &Link, error: RpcError) -> Result<(), RpcError> {
        let (core, now) = (&self.core, Instant::now());
        if error.code == RpcError::CONNECTION_CLOSED {
            core.pool.failed(&link.signals);
        }
        self.avoid.push(link.serial);
        let has_other = core.pool.pick(&self.avoid, self.is_nested).is_some();
        let next = self.effort.next(&error, now, has_other, fastrand::f64());
        let pause = match next {
            Next::Stop => return Err(error),
            Next::Elsewhere => return Ok(()),
            Next::Other => Duration::ZERO,
            Next::After(pause) => pause,
        };
        if self.send_by.is_some_and(|send_by| now + pause >= send_by) || !core.budget.spend() {
            return Err(error);
        }
        tracing::debug!(to = self.request.target(), %error, ?next, "trying again");
        if next != Next::Other {
            self.avoid.clear();
            sleep(pause).await;
        }
        Ok(())
    }
}

/// What the engine says of a call that failed.
pub(crate) fn rpc_error(failure: CallFailure) -> RpcError {
    match failure {
        CallFailure::Stream(error) => RpcError::from_wire(error.code.0, error.message),
        CallFailure::Connection { error, is_written: false } => RpcError::not_connected(error.to_string()),
        CallFailure::Connection { error, is_written: true } => RpcError::connection_lost(error.to_string()),
    }
}

pub(crate) fn exceeded() -> RpcError {
    RpcError::canceled("deadline exceeded")
}

/// Waits for a future until then; `None` if it took longer.
pub(crate) async fn until<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        Some(deadline) => timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

fn left_until(deadline: Instant) -> Option<Duration> {
    deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}
