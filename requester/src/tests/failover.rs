//! Calls over two connections of one pool.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use parking_lot::Mutex;
use towline_rsocket::StreamError;
use towline_rsocket::engine::{
    AcceptedSetup, ClientSetup, Config, Connection, Inbound, Item, Payload, Responder, accept, connect,
};
use towline_rsocket::transport::{MemoryTransport, memory_pair};
use towline_service_api::{Call, CallOptions, Caller, Encoding, RpcError, ServiceKey};

use crate::caller::{AppCaller, Core};
use crate::front::NoServices;
use crate::link::Link;
use crate::pool::Pool;

/// Answers everything with its name and counts.
#[derive(Default)]
struct Named {
    name: &'static str,
    served: Mutex<usize>,
    first_errors: Arc<Mutex<Vec<StreamError>>>,
}

impl Named {
    fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self { name, ..Self::default() })
    }

    fn answer(&self) -> Item {
        *self.served.lock() += 1;
        match self.first_errors.lock().pop() {
            Some(error) => Err(error),
            None => Ok(Payload::from_data(self.name)),
        }
    }
}

impl Responder for Named {
    fn request_response(
        &self,
        _: Payload,
    ) -> futures::future::BoxFuture<'static, Result<Option<Payload>, StreamError>> {
        futures::future::ready(self.answer().map(Some)).boxed()
    }

    fn request_stream(&self, _: Payload) -> stream::BoxStream<'static, Item> {
        stream::iter([self.answer()]).boxed()
    }

    /// Echoes.
    fn request_channel(&self, _: Payload, items: Inbound) -> stream::BoxStream<'static, Item> {
        match self.answer() {
            Ok(_) => items.boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }
}

fn client(transport: MemoryTransport) -> Connection {
    let setup = ClientSetup {
        metadata_mime: "message/x.rsocket.composite-metadata.v0".to_owned(),
        data_mime: "application/x-msgpack".to_owned(),
        metadata: None,
        data: Bytes::new(),
    };
    connect(Arc::new(transport), setup, Arc::new(NoServices), Config::default())
}

/// A connection to this one.
async fn to(named: &Arc<Named>) -> Connection {
    let (near, far) = memory_pair("memory");
    let near = client(near);
    let named = Arc::clone(named);
    let accepted = accept(Arc::new(far), Config::default(), |_: AcceptedSetup| async move { Ok(named as _) });
    accepted.await.unwrap();
    near
}

/// A connection nobody reads, and its far end.
fn stuck() -> (Connection, MemoryTransport) {
    let (near, far) = memory_pair("memory");
    (client(near), far)
}

fn caller(connections: impl IntoIterator<Item = Connection>) -> (AppCaller, Arc<Pool>) {
    let pool = Arc::new(Pool::new(2));
    for connection in connections {
        pool.add(Arc::new(Link::new(connection, Arc::default())));
    }
    (AppCaller::new(Arc::new(Core::new(Arc::clone(&pool), Duration::from_secs(10), Config::default().window()))), pool)
}

fn call(arguments: usize) -> Call {
    Call {
        service: ServiceKey::new("", "S", ""),
        method: "m".into(),
        encoding: Encoding::Json,
        arguments: vec![b' '; arguments].into(),
        options: CallOptions::default(),
    }
}

async fn closing(named: &Arc<Named>) -> Connection {
    let connection = to(named).await;
    assert!(connection.drain().now_or_never().is_some());
    connection
}

#[tokio::test]
async fn a_call_one_connection_does_not_take_goes_to_the_other() {
    let (a, b) = (Named::new("a"), Named::new("b"));
    let (caller, pool) = caller([closing(&a).await]);
    let mut waiting = caller.unary(call(0));
    assert!(futures::poll!(&mut waiting).is_pending());
    pool.add(Arc::new(Link::new(to(&b).await, Arc::default())));
    assert_eq!(waiting.await.unwrap().data, "b");
    assert_eq!((*a.served.lock(), *b.served.lock()), (0, 1));
    assert_eq!(pool.state().connected, 1);
    let answers: Vec<_> = caller.stream(call(0)).collect().await;
    assert_eq!(answers.len(), 1);
    caller.oneway(call(0)).await.unwrap();
}

