use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use towline_requester::{Handling, Phase};
use towline_service_api::CallError;
use towline_service_api::builtin::{Delivery, QueueError, TopicsClient};

use super::deliveries::{Deliveries, Hold, Membership};
use super::member::Member;
use super::nack::Nack;

/// What a group gives a member to settle a delivery in, if it cannot be asked.
const ACK_DEADLINE: Duration = Duration::from_secs(30);

pub(super) type Handler = Box<dyn Fn(Delivery) -> BoxFuture<'static, Result<(), Nack>> + Send + Sync>;

/// A member of a group that handles what it gets, in the background: what
/// [`ConsumerBuilder::each`](super::ConsumerBuilder::each) starts.
///
/// Dropped, it ends as by [`close`](Self::close), which nobody waits for then; so it does when its app closes.
#[must_use = "a consumer ends when it is dropped"]
pub struct Consumer {
    membership: Arc<Membership>,
    stop: watch::Sender<bool>,
    state: watch::Receiver<State>,
}

/// How far a consumer is.
#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Joining,
    Consuming,
    Ended(Result<(), CallError<QueueError>>),
}

impl Consumer {
    pub(super) fn start(member: Member, handler: Handler, concurrency: usize, deadline: Option<Duration>) -> Self {
        let membership = Arc::clone(&member.membership);
        let (stop, stopped) = watch::channel(false);
        let (tell, state) = watch::channel(State::default());
        let handlers =
            Handlers { handler: Arc::new(handler), concurrency, tasks: JoinSet::new(), holds: HashMap::new() };
        tokio::spawn(run(member, handlers, deadline, stopped, tell));
        Self { membership, stop, state }
    }

    /// Waits until it is a member: what is published from now on reaches the group.
    ///
    /// # Errors
    /// It ended, because the broker refused it for good.
    pub async fn joined(&self) -> Result<(), CallError<QueueError>> {
        self.reach(|state| !matches!(state, State::Joining)).await
    }

    /// Takes no more deliveries, waits until the handlers at work have ended, settles what they did, and leaves the group.
    ///
    /// # Errors
    /// It had ended before, because the broker refused it for good.
    pub async fn close(&self) -> Result<(), CallError<QueueError>> {
        self.stop.send_replace(true);
        self.closed().await
    }

    /// Waits until it has ended, for whatever reason.
    ///
    /// # Errors
    /// The broker refused it for good: `unknown-topic`, `group-differs` and the like.
    pub async fn closed(&self) -> Result<(), CallError<QueueError>> {
        self.reach(|state| matches!(state, State::Ended(_))).await
    }

    async fn reach(&self, is_reached: impl FnMut(&State) -> bool) -> Result<(), CallError<QueueError>> {
        match self.state.clone().wait_for(is_reached).await.as_deref() {
            Ok(State::Ended(end)) => end.clone(),
            // Its task is gone without a word only if the runtime is.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

async fn run(
    mut member: Member,
    mut handlers: Handlers,
    deadline: Option<Duration>,
    mut stopped: watch::Receiver<bool>,
    tell: watch::Sender<State>,
) {
    let mut state = member.membership.app.state();
    let stop = async {
        select! {
            // An error: its handle was dropped.
            _ = stopped.wait_for(|is_stopped| *is_stopped) => {}
            _ = state.wait_for(|state| state.phase != Phase::Running) => {}
        }
    };
    tokio::pin!(stop);
    let joined = select! {
        biased;
        () = &mut stop => None,
        joined = member.join() => Some(joined),
    };
    let end = match joined {
        None => Ok(()),
        Some(Err(error)) => Err(error),
        Some(Ok(())) => {
            tell.send_replace(State::Consuming);
            let deadline = match deadline {
                Some(deadline) => deadline,
                None => asked(&member.membership).await,
            };
            let mut deliveries = Deliveries::new(member);
            let end = select! {
                biased;
                () = stop => Ok(()),
                error = handlers.handle(&mut deliveries, deadline) => error,
            };
            handlers.finish().await;
            deliveries.close().await;
            end
        }
    };
    if let Err(error) = &end {
        tracing::error!(%error, "a consumer ended");
    }
    tell.send_replace(State::Ended(end));
}

/// The ack deadline of a group that was there before.
async fn asked(Membership { app, topic, group, .. }: &Membership) -> Duration {
    let status = app.client::<TopicsClient>().group(topic.clone(), group.clone()).await;
    let deadline = status.ok().and_then(|status| status.options.ack_deadline_ms);
    deadline.map_or(ACK_DEADLINE, Duration::from_millis)
}

/// The handlers at work.
struct Handlers {
    handler: Arc<Handler>,
    concurrency: usize,
    /// Each gives the offset it was about.
    tasks: JoinSet<u64>,
    holds: HashMap<u64, Hold>,
}

impl Handlers {
    /// Handles deliveries until there are no more. Dropping it leaves the handlers at work.
    async fn handle(&mut self, deliveries: &mut Deliveries, deadline: Duration) -> Result<(), CallError<QueueError>> {
        loop {
            select! {
                biased;
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => self.ended(ended.ok()),
                next = deliveries.next(), if self.tasks.len() < self.concurrency => match next {
                    Some(unsettled) => {
                        let (delivery, hold) = unsettled?.split();
                        self.start(delivery, hold, deadline);
                    }
                    None => return Ok(()),
                }
            }
        }
    }

    fn start(&mut self, delivery: Delivery, hold: Hold, deadline: Duration) {
        if let Some(at_work) = self.holds.get(&hold.offset()) {
            at_work.renew(&hold);
            return;
        }
        self.holds.insert(hold.offset(), hold.clone());
        self.tasks.spawn(handle(Arc::clone(&self.handler), delivery, hold, deadline));
    }

    fn ended(&mut self, offset: Option<u64>) {
        offset.and_then(|offset| self.holds.remove(&offset));
    }

    async fn finish(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Runs one handler to its end, keeps its delivery meanwhile, and settles it.
async fn handle(handler: Arc<Handler>, delivery: Delivery, hold: Hold, deadline: Duration) -> u64 {
    // What it calls is part of work that a closing app waits for.
    let handling = Handling::new(None).run(async { Ok((*handler)(delivery).await) });
    let work = AssertUnwindSafe(handling).catch_unwind();
    tokio::pin!(work);
    let mut keep_at = hold.since + deadline / 2;
    let outcome = loop {
        select! {
            biased;
            outcome = &mut work => break outcome,
            () = sleep_until(keep_at) => {
                hold.extend();
                keep_at = Instant::now() + deadline / 2;
            }
        }
    };
    match outcome {
        Ok(Ok(Ok(()))) => hold.ack(),
        Ok(Ok(Err(nack))) => hold.nack(nack),
        Ok(Err(error)) => hold.nack(error.into()),
        Err(panic) => hold.nack(Nack::new(format!("the handler panicked: {}", text(&*panic)))),
    }
    hold.offset()
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Membership { topic, group, .. } = &*self.membership;
        f.debug_struct("Consumer")
            .field("topic", topic)
            .field("group", group)
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}
