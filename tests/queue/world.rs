//! A broker on a data folder of its own, and consumers that say what they do.

use futures::channel::mpsc;
use futures::future::select;
use futures::stream::Peekable;
use futures::{FutureExt, SinkExt, StreamExt};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::timeout;
use towline::Broker;
use towline::config::Config;
use towline::metrics::{Meters, recorder};
use towline_requester::App;
use towline_service_api::builtin::{
    ConsumeOptions, Delivery, HealthClient, Message, QueueClient, QueueError, Settle, Start, TopicConfig, TopicsClient,
};
use towline_service_api::{AnswerStream, CallError};

/// For what must happen soon, on a busy machine too.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A folder that is gone with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("towline-queue-{}-{count}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) folder: Arc<Folder>,
    pub(crate) meters: Arc<Meters>,
    app: App,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(Arc::new(Folder::new())).await
    }

    /// On a folder that may hold something.
    pub(crate) async fn on(folder: Arc<Folder>) -> Self {
        Self::start(folder, |_| ()).await
    }

    /// With a changed configuration.
    pub(crate) async fn configured(change: impl FnOnce(&mut Config)) -> Self {
        Self::start(Arc::new(Folder::new()), change).await
    }

    async fn start(folder: Arc<Folder>, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.listen.addresses = vec!["tcp://127.0.0.1:0".parse().expect("an address")];
        config.data.directory = folder.0.clone();
        change(&mut config);
        let meters = Arc::new(Meters::new(&recorder()));
        let broker = Broker::start(config, meters.clone()).await.expect("it starts");
        let app = App::over(Arc::new(broker.connect())).name("test").start().await.expect("it connects");
        Self { broker, folder, meters, app }
    }

    /// With a topic.
    pub(crate) async fn with(topic: &str, config: TopicConfig) -> Self {
        let world = Self::new().await;
        world.topics().create(topic.to_owned(), Some(config)).await.expect("it is created");
        world
    }

    /// Stops well, and starts again on the same folder.
    pub(crate) async fn restart(self) -> Self {
        let Self { broker, folder, app, .. } = self;
        app.close().await;
        broker.drain().await;
        Self::on(folder).await
    }

    pub(crate) fn queue(&self) -> QueueClient {
        self.app.client()
    }

    pub(crate) fn topics(&self) -> TopicsClient {
        self.app.client()
    }

    pub(crate) fn health(&self) -> HealthClient {
        self.app.client()
    }

    /// Another connection.
    pub(crate) async fn app(&self) -> App {
        App::over(Arc::new(self.broker.connect())).name("other").start().await.expect("it connects")
    }

    pub(crate) async fn publish(&self, topic: &str, text: &str) -> u64 {
        let confirmed = self.queue().publish(topic.to_owned(), Message::text(text), None).await.expect("it is stored");
        confirmed.offset.expect("it has an offset")
    }

    pub(crate) async fn consume(&self, topic: &str, group: &str, options: ConsumeOptions) -> Consumer {
        Consumer::new(&self.queue(), topic, group, options, 64).await
    }

    /// The sum of a counter.
    pub(crate) fn meter(&self, name: &str) -> f64 {
        let text = self.meters.render();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
    }
}

/// From the oldest message on.
pub(crate) fn earliest() -> ConsumeOptions {
    ConsumeOptions { start: Some(Start::Earliest), ..ConsumeOptions::default() }
}

/// A member of a group, on a channel.
pub(crate) struct Consumer {
    deliveries: Peekable<AnswerStream<Delivery, QueueError>>,
    settles: mpsc::Sender<Settle>,
}

impl Consumer {
    /// With a window of so many; when this returns, it is a member or was refused.
    pub(crate) async fn new(
        queue: &QueueClient,
        topic: &str,
        group: &str,
        options: ConsumeOptions,
        window: u32,
    ) -> Self {
        let (mut settles, items) = mpsc::channel(0);
        let call = queue.consume(topic.to_owned(), group.to_owned(), Some(options), items);
        let mut deliveries = call.prefetch(window).start().peekable();
        // The broker asks for settles once the group is there.
        let asked = settles.send(Settle::default());
        let came = select(asked, Pin::new(&mut deliveries).peek());
        timeout(SOON, came).await.expect("the broker answers");
        Self { deliveries, settles }
    }

    pub(crate) async fn next(&mut self) -> Delivery {
        let next = timeout(SOON, self.deliveries.next()).await.expect("a delivery comes");
        next.expect("the channel is open").expect("it is a delivery")
    }

    /// The next, or nothing once it has ended.
    pub(crate) async fn next_or_end(&mut self) -> Option<Delivery> {
        self.deliveries.next().await?.ok()
    }

    /// The error it ends with, or nothing if a delivery came.
    pub(crate) async fn end_or_delivery(&mut self) -> Option<CallError<QueueError>> {
        let next = timeout(SOON, self.deliveries.next()).await.expect("something comes");
        next.expect("it ends with an error").err()
    }

    /// Takes so many, and settles each.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Delivery> {
        let mut taken = Vec::new();
        for _ in 0..count {
            let delivery = self.next().await;
            self.ack(&delivery).await;
            taken.push(delivery);
        }
        taken
    }

    /// How it ends: with an error, or well.
    pub(crate) async fn end(&mut self) -> Option<CallError<QueueError>> {
        let next = timeout(SOON, self.deliveries.next()).await.expect("it ends");
        next.map(|item| item.expect_err("it is the end"))
    }

    /// Nothing has come until now.
    pub(crate) fn has_nothing(&mut self) -> bool {
        self.deliveries.next().now_or_never().is_none()
    }

    pub(crate) async fn settle(&mut self, settle: Settle) {
        timeout(SOON, self.settles.send(settle)).await.expect("the broker takes settles").expect("it listens");
    }

    pub(crate) async fn ack(&mut self, delivery: &Delivery) {
        self.settle(Settle::ack(delivery.offset)).await;
    }

    /// No more settles.
    pub(crate) fn close_settles(&mut self) {
        self.settles.close_channel();
    }
}