#[tokio::test]
async fn a_call_of_which_the_last_byte_was_not_written_goes_to_the_other() {
    let b = Named::new("b");
    let (stuck, far) = stuck();
    let (caller, pool) = caller([stuck]);
    // The first ones fill what lies between; the last one stays in the queue.
    let (mut first, mut second) = (caller.unary(call(400_000)), caller.unary(call(300_000)));
    assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
    pool.add(Arc::new(Link::new(to(&b).await, Arc::default())));
    drop(far);
    let lost = first.await.unwrap_err();
    assert_eq!((lost.code, lost.is_retryable()), (RpcError::CONNECTION_CLOSED, false));
    assert_eq!(second.await.unwrap().data, "b");
    assert_eq!(*b.served.lock(), 1);
}

#[tokio::test]
async fn a_channel_goes_to_the_other_with_all_its_items() {
    let (a, b) = (Named::new("a"), Named::new("b"));
    let (caller, pool) = caller([closing(&a).await]);
    let items = stream::iter(["x", "y"]).map(Bytes::from).boxed();
    let mut answers = caller.channel(call(0), items);
    assert!(futures::poll!(answers.next()).is_pending());
    pool.add(Arc::new(Link::new(to(&b).await, Arc::default())));
    let answers: Vec<_> = answers.map(|answer| answer.unwrap().data).collect().await;
    assert_eq!(answers, ["x", "y"]);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_was_refused_is_tried_again_with_all_its_items() {
    let a = Named::new("a");
    let rejected = StreamError::new(towline_rsocket::ErrorCode::REJECTED, "busy retry-after-ms=50");
    a.first_errors.lock().push(rejected);
    let (caller, _pool) = caller([to(&a).await]);
    let items = stream::iter(["x", "y"]).map(Bytes::from).boxed();
    let start = tokio::time::Instant::now();
    let answers: Vec<_> = caller.channel(call(0), items).map(|answer| answer.unwrap().data).collect().await;
    assert_eq!(answers, ["x", "y"]);
    assert_eq!(*a.served.lock(), 2);
    let waited = start.elapsed();
    assert!(Duration::from_millis(50) <= waited && waited <= Duration::from_millis(80), "{waited:?}");
}

#[tokio::test]
async fn a_service_one_broker_does_not_know_is_asked_for_at_the_other() {
    let a = Named::new("a");
    // Whichever is asked first.
    let b = Arc::new(Named { name: "b", first_errors: Arc::clone(&a.first_errors), ..Named::default() });
    let missing = StreamError::new(towline_rsocket::ErrorCode::INVALID, "RST-900404: Service not found S");
    a.first_errors.lock().push(missing);
    let (caller, _pool) = caller([to(&a).await, to(&b).await]);
    caller.unary(call(0)).await.unwrap();
    assert_eq!((*a.served.lock(), *b.served.lock()), (1, 1));
}

#[tokio::test]
async fn the_connection_with_the_fewest_streams_is_taken() {
    let b = Named::new("b");
    let (stuck, _far) = stuck();
    let (caller, pool) = caller([stuck]);
    let mut waiting = caller.unary(call(0));
    assert_eq!(futures::poll!(&mut waiting), Poll::Pending);
    pool.add(Arc::new(Link::new(to(&b).await, Arc::default())));
    for _ in 0..10 {
        assert_eq!(caller.unary(call(0)).await.unwrap().data, "b");
    }
}

#[tokio::test]
async fn a_connection_that_drains_serves_nested_calls_only() {
    let a = Named::new("a");
    let (caller, pool) = caller([to(&a).await]);
    pool.all()[0].signals.drain();
    pool.recount();
    let mut waiting = caller.unary(call(0));
    assert!(futures::poll!(&mut waiting).is_pending());
    let nested = async { caller.unary(call(0)).await };
    let answer = crate::Handling::new(None).run(nested).await;
    assert_eq!(answer.unwrap().data, "a");
    assert!(futures::poll!(&mut waiting).is_pending());
}

#[tokio::test]
async fn a_caller_over_one_connection_fails_with_it() {
    let a = Named::new("a");
    let connection = to(&a).await;
    let caller = AppCaller::over(connection.clone());
    assert_eq!(caller.unary(call(0)).await.unwrap().data, "a");
    connection.close(None);
    let error = caller.unary(call(0)).await.unwrap_err();
    assert_eq!((error.code, error.is_retryable()), (RpcError::CONNECTION_CLOSED, true));
}
