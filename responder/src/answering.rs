use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{self, BoxFuture};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use tokio::sync::oneshot;
use tokio::time::Instant;
use towline_requester::Handling;
use towline_rsocket::StreamError;
use towline_rsocket::engine::{Inbound, Item, Payload, Replier, Responder};
use towline_service_api::{Accept, Answer, Dispatch, Encoding, Interaction, Reply, Request, Respond, RpcError};

use crate::head::Head;
use crate::outcome::{payload, rpc_error, stream_error};
use crate::route::Route;
use crate::table::{Service, Table};

/// Bytes of metadata that are kept for the next request, at most.
const KEPT: usize = 2 * 1024;

/// Answers requests with the services of an app.
pub(crate) struct Answering {
    table: Table,
    /// The encoding of data that does not say its own.
    default: Encoding,
    /// What the last metadata that led to a method meant: the next is often the same.
    last: Mutex<Option<Known>>,
}

/// Metadata and what it means; a copy, as that of a large request is a part of all of it, which must not be kept.
type Known = (Box<[u8]>, Arc<Meaning>);

/// What the metadata of a request says.
struct Meaning {
    service: Arc<dyn Dispatch>,
    method: Box<str>,
    encoding: Encoding,
    accept: Accept,
    left: Option<Duration>,
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
        Self { table, default, last: Mutex::new(None) }
    }

    /// Reads a request and starts its handler. Errors: RST-600404, RST-700501, RST-201404, or past its deadline.
    fn open(&self, request: Payload, interaction: Interaction, items: Option<Inbound>) -> Result<Found, RpcError> {
        let metadata = request.metadata.as_deref().unwrap_or_default();
        let known = self.last().as_ref().filter(|(known, _)| **known == *metadata).map(|(_, meaning)| meaning.clone());
        let meaning = match known {
            Some(known) => known,
            None => {
                let head = Head::read(metadata);
                let route = Route::parse(head.route()?);
                let left = head.deadline();
                if left.is_some_and(|left| left.is_zero()) {
                    return Err(RpcError::canceled("deadline exceeded"));
                }
                let entry = self.table.find(route).ok_or_else(|| self.table.missing(route))?;
                match &entry.service {
                    Service::Payloads(responder) => {
                        let handling = handling(left, request.metadata.clone());
                        return Ok(Found::Whole(Arc::clone(responder), request, items, handling));
                    }
                    Service::Calls(service) => {
                        let (encoding, accept) = head.encodings(self.default)?;
                        let (service, method) = (Arc::clone(service), route.method.into());
                        let meaning = Arc::new(Meaning { service, method, encoding, accept, left });
                        if metadata.len() <= KEPT {
                            *self.last() = Some((metadata.into(), meaning.clone()));
                        }
                        meaning
                    }
                }
            }
        };
        let Meaning { service, method, encoding, accept, left } = &*meaning;
        let items = items.map(|items| items.map(data).boxed());
        let call = Request { encoding: *encoding, accept: *accept, arguments: request.data, items };
        let reply = service.dispatch(method, interaction, call)?;
        Ok(Found::Call(reply, handling(*left, request.metadata)))
    }

    fn last(&self) -> MutexGuard<'_, Option<Known>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
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
            Self::Call(Reply::Later(begin), handling) => {
                handling.run(soon(begin)).map(|answer| payload(answer).map(Some)).boxed()
            }
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
            Self::Call(Reply::Later(begin), handling) => stream::once(handling.run(soon(begin)).map(payload)).boxed(),
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

    fn answer(&self, request: Payload, replier: Replier) {
        match self.open(request, Interaction::RequestResponse, None) {
            Ok(Found::Call(Reply::Later(begin), _)) => {
                let later = replier.later();
                begin(Box::new(move |answer| later.send(payload(answer).map(Some))));
            }
            Ok(found) => replier.run(found.one()),
            Err(error) => replier.run(future::ready(Err(stream_error(error))).boxed()),
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

fn handling(left: Option<Duration>, metadata: Option<Bytes>) -> Handling {
    Handling::new(left.map(|left| Instant::now() + left)).with_metadata(metadata)
}

/// An answer that is given later, awaited.
async fn soon(begin: impl FnOnce(Respond)) -> Result<Answer, RpcError> {
    let (sender, answer) = oneshot::channel();
    begin(Box::new(move |answer| {
        // Who has gone does not want to know.
        let _ = sender.send(answer);
    }));
    answer.await.unwrap_or_else(|_| Err(RpcError::application("the handler of this request failed")))
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
