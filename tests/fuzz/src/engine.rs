//! The engine of an app, with a peer that plays a script.

use super::calls::runtime;
use super::input::Input;
use super::panics;
use super::script::play;
use bytes::Bytes;
use futures::future::{BoxFuture, ready};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use towline_rsocket::engine::{ClientSetup, Config, Connection, Inbound, Item, Payload, Responder, Window};
use towline_rsocket::engine::{accept, connect};
use towline_rsocket::frame::SetupParts;
use towline_rsocket::transport::memory_pair;
use towline_rsocket::{Frame, StreamError};

/// A bound on what is done at once, for machines that are busy.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// Answers everything with what it got.
struct Echo;

impl Responder for Echo {
    fn request_response(&self, request: Payload) -> BoxFuture<'static, Result<Option<Payload>, StreamError>> {
        ready(Ok((!request.data.is_empty()).then_some(request))).boxed()
    }

    fn request_stream(&self, request: Payload) -> BoxStream<'static, Item> {
        stream::repeat(Ok(request)).take(100).boxed()
    }

    fn request_channel(&self, first: Payload, items: Inbound) -> BoxStream<'static, Item> {
        stream::once(ready(Ok(first))).chain(items).boxed()
    }
}

/// One connection, the client's side of it or the server's by the first byte, which also makes calls: when it has ended,
/// so has every call, and nothing of it is left.
pub fn engine(bytes: &[u8]) {
    panics::watch();
    let mut input = Input(bytes);
    let is_server = input.byte() & 1 == 0;
    let runtime = runtime();
    runtime.block_on(async {
        let config = Config {
            max_frame: 128,
            max_payload: 4096,
            max_unfinished: 8192,
            max_streams: 8,
            prefetch: 4,
            low_water: 2,
            outgoing_mark: 2048,
            ..Config::default()
        };
        let (ours, theirs) = memory_pair("peer");
        let mut connection = None;
        let mut accepting = None;
        if is_server {
            let responder: Arc<dyn Responder> = Arc::new(Echo);
            let accepted = accept(Arc::new(ours), config, |_| ready(Ok(responder)));
            accepting = Some(tokio::spawn(async move {
                let connection = accepted.await.ok()?;
                calls(&connection).await;
                Some(connection)
            }));
        } else {
            let text = String::new;
            let setup = ClientSetup { metadata_mime: text(), data_mime: text(), metadata: None, data: Bytes::new() };
            connection = Some(connect(Arc::new(ours), setup, Arc::new(Echo), config));
        }
        let calling = connection.clone().map(|connection| tokio::spawn(async move { calls(&connection).await }));
        let theirs = Cell::new(Some(theirs));
        play(input, 1, &|_| Some((theirs.take()?, if is_server { setup() } else { Vec::new() }))).await;
        drop(theirs);
        let ended = async {
            if let Some(calling) = calling {
                calling.await.expect("no call panics");
            }
            let accepted = match accepting {
                Some(accepting) => accepting.await.expect("no call panics"),
                None => None,
            };
            let Some(connection) = accepted.or(connection) else { return };
            connection.closed().await;
            connection.drain().await;
            assert_eq!(connection.open_streams(), 0);
        };
        timeout(SOON, ended).await.expect("a lost connection ends every call");
    });
    panics::check();
}

async fn calls(connection: &Connection) {
    let request = || Payload::from_data("request");
    let items = |stream: BoxStream<'static, _>| stream.take(50).count();
    let window = Window { initial: 3, low_water: 1 };
    let more = stream::repeat_with(request).take(10);
    let _ = futures::join!(
        connection.request_response(request()),
        connection.fire_and_forget(Payload::from_data(vec![1; 300])),
        items(connection.request_stream(request(), window).map(drop).boxed()),
        items(connection.request_channel(request(), more, window).map(drop).boxed()),
    );
}

fn setup() -> Vec<u8> {
    let parts = SetupParts {
        keepalive: Duration::from_secs(20),
        lifetime: Duration::from_secs(90),
        metadata_mime: "message/x.rsocket.composite-metadata.v0",
        data_mime: "application/json",
        metadata: None,
        data: b"",
    };
    Frame::setup(parts).wire().to_vec()
}
