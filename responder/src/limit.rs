use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use towline_service_api::{Contract, Dispatch, Interaction, Reply, Request, RpcError};

/// When a refused caller may try again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Lets a service take only so many requests at a time: `.serve(UserServiceServer::new(Users).max_in_flight(100))`.
pub trait Limit: Dispatch + Sized {
    /// Refuses requests (REJECTED, try again in 100 ms) while this many are being answered; streams count until their end.
    fn max_in_flight(self, limit: usize) -> Limited<Self> {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Limited { service: self, limit, free: Arc::new(Semaphore::new(limit)) }
    }
}

impl<D: Dispatch> Limit for D {}

/// A service with a limit; see [`Limit`].
#[derive(Debug)]
pub struct Limited<D> {
    service: D,
    limit: usize,
    free: Arc<Semaphore>,
}

impl<D: Dispatch> Dispatch for Limited<D> {
    fn contract(&self) -> &'static Contract {
        self.service.contract()
    }

    fn dispatch(&self, method: &str, interaction: Interaction, request: Request) -> Result<Reply, RpcError> {
        let permit = Arc::clone(&self.free).try_acquire_owned().map_err(|_full| {
            let (key, limit) = (&self.contract().key, self.limit);
            RpcError::rejected(format!("{key} answers {limit} requests already, its limit"), Some(RETRY_AFTER))
        })?;
        let reply = self.service.dispatch(method, interaction, request)?;
        Ok(holding(reply, permit))
    }
}

/// The same reply, which gives its permit back when it is over or dropped.
fn holding(reply: Reply, permit: OwnedSemaphorePermit) -> Reply {
    match reply {
        Reply::Later(begin) => Reply::Later(Box::new(move |respond| {
            begin(Box::new(move |answer| {
                drop(permit);
                respond(answer);
            }));
        })),
        Reply::Single(answer) => Reply::Single(answer.inspect(move |_| drop(permit)).boxed()),
        Reply::Stream(answers) => Reply::Stream(
            answers
                .inspect(move |_| {
                    let _held = &permit;
                })
                .boxed(),
        ),
    }
}
