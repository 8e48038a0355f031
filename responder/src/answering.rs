use std::sync::Arc;

use bytes::Bytes;
use futures::future::{self, BoxFuture};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use tokio::time::Instant;
use towline_requester::Handling;
use towline_rsocket::StreamError;
use towline_rsocket::engine::{Inbound, Item, Payload, Responder};
use towline_service_api::{Answer, Encoding, Interaction, Reply, Request, RpcError};

use crate::head::Head;
use crate::outcome::{payload, rpc_error, stream_error};
use crate::route::Route;
use crate::table::{Service, Table};

/// Answers requests with the services of an app.
pub(crate) struct Answering {
    table: Table,
    /// The encoding of data that does not say its own.
    default: Encoding,
}

/// A request that found its service.
enum Found {
    /// Read, and given to its handler.
    Call(Reply, Handling),
    /// As it came, for a service that takes whole payloads.
    Whole(Arc<dyn Responder>, Payload, Option<Inbound>, Handling),
}

impl Answering {
    pub(crate) fn new(table: Table, default: Encoding) -> Self {
        Self { table, default }
    }

    /// Reads a request and starts its handler. Errors: RST-600404, RST-700501, RST-201404, or past its deadline.
    fn open(&self, request: Payload, interaction: Interaction, items: Option<Inbound>) -> Result<Found, RpcError> {
        let sent = request.metadata.clone();
        let head = Head::read(sent.as_deref().unwrap_or_default());
        let route = Route::parse(head.route()?);
        let left = head.deadline();
        if left.is_some_and(|left| left.is_zero()) {
            return Err(RpcError::canceled("deadline exceeded"));
        }
        let handling = Handling::new(left.map(|left| Instant::now() + left)).with_metadata(sent.clone());
        let entry = self.table.find(route).ok_or_else(|| self.table.missing(route))?;
        match &entry.service {
            Service::Calls(service) => {
                let (encoding, accept) = head.encodings(self.default)?;
                let items = items.map(|items| items.map(data).boxed());
                let request = Request { encoding, accept, arguments: request.data, items };
                Ok(Found::Call(service.dispatch(route.method, interaction, request)?, handling))
            }
            Service::Payloads(responder) => Ok(Found::Whole(Arc::clone(responder), request, items, handling)),
        }
    }

    fn stream(&self, request: Payload, interaction: Interaction, items: Option<Inbound>) -> BoxStream<'static, Item> {
        match self.open(request, interaction, items) {
            Ok(found) => found.many(),
            Err(error) => stream::once(future::ready(Err(stream_error(error)))).boxed(),
        }
    }
}

impl Found {
    fn none(self) -> BoxFuture<'static, Result<(), StreamError>> {
        match self {
            Self::Whole(responder, request, _, handling) => {
                handling.run(responder.fire_and_forget(request).map(Ok)).map_err(stream_error).boxed()
            }
            call @ Self::Call(..) => call.one().map_ok(drop).boxed(),
        }
    }

    fn one(self) -> BoxFuture<'static, Result<Option<Payload>, StreamError>> {
        match self {
            Self::Call(Reply::Single(answer), handling) => {
                handling.run(answer).map(|answer| payload(answer).map(Some)).boxed()
            }
            // Generated servers never do this.
            Self::Call(Reply::Stream(mut answers), handling) => {
                let nothing = || Ok(Answer { encoding: None, data: Bytes::new() });
                let answer = async move { answers.next().await.unwrap_or_else(nothing) };
                handling.run(answer).map(|answer| payload(answer).map(Some)).boxed()
            }
            Self::Whole(responder, request, _, handling) => {
                handling.run(responder.request_response(request).map_err(rpc_error)).map_err(stream_error).boxed()
            }
        }
    }

    fn many(self) -> BoxStream<'static, Item> {
        match self {
            Self::Call(Reply::Single(answer), handling) => stream::once(handling.run(answer).map(payload)).boxed(),
            Self::Call(Reply::Stream(answers), handling) => handling.stream(answers).map(payload).boxed(),
            Self::Whole(responder, request, items, handling) => {
                let answers = match items {
                    None => responder.request_stream(request),
                    Some(items) => responder.request_channel(request, items),
                };
                handling.stream(answers.map_err(rpc_error)).map_err(stream_error).boxed()
            }
        }
    }
}

impl Responder for Answering {
    fn fire_and_forget(&self, request: Payload) -> BoxFuture<'static, ()> {
        match self.open(request, Interaction::FireAndForget, None) {
            Ok(found) => found.none().map(|outcome| report(outcome.err())).boxed(),
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
        self.stream(first, Interaction::RequestChannel, Some(items))
    }

    fn metadata_push(&self, metadata: Bytes) {
        self.table.whole().for_each(|responder| responder.metadata_push(metadata.clone()));
    }
}

fn data(item: Item) -> Result<Bytes, RpcError> {
    item.map(|item| item.data).map_err(rpc_error)
}

/// Nobody hears of what became of a one-way request: the log does.
fn report(error: Option<StreamError>) {
    if let Some(error) = error {
        tracing::debug!(%error, "a one-way request failed");
    }
}
