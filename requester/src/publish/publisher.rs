use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{self, poll_fn};
use futures::{FutureExt, Stream, StreamExt};
use parking_lot::Mutex;
use tokio::select;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use towline_service_api::builtin::{Confirmation, Message, QueueError};
use towline_service_api::{CallError, RpcError};

use super::error::PublishError;
use super::flight::{Entry, Flight};
use super::topic::{Topic, lean};
use crate::backoff::Backoff;
use crate::state::Phase;

/// Publishes many messages over one channel: each has its own outcome, and many are on their way at a time.
///
/// Messages are stored in the order of [`send`](Self::send), which waits while as many as the topic's
/// [`max_in_flight`](Topic::max_in_flight) have no outcome: so a slow disk or a topic that is full
/// ([`wait_when_full`](Topic::wait_when_full)) slows down who sends.
///
/// A channel that is lost is opened again for as long as the app runs. What was not sent yet follows there; what was sent
/// and not confirmed is sent again if it has an id or a sequence, and else is
/// [in doubt](PublishError::is_in_doubt). An error the broker gives for the topic (`unknown-topic`, `store-failed`) is the
/// outcome of all that is here; messages after that try anew.
///
/// Dropped, it still sends what it was given.
#[must_use = "a publisher publishes what it is sent"]
pub struct Publisher {
    flight: Arc<Mutex<Flight>>,
    room: Arc<Semaphore>,
    max_in_flight: u32,
    task: JoinHandle<()>,
}

/// What becomes of one message: its confirmation, or why there is none. Dropping it changes nothing.
#[derive(Debug)]
#[must_use = "without its outcome nobody knows whether a message is stored"]
pub struct Outcome(oneshot::Receiver<Result<Confirmation, PublishError>>);

impl Publisher {
    pub(super) fn start(topic: Topic) -> Self {
        let (_, _, max_in_flight) = topic.options();
        let flight = Arc::<Mutex<Flight>>::default();
        let task = tokio::spawn(run(topic, Arc::clone(&flight)));
        Self { flight, room: Arc::new(Semaphore::new(max_in_flight as usize)), max_in_flight, task }
    }

    /// Takes a message once there is room for it. What it returns is its outcome, to be awaited then or later.
    pub async fn send(&self, message: Message) -> Outcome {
        let (outcome, waits) = oneshot::channel();
        let room = Arc::clone(&self.room).acquire_owned().await.expect("it is never closed");
        match lean(message) {
            Ok(message) => self.flight.lock().push(Entry::new(message, outcome, room)),
            Err(error) => outcome.send(Err(error)).expect("its other half is here"),
        }
        Outcome(waits)
    }

    /// Waits until everything sent so far has its outcome.
    pub async fn flush(&self) {
        // In their turn, behind what was sent before.
        let all = self.room.acquire_many(self.max_in_flight).await;
        drop(all.expect("it is never closed"));
    }

    /// Waits until everything has its outcome, and closes the channel.
    pub async fn close(mut self) {
        self.flight.lock().shut();
        // It only fails if the runtime ends.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.flight.lock().shut();
    }
}

impl Future for Outcome {
    type Output = Result<Confirmation, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(cx).map(|outcome| {
            outcome.unwrap_or_else(|_gone| Err(PublishError::InDoubt { why: "its publisher ended".to_owned() }))
        })
    }
}

async fn run(topic: Topic, flight: Arc<Mutex<Flight>>) {
    let mut state = topic.app().state();
    let shutting = async {
        // An app that closes waits for its channels: this one ends with what is here.
        let _ = state.wait_for(|state| state.phase != Phase::Running).await;
        flight.lock().shut();
        future::pending().await
    };
    select! {
        () = publish(&topic, &flight) => {}
        () = shutting => {}
    }
}

/// Opens a channel whenever there is something to send, until there never will be.
async fn publish(topic: &Topic, flight: &Arc<Mutex<Flight>>) {
    let mut backoff = Backoff::default();
    while poll_fn(|cx| flight.lock().poll_waiting(cx)).await {
        let began = Instant::now();
        let Some(error) = channel(topic, flight).await else { continue };
        backoff.lived(began.elapsed());
        let is_running = topic.app().state().borrow().phase == Phase::Running;
        let pause = match &error {
            CallError::Rpc(error) if is_running => backoff.after(error, fastrand::f64()),
            _ => None,
        };
        match pause {
            Some(pause) => {
                tracing::debug!(topic = topic.name(), %error, "publishing again");
                flight.lock().lost(&error.to_string());
                sleep(pause).await;
            }
            None => flight.lock().failed(&error),
        }
    }
}

/// One channel, from its first item to its end; an end in peace is none.
async fn channel(topic: &Topic, flight: &Arc<Mutex<Flight>>) -> Option<CallError<QueueError>> {
    let (durability, on_full, max_in_flight) = topic.options();
    let items = Items { flight: Arc::clone(flight), channel: flight.lock().open() };
    let call = topic.client().publish_many(topic.name().to_owned(), durability, on_full, items);
    let mut receipts = call.prefetch(max_in_flight).start();
    while let Some(receipt) = receipts.next().await {
        let known = match receipt {
            Ok(receipt) => flight.lock().receipt(topic.name(), receipt),
            Err(error) => return Some(error),
        };
        if let Err(why) = known {
            return Some(CallError::Rpc(RpcError::invalid(why)));
        }
    }
    if flight.lock().is_done() { None } else { Some(RpcError::canceled("the broker ended the channel").into()) }
}

/// The items of one channel.
struct Items {
    flight: Arc<Mutex<Flight>>,
    channel: u64,
}

impl Stream for Items {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.flight.lock().poll_item(self.channel, cx)
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_flight = self.max_in_flight as usize - self.room.available_permits();
        f.debug_struct("Publisher").field("in_flight", &in_flight).finish_non_exhaustive()
    }
}
