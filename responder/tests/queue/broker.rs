use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, future, stream};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use towline_responder::builtin::{
    Confirmation, ConsumeOptions, Delivery, Durability, Message, OnFull, Placement, Queue, QueueError, QueueServer,
    Receipt, Settle, Settled,
};
use towline_responder::rsocket::StreamError;
use towline_responder::rsocket::engine::{Config, Connection, Responder, accept};
use towline_responder::rsocket::transport::TcpTransport;
use towline_responder::{App, AppBuilder, Encoding, RpcError, Services, Streaming};

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), future).await.expect("it comes soon")
}

/// A call as it arrived, to be answered.
pub(crate) enum Call {
    Publish(Box<Publish>),
    PublishMany(Channel<Message, Receipt>),
    Consume(Channel<Settle, Delivery>),
}

pub(crate) struct Publish {
    pub(crate) message: Message,
    pub(crate) answer: oneshot::Sender<Result<Confirmation, QueueError>>,
}

/// A channel, from the broker's side: reading its items grants credit.
pub(crate) struct Channel<I, A> {
    /// What was asked for, for people.
    pub(crate) head: String,
    pub(crate) items: Streaming<I>,
    answers: mpsc::Sender<Result<A, QueueError>>,
}

impl<I, A> Channel<I, A> {
    pub(crate) async fn item(&mut self) -> I {
        soon(self.items.next()).await.expect("the channel goes on").unwrap()
    }

    pub(crate) async fn answer(&self, answer: A) {
        soon(self.answers.send(Ok(answer))).await.ok().unwrap();
    }

    pub(crate) async fn fail(self, error: QueueError) {
        self.answers.send(Err(error)).await.ok().unwrap();
    }

    /// Waits until the other side has cancelled, or is gone.
    pub(crate) async fn cancelled(&self) {
        soon(self.answers.closed()).await;
    }

    /// Answers that the other side has not asked for yet.
    pub(crate) fn unasked(&self) -> usize {
        self.answers.max_capacity() - self.answers.capacity()
    }
}

impl Channel<Message, Receipt> {
    pub(crate) async fn stored(&self, n: u64, offset: u64) {
        self.answer(Receipt::stored(n, &confirmation(offset))).await;
    }
}

impl Channel<Settle, Delivery> {
    pub(crate) async fn hand(&self, offset: u64) {
        self.answer(delivery(offset)).await;
    }
}

pub(crate) fn confirmation(offset: u64) -> Confirmation {
    let (topic, durability) = ("orders".to_owned(), Durability::Disk);
    Confirmation { topic, offset: Some(offset), timestamp: 1, durability, duplicate: false, due: None }
}

pub(crate) fn delivery(offset: u64) -> Delivery {
    let topic = "orders".to_owned();
    Delivery { topic, offset, attempt: 1, body: format!("order {offset}").into(), ..Delivery::default() }
}

/// The queue service of a broker that leaves everything to the test.
#[derive(Clone)]
struct ByHand(mpsc::Sender<Call>);

impl ByHand {
    fn channel<I, A: Send + 'static>(
        &self,
        head: String,
        items: Streaming<I>,
        call: fn(Channel<I, A>) -> Call,
    ) -> impl Stream<Item = Result<A, QueueError>> + use<I, A> {
        let (answers, given) = mpsc::channel(64);
        self.0.try_send(call(Channel { head, items, answers })).ok().unwrap();
        stream::unfold(given, async |mut given| Some((given.recv().await?, given)))
    }
}

fn unused() -> QueueError {
    QueueError::Rpc(RpcError::application("no test needs this"))
}

