use bytes::Bytes;
use futures::future::{self, BoxFuture};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;
use towline_requester::Handling;
use towline_rsocket::StreamError;
use towline_rsocket::engine::{Inbound, Item, Payload, Responder};
use towline_service_api::{Answer, Dispatch, Encoding, Interaction, Reply, Request, RpcError};

use crate::head::Head;
use crate::outcome::{payload, stream_error};
use crate::route::Route;
use crate::table::Table;

/// Answers requests with the services of an app.
pub(crate) struct Answering {
    table: Table,
    /// The encoding of data that does not say its own.
    default: Encoding,
}

/// A request that found its handler.
struct Found {
    reply: Reply,
    handling: Handling,
}

type Items = BoxStream<'static, Result<Bytes, RpcError>>;

impl Answering {
    pub(crate) fn new(table: Table, default: Encoding) -> Self {
        Self { table, default }
    }

    /// Reads a request and starts its handler. Errors: RST-600404, RST-700501, RST-201404, or past its deadline.
    fn open(&self, request: Payload, interaction: Interaction, items: Option<Items>) -> Result<Found, RpcError> {
        let Payload { metadata: sent, data: arguments } = request;
        let head = Head::read(sent.as_deref().unwrap_or_default());
        let route = Route::parse(head.route()?);
        let (encoding, accept) = head.encodings(self.default)?;
        let left = head.deadline();
        if left.is_some_and(|left| left.is_zero()) {
            return Err(RpcError::canceled("deadline exceeded"));
        }
        let service: &dyn Dispatch = self.table.find(route).ok_or_else(|| self.table.missing(route))?;
        let request = Request { encoding, accept, arguments, items };
        let reply = service.dispatch(route.method, interaction, request)?;
        let handling = Handling::new(left.map(|left| Instant::now() + left)).with_metadata(sent.clone());
        Ok(Found { reply, handling })
    }

    fn stream(&self, request: Payload, interaction: Interaction, items: Option<Items>) -> BoxStream<'static, Item> {
        match self.open(request, interaction, items) {
            Ok(found) => found.many(),
            Err(error) => stream::once(future::ready(Err(stream_error(error)))).boxed(),
        }
    }
}

impl Found {
    fn one(self) -> BoxFuture<'static, Result<Option<Payload>, StreamError>> {
        let Self { reply, handling } = self;
        let answer = match reply {
            Reply::Single(answer) => answer,
            // Generated servers never do this.
            Reply::Stream(mut answers) => {
                async move { answers.next().await.unwrap_or_else(|| Ok(Answer { encoding: None, data: Bytes::new() })) }
                    .boxed()
            }
        };
        handling.run(answer).map(|answer| payload(answer).map(Some)).boxed()
    }

    fn many(self) -> BoxStream<'static, Item> {
        let Self { reply, handling } = self;
        match reply {
            Reply::Single(answer) => stream::once(handling.run(answer).map(payload)).boxed(),
            Reply::Stream(answers) => handling.stream(answers).map(payload).boxed(),
        }
    }
}

impl Responder for Answering {
    fn fire_and_forget(&self, request: Payload) -> BoxFuture<'static, ()> {
        match self.open(request, Interaction::FireAndForget, None) {
            Ok(found) => found.one().map(|answer| report(answer.err())).boxed(),
            Err(error) => {
                report(Some(stream_error(error)));
                future::ready(()).boxed()
            }
        }
    }

    fn request_response(&self, request: Payload) -> BoxFuture<'static, Result<Option<Payload>, StreamError>> {
        match self.open(request, Interaction::RequestResponse, None) {
            Ok(found) => found.one(),
            Err(error) => future::ready(Err(stream_error(error))).boxed(),
        }
    }

    fn request_stream(&self, request: Payload) -> BoxStream<'static, Item> {
        self.stream(request, Interaction::RequestStream, None)
    }

    fn request_channel(&self, first: Payload, items: Inbound) -> BoxStream<'static, Item> {
        let items = items.map(|item| match item {
            Ok(item) => Ok(item.data),
            Err(error) => Err(RpcError::from_wire(error.code.0, error.message)),
        });
        self.stream(first, Interaction::RequestChannel, Some(items.boxed()))
    }
}

/// Nobody hears of what became of a one-way request: the log does.
fn report(error: Option<StreamError>) {
    if let Some(error) = error {
        tracing::debug!(%error, "a one-way request failed");
    }
}
