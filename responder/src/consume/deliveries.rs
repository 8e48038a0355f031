use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use tokio::time::{Instant, timeout};
use towline_requester::{Handling, Phase};
use towline_service_api::CallError;
use towline_service_api::builtin::{Delivery, QueueError, Settle};

use super::member::Member;
use super::nack::Nack;
use super::settles::Settles;

/// How long leaving waits for the broker to have read what was settled.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What a group hands to one of its members, one by one: `app.consume("orders", "billing").join().await?`.
///
/// A connection that is lost is joined again by itself; what was not settled then comes again, here or elsewhere. The stream
/// ends after an error that joining again would not cure (`unknown-topic`, `group-differs`), and when the app closes.
///
/// Dropping it leaves the group: what is not settled goes to others at once. [`close`](Self::close) makes sure that what
/// was settled last is known before.
#[must_use = "streams do nothing unless polled"]
pub struct Deliveries {
    stream: BoxStream<'static, Result<Unsettled, CallError<QueueError>>>,
    member: Arc<Membership>,
    /// Nothing had arrived then that was not read.
    empty_at: Instant,
}

/// What stays the same of a member over its channels.
pub(super) struct Membership {
    pub(super) app: towline_requester::App,
    pub(super) topic: String,
    pub(super) group: String,
    pub(super) settles: Arc<Settles>,
}

/// A delivery this member has, and has to settle. Dropping it does nothing: it is delivered again after its ack deadline.
#[must_use = "a delivery that is not settled is delivered again"]
pub struct Unsettled {
    delivery: Delivery,
    hold: Hold,
}

/// The right to settle a delivery.
#[derive(Clone)]
pub(super) struct Hold {
    settles: Arc<Settles>,
    offset: u64,
    /// The channel it came by.
    channel: Arc<AtomicU64>,
    /// It was not handed over before.
    pub(super) since: Instant,
}

impl Deliveries {
    pub(super) fn new(member: Member) -> Self {
        let membership = Arc::clone(&member.membership);
        let mut state = membership.app.state();
        let closing = async move {
            let _ = state.wait_for(|state| state.phase != Phase::Running).await;
        };
        let stream = stream::unfold(member, async |mut member| Some((member.next().await?, member)));
        Self { stream: stream.take_until(Box::pin(closing)).boxed(), member: membership, empty_at: Instant::now() }
    }

    /// Leaves the group once the broker knows what was settled, or after 2 s.
    pub async fn close(self) {
        let Membership { app, topic, group, settles } = &*self.member;
        let last = async {
            settles.sent().await;
            // What is answered was read behind it. A closing app still asks on behalf of who is at work.
            let topics = app.client::<towline_service_api::builtin::TopicsClient>();
            let asked = async { Ok(topics.group(topic.clone(), group.clone()).await.is_ok()) };
            let _ = Handling::new(None).run(asked).await;
        };
        if timeout(LAST_WORDS, last).await.is_err() {
            tracing::debug!(topic, group, "left without knowing whether the last settles arrived");
        }
    }
}

impl Stream for Deliveries {
    type Item = Result<Unsettled, CallError<QueueError>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.stream.poll_next_unpin(cx);
        match polled {
            Poll::Pending => {
                self.empty_at = Instant::now();
                Poll::Pending
            }
            Poll::Ready(item) => Poll::Ready(item.map(|item| {
                item.map(|mut unsettled| {
                    unsettled.hold.since = self.empty_at;
                    unsettled
                })
            })),
        }
    }
}

impl Unsettled {
    pub(super) fn new(delivery: Delivery, settles: &Arc<Settles>, channel: u64) -> Self {
        let hold = Hold {
            settles: Arc::clone(settles),
            offset: delivery.offset,
            channel: Arc::new(AtomicU64::new(channel)),
            since: Instant::now(),
        };
        Self { delivery, hold }
    }

    pub(super) fn split(self) -> (Delivery, Hold) {
        (self.delivery, self.hold)
    }

    /// Done.
    pub fn ack(self) {
        self.hold.say(Settle::ack(self.offset));
    }

    /// Done, and so is every delivery with a lower offset that this member has.
    pub fn ack_to(self) {
        self.hold.say(Settle::ack_to(self.offset));
    }

    /// Not done: it is delivered again, in the time the group's ladder or the [`Nack`] says.
    pub fn nack(self, why: impl Into<Nack>) {
        self.hold.nack(why.into());
    }

    /// Takes longer: its ack deadline starts again.
    pub fn extend(&self) {
        self.hold.extend();
    }

    /// Takes longer: its ack deadline is so long from now.
    pub fn extend_by(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.hold.say(Settle { by_ms: Some(by_ms), ..Settle::extend(self.offset) });
    }

    /// To the dead letter now.
    pub fn dead(self, reason: impl Into<String>) {
        self.hold.nack(Nack::new(reason).dead());
    }

    /// The delivery alone, to settle it never or by other means.
    pub fn into_delivery(self) -> Delivery {
        self.delivery
    }
}

impl Deref for Unsettled {
    type Target = Delivery;

    fn deref(&self) -> &Delivery {
        &self.delivery
    }
}

impl Hold {
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The same message was handed over again, by another channel: what is said of it is said of that.
    pub(super) fn renew(&self, by: &Self) {
        self.channel.store(by.channel.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(super) fn ack(&self) {
        self.say(Settle::ack(self.offset));
    }

    pub(super) fn nack(&self, why: Nack) {
        self.say(why.settle(self.offset));
    }

    pub(super) fn extend(&self) {
        self.say(Settle::extend(self.offset));
    }

    fn say(&self, settle: Settle) {
        self.settles.push(self.channel.load(Ordering::Relaxed), settle);
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Membership { topic, group, .. } = &*self.member;
        f.debug_struct("Deliveries").field("topic", topic).field("group", group).finish_non_exhaustive()
    }
}

impl fmt::Debug for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unsettled").field(&self.delivery).finish()
    }
}