impl Queue for ByHand {
    async fn publish(&self, _: String, message: Message, _: Option<Durability>) -> Result<Confirmation, QueueError> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Call::Publish(Box::new(Publish { message, answer }))).ok().unwrap();
        answered.await.unwrap_or_else(|_| Err(unused()))
    }

    async fn post(&self, _: String, _: Message) {}

    async fn publish_batch(
        &self,
        _: String,
        messages: Vec<Message>,
        _: Option<Durability>,
    ) -> Result<Placement, QueueError> {
        Ok(Placement { offsets: (0..messages.len() as u64).map(Some).collect() })
    }

    fn publish_many(
        &self,
        topic: String,
        durability: Option<Durability>,
        on_full: Option<OnFull>,
        messages: Streaming<Message>,
    ) -> impl Stream<Item = Result<Receipt, QueueError>> {
        self.channel(format!("{topic} {durability:?} {on_full:?}"), messages, Call::PublishMany)
    }

    async fn cancel_scheduled(&self, _: String, _: String) -> Result<bool, QueueError> {
        Err(unused())
    }

    fn consume(
        &self,
        topic: String,
        group: String,
        options: Option<ConsumeOptions>,
        settles: Streaming<Settle>,
    ) -> impl Stream<Item = Result<Delivery, QueueError>> {
        let prefetch = options.and_then(|options| options.max_in_flight);
        self.channel(format!("{topic} {group} {prefetch:?}"), settles, Call::Consume)
    }

    fn subscribe(
        &self,
        _: String,
        _: String,
        _: Option<ConsumeOptions>,
    ) -> impl Stream<Item = Result<Delivery, QueueError>> {
        stream::once(future::ready(Err(unused())))
    }

    async fn fetch(
        &self,
        _: String,
        _: String,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<String>,
        _: Option<ConsumeOptions>,
    ) -> Result<Vec<Delivery>, QueueError> {
        Err(unused())
    }

    async fn settle(&self, _: String, _: String, _: Option<String>, _: Vec<Settle>) -> Result<Settled, QueueError> {
        Err(unused())
    }
}

/// It accepts connections, and tells of every call on them.
pub(crate) struct Broker {
    address: String,
    calls: mpsc::Receiver<Call>,
    connections: mpsc::Receiver<Connection>,
}

impl Broker {
    pub(crate) async fn start() -> Self {
        Self::granting(Config::default().prefetch).await
    }

    /// One that grants so many items of a channel at a time.
    pub(crate) async fn granting(items: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("rsocket://{}", listener.local_addr().unwrap());
        let (calls, called) = mpsc::channel(64);
        let (connected, connections) = mpsc::channel(64);
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let mut services = Services::default();
                services.add(QueueServer::new(ByHand(calls.clone())));
                let responder = services.responder(Encoding::MessagePack);
                let config = Config { prefetch: items, ..Config::default() };
                let connection = accept(Arc::new(TcpTransport::new(socket).unwrap()), config, |_| {
                    future::ready(Ok::<Arc<dyn Responder>, StreamError>(responder))
                });
                // An app that is gone meanwhile is none.
                if let Ok(connection) = connection.await {
                    connected.try_send(connection).unwrap();
                }
            }
        });
        Self { address, calls: called, connections }
    }

    pub(crate) fn app(&self) -> AppBuilder {
        App::connect(&self.address)
    }

    /// Cuts the next connection that was made.
    pub(crate) async fn cut(&mut self) {
        soon(self.connections.recv()).await.unwrap().close(None);
    }

    pub(crate) async fn publish(&mut self) -> Publish {
        match soon(self.calls.recv()).await.unwrap() {
            Call::Publish(publish) => *publish,
            _ => panic!("another call"),
        }
    }

    pub(crate) async fn publish_many(&mut self) -> Channel<Message, Receipt> {
        match soon(self.calls.recv()).await.unwrap() {
            Call::PublishMany(channel) => channel,
            _ => panic!("another call"),
        }
    }

    pub(crate) async fn consume(&mut self) -> Channel<Settle, Delivery> {
        match soon(self.calls.recv()).await.unwrap() {
            Call::Consume(channel) => channel,
            _ => panic!("another call"),
        }
    }
}
