use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};
use towline_rsocket::engine::{Item, ResponseStream, Window};
use towline_service_api::RpcError;

use crate::handling::Handling;
use crate::items::Items;
use crate::request::Request;
use crate::sending::{Sending, exceeded, rpc_error};

/// The answers of a stream or a channel. It is tried again elsewhere only before anything came of it, and only if that
/// proves that no handler saw it.
pub(crate) fn answers<R: Request>(
    sending: Sending<R>,
    items: Option<BoxStream<'static, Item>>,
) -> BoxStream<'static, Result<R::Answer, RpcError>> {
    let patience = Patience::new(sending.request.options().timeout);
    let items = items.map(|items| Items::new(patience.watch(items)));
    let noted = |answers: Answers<R>| answers.inspect_err(Handling::note);
    let opening = async move { open(sending, items, patience).await.inspect_err(Handling::note) };
    stream::once(opening)
        .map_ok(move |(first, rest)| stream::iter(first.map(Ok)).chain(noted(rest)))
        .try_flatten()
        .boxed()
}

async fn open<R: Request>(
    mut sending: Sending<R>,
    mut items: Option<Items>,
    patience: Patience,
) -> Result<(Option<R::Answer>, Answers<R>), RpcError> {
    let window = sending.request.options().prefetch.map_or(sending.core.window, Window::new);
    loop {
        let (link, request) = sending.aim().await?;
        let lent = items.as_mut().and_then(Items::lend);
        let answers = match lent {
            Some(lent) => link.connection.try_request_channel(request, lent, window),
            None => link.connection.request_stream(request, window),
        };
        let mut answers = Answers::new(answers, &patience);
        let error = match answers.next().await.transpose() {
            Ok(first) => return Ok((first, answers)),
            Err(error) => error,
        };
        drop(answers);
        let is_sent = !error.is_retryable();
        let are_here = is_sent
            || match &mut items {
                Some(items) => items.are_back().await,
                None => true,
            };
        if !are_here {
            return Err(error);
        }
        sending.failed(&link, error).await?;
    }
}

/// How long a stream may take: until the deadline of the handler it is part of, and between two items.
#[derive(Clone, Debug)]
struct Patience {
    deadline: Option<Instant>,
    silence: Option<Duration>,
    /// When the last item left; none do for a stream.
    left: Arc<Mutex<Option<Instant>>>,
}

impl Patience {
    fn new(silence: Option<Duration>) -> Self {
        Self { deadline: Handling::deadline(), silence, left: Arc::default() }
    }

    /// Counts items on their way out as a sign of life, if that matters.
    fn watch(&self, items: BoxStream<'static, Item>) -> BoxStream<'static, Item> {
        if self.silence.is_none() {
            return items;
        }
        let left = Arc::clone(&self.left);
        items.inspect(move |_| *left.lock() = Some(Instant::now())).boxed()
    }

    /// When to give up, if nothing came since.
    fn end(&self, since: Instant) -> Option<Instant> {
        let since = (*self.left.lock()).map_or(since, |left| left.max(since));
        let silent = self.silence.and_then(|silence| since.checked_add(silence));
        silent.into_iter().chain(self.deadline).min()
    }
}

/// The answers that come on one connection; dropping them cancels the call.
struct Answers<R> {
    answers: Option<ResponseStream>,
    patience: Patience,
    /// Since when nothing came.
    since: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
    request: PhantomData<fn() -> R>,
}

impl<R> Answers<R> {
    fn new(answers: ResponseStream, patience: &Patience) -> Self {
        Self {
            answers: Some(answers),
            patience: patience.clone(),
            since: Instant::now(),
            alarm: None,
            request: PhantomData,
        }
    }

    /// Ready once it has taken too long.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(end) = self.patience.end(self.since) else { return Poll::Pending };
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(end)));
            if alarm.deadline() != end {
                alarm.as_mut().reset(end);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // An item that left meanwhile moved the end on.
            if self.patience.end(self.since).is_none_or(|end| end <= Instant::now()) {
                return Poll::Ready(());
            }
        }
    }
}

impl<R: Request> Stream for Answers<R> {
    type Item = Result<R::Answer, RpcError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(answers) = &mut self.answers else { return Poll::Ready(None) };
        let item = match answers.poll_next_unpin(cx) {
            Poll::Ready(item) => item.map(|item| item.map_err(rpc_error).and_then(R::read)),
            Poll::Pending if self.poll_alarm(cx).is_pending() => return Poll::Pending,
            Poll::Pending => Some(Err(exceeded())),
        };
        if matches!(item, Some(Ok(_))) {
            self.since = Instant::now();
        } else {
            self.answers = None;
        }
        Poll::Ready(item)
    }
}
