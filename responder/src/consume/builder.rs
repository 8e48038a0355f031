use std::time::Duration;

use towline_requester::App;
use towline_service_api::CallError;
use towline_service_api::builtin::{ConsumeOptions, Delivery, GroupMode, QueueError, Start};

use super::consumer::{Consumer, Handler};
use super::deliveries::Deliveries;
use super::member::Member;
use super::nack::Nack;

/// Deliveries that may wait to be read, unless it is said otherwise.
const PREFETCH: u32 = 16;

/// Lets an app consume from durable topics: `app.consume("orders", "billing")`.
pub trait Consume {
    /// Starts to describe a member of a group. The group is made by its first member; the topic has to be there.
    fn consume(&self, topic: impl Into<String>, group: impl Into<String>) -> ConsumerBuilder;
}

impl Consume for App {
    fn consume(&self, topic: impl Into<String>, group: impl Into<String>) -> ConsumerBuilder {
        ConsumerBuilder {
            app: self.clone(),
            topic: topic.into(),
            group: group.into(),
            options: ConsumeOptions::default(),
            prefetch: None,
            concurrency: 1,
        }
    }
}

/// A member of a group that has not joined yet.
///
/// What is said of the group (mode, start, filter, ack deadline, messages in flight, attempts) makes it so at its first use.
/// Of one that is there already it has to be the same (`group-differs`), or left out; its start does not matter then.
///
/// ```no_run
/// # async fn f(app: towline_responder::App) -> Result<(), Box<dyn std::error::Error>> {
/// use towline_responder::{Consume, builtin::{Delivery, Start}};
///
/// let billing = app.consume("orders", "billing").start(Start::Earliest).concurrency(8).each(async |order: Delivery| {
///     println!("{:?}", order.text());
///     Ok::<_, std::io::Error>(())
/// });
/// billing.joined().await?;
/// billing.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is consumed before it joins"]
pub struct ConsumerBuilder {
    app: App,
    topic: String,
    group: String,
    options: ConsumeOptions,
    prefetch: Option<u32>,
    concurrency: usize,
}

impl ConsumerBuilder {
    /// How the group shares its messages: each to one of its members, unless given.
    pub fn mode(mut self, mode: GroupMode) -> Self {
        self.options.mode = Some(mode);
        self
    }

    /// Where a new group starts: with the next message that is published, unless given.
    pub fn start(mut self, start: Start) -> Self {
        self.options.start = Some(start);
        self
    }

    /// Which messages the group wants, by their tags.
    pub fn filter(mut self, filter: impl Into<String>) -> Self {
        self.options.filter = Some(filter.into());
        self
    }

    /// How long a member may take for one delivery before it goes to another one: 30 s unless given.
    pub fn ack_deadline(mut self, deadline: Duration) -> Self {
        self.options.ack_deadline_ms = Some(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Deliveries a member may have and not have settled: 256 unless given.
    pub fn max_in_flight(mut self, deliveries: u32) -> Self {
        self.options.max_in_flight = Some(deliveries);
        self
    }

    /// Failures after which a message goes to the dead letter: 16 unless given.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.options.max_attempts = Some(attempts);
        self
    }

    /// The name of this instance's place in a broadcast group.
    pub fn cursor(mut self, cursor: impl Into<String>) -> Self {
        self.options.cursor = Some(cursor.into());
        self
    }

    /// Whether to wait while an exclusive group has another member: it does unless told not to, which is `member-exists`.
    pub fn wait(mut self, wait: bool) -> Self {
        self.options.wait = Some(wait);
        self
    }

    /// All options of the group at once.
    pub fn options(mut self, options: ConsumeOptions) -> Self {
        self.options = options;
        self
    }

    /// Deliveries that may be here and wait to be read: the REQUEST_N. As many as the concurrency unless given; 16 for
    /// [`join`](Self::join).
    ///
    /// Their ack deadline runs. Where handling takes about as long as that, let it be 0: then each is asked for once somebody
    /// waits for it, and none waits behind a handler at work.
    pub fn prefetch(mut self, deliveries: u32) -> Self {
        self.prefetch = Some(deliveries);
        self
    }

    /// Handlers that run at a time: 1 unless given, so that they run in the order of the topic.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = handlers.max(1);
        self
    }

    /// Joins the group, to read and settle deliveries one by one. Waits for a broker, and of an exclusive group until this
    /// is its member.
    ///
    /// # Errors
    /// The broker refuses it for good: `unknown-topic`, `group-differs`, `invalid-filter` and the like.
    pub async fn join(self) -> Result<Deliveries, CallError<QueueError>> {
        let mut member = self.member(PREFETCH);
        member.join().await?;
        Ok(Deliveries::new(member))
    }

    /// Joins the group in the background, and runs this for each delivery: `Ok` acks it, an error nacks it with its text as
    /// the reason (a [`Nack`] may choose the delay, or the dead letter), a panic nacks it, too.
    ///
    /// A handler that takes longer than half the ack deadline keeps its delivery by `extend`, so that only one that hangs
    /// with its whole process loses it. Lost connections do not stop it; if the same message is handed over again while
    /// its handler still runs, it is not run a second time. Handlers may call through the app while that closes.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn each<H, F, E>(self, handler: H) -> Consumer
    where
        H: Fn(Delivery) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Nack>,
    {
        let prefetch = u32::try_from(self.concurrency).unwrap_or(u32::MAX);
        let (deadline, concurrency) = (self.options.ack_deadline_ms.map(Duration::from_millis), self.concurrency);
        let handler: Handler = Box::new(move |delivery| {
            let outcome = handler(delivery);
            Box::pin(async move { outcome.await.map_err(Into::into) })
        });
        Consumer::start(self.member(prefetch), handler, concurrency, deadline)
    }

    fn member(self, prefetch: u32) -> Member {
        let Self { app, topic, group, options, .. } = self;
        Member::new(app, topic, group, options, self.prefetch.unwrap_or(prefetch))
    }
}
