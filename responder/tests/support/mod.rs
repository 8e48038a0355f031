//! A service of every shape, and the other end of its connection.
#![allow(dead_code, reason = "every test takes what it needs")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::timeout;
use towline_responder::rsocket::StreamError;
use towline_responder::rsocket::engine::{AcceptedSetup, Config, Connection, Payload, Responder, accept};
use towline_responder::rsocket::metadata::{CompositeBuilder, Mime, mime, routing::write_tags};
use towline_responder::rsocket::transport::{MemoryTransport, Transport, memory_pair};
use towline_responder::{App, AppBuilder, AppCaller, Encoding, Handling, RpcError, ServiceError, service};
use towline_responder::{Stream, Streaming};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) id: u32,
    pub(crate) name: String,
}

#[derive(Debug, PartialEq, thiserror::Error, ServiceError)]
pub(crate) enum UserError {
    #[error("there is no user {id}")]
    UnknownUser { id: u32 },
}

#[service(name = "test.Users", version = "1")]
pub(crate) trait Users {
    async fn find(&self, id: u32) -> Result<User, UserError>;
    #[rpc(oneway)]
    async fn touch(&self, id: u32);
    fn watch(&self, first: u32, count: u32) -> impl Stream<Item = Result<User, UserError>>;
    async fn import(&self, users: Streaming<User>) -> Result<u32, UserError>;
    fn chat(&self, room: String, said: Streaming<String>) -> impl Stream<Item = Result<String, RpcError>>;
    /// Never answers.
    async fn hang(&self) -> Result<(), RpcError>;
    /// Milliseconds left.
    async fn left(&self) -> Result<Option<u64>, RpcError>;
    async fn nothing(&self) -> Result<(), RpcError>;
    async fn shout(&self, text: String) -> Result<String, RpcError>;
}

/// Knows users below 100; tells of what it touched, and of handlers that came and went.
pub(crate) struct Plain {
    pub(crate) told: mpsc::Sender<String>,
}

pub(crate) struct Tell(mpsc::Sender<String>, &'static str);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.try_send(self.1.to_owned());
    }
}

fn user(id: u32) -> Result<User, UserError> {
    if id < 100 { Ok(User { id, name: format!("user {id}") }) } else { Err(UserError::UnknownUser { id }) }
}

impl Users for Plain {
    async fn find(&self, id: u32) -> Result<User, UserError> {
        tokio::task::yield_now().await;
        user(id)
    }

    async fn touch(&self, id: u32) {
        self.told.send(format!("touched {id}")).await.unwrap();
    }

    fn watch(&self, first: u32, count: u32) -> impl Stream<Item = Result<User, UserError>> {
        stream::iter(first..first + count).map(user)
    }

    async fn import(&self, users: Streaming<User>) -> Result<u32, UserError> {
        let ids: Vec<u32> =
            users.map_ok(|user| user.id).try_collect().await.map_err(|_| UserError::UnknownUser { id: 0 })?;
        Ok(ids.into_iter().sum())
    }

    fn chat(&self, room: String, said: Streaming<String>) -> impl Stream<Item = Result<String, RpcError>> {
        said.map_ok(move |text| format!("{room}: {text}"))
    }

    async fn hang(&self) -> Result<(), RpcError> {
        self.told.send("began".to_owned()).await.unwrap();
        let _tell = Tell(self.told.clone(), "gone");
        future::pending().await
    }

    async fn left(&self) -> Result<Option<u64>, RpcError> {
        tokio::task::yield_now().await;
        let left = Handling::deadline().map(|deadline| deadline - tokio::time::Instant::now());
        Ok(left.map(|left| left.as_millis() as u64))
    }

    async fn nothing(&self) -> Result<(), RpcError> {
        Ok(())
    }

    async fn shout(&self, text: String) -> Result<String, RpcError> {
        Ok(text.to_uppercase())
    }
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), future).await.expect("it comes soon")
}

/// A broker that takes metadata pushes and passes nothing on.
pub(crate) struct Silent(pub(crate) mpsc::Sender<Bytes>);

impl Responder for Silent {
    fn metadata_push(&self, metadata: Bytes) {
        let _ = self.0.try_send(metadata);
    }
}

/// The broker's end of an app's connection.
pub(crate) struct End {
    pub(crate) connection: Connection,
    pub(crate) setup: AcceptedSetup,
    pub(crate) pushed: mpsc::Receiver<Bytes>,
}

impl End {
    pub(crate) async fn accept(transport: Arc<dyn Transport>) -> Self {
        let (push, pushed) = mpsc::channel(8);
        let mut setup = None;
        let accepted = accept(transport, Config::default(), |from_app| {
            setup = Some(from_app);
            future::ready(Ok::<Arc<dyn Responder>, StreamError>(Arc::new(Silent(push))))
        });
        let connection = soon(accepted).await.unwrap();
        Self { connection, setup: setup.unwrap(), pushed }
    }

    pub(crate) fn users(&self, encoding: Encoding) -> UsersClient {
        UsersClient::new(Arc::new(AppCaller::over(self.connection.clone()))).with_encoding(encoding)
    }

    /// A raw request-response.
    pub(crate) async fn ask(&self, metadata: CompositeBuilder, data: impl Into<Bytes>) -> Result<Payload, StreamError> {
        match soon(self.connection.request_response(Payload::new(metadata.finish(), data))).await {
            Ok(answer) => Ok(answer.expect("an answer has a payload")),
            Err(towline_responder::rsocket::CallFailure::Stream(error)) => Err(error),
            Err(failure) => panic!("{failure}"),
        }
    }
}

/// An app over a connection in memory, and the other end of that.
pub(crate) async fn start(build: impl FnOnce(AppBuilder) -> AppBuilder) -> (App, End) {
    let (near, far): (MemoryTransport, MemoryTransport) = memory_pair("memory");
    let starting = tokio::spawn(build(App::over(Arc::new(near))).start());
    let end = End::accept(Arc::new(far)).await;
    (soon(starting).await.unwrap().unwrap(), end)
}

/// The same, serving [`Plain`].
pub(crate) async fn serving() -> (App, End, mpsc::Receiver<String>) {
    use towline_responder::Serve;
    let (told, hears) = mpsc::channel(8);
    let (app, end) = start(|app| app.serve(UsersServer::new(Plain { told }))).await;
    (app, end, hears)
}

/// Metadata with a route and the JSON type.
pub(crate) fn json(route: &str) -> CompositeBuilder {
    routed(route).message_mime(mime::JSON)
}

pub(crate) fn routed(route: &str) -> CompositeBuilder {
    CompositeBuilder::new().entry(mime::ROUTING, &write_tags([route]).unwrap())
}

pub(crate) const DEADLINE: Mime<'static> = Mime::Name(b"message/x.towline.deadline.v0");
