//! How a serving app registers, returns and leaves.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use support::{End, Plain, UsersServer, json, serving, soon};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use towline_responder::rsocket::ErrorCode;
use towline_responder::rsocket::engine::AcceptedSetup;
use towline_responder::rsocket::metadata::{Composite, mime};
use towline_responder::rsocket::transport::TcpTransport;
use towline_responder::{
    App, Contract, Dispatch, Encoding, Interaction, Reply, Request, RpcError, Serve, ServiceKey, StartError,
};

fn users() -> UsersServer<Plain> {
    UsersServer::new(Plain { told: mpsc::channel(8).0 })
}

/// The same methods under another version.
struct Second(UsersServer<Plain>);

impl Dispatch for Second {
    fn contract(&self) -> &'static Contract {
        static CONTRACT: Contract = Contract { key: ServiceKey::new("g", "test.Users", "2"), docs: "", methods: &[] };
        &CONTRACT
    }

    fn dispatch(&self, method: &str, interaction: Interaction, request: Request) -> Result<Reply, RpcError> {
        self.0.dispatch(method, interaction, request)
    }
}

fn entry(setup: &AcceptedSetup, kind: mime::Mime<'_>) -> String {
    let content = Composite::new(setup.metadata.as_deref().unwrap()).find(kind).unwrap();
    String::from_utf8(content.to_vec()).unwrap()
}

#[tokio::test]
async fn services_are_registered_again_after_a_lost_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("rsocket://{}", listener.local_addr().unwrap());
    let accept = async || {
        let (socket, _) = soon(listener.accept()).await.unwrap();
        End::accept(Arc::new(TcpTransport::new(socket).unwrap())).await
    };
    let starting = App::connect(&address).name("users").serve(users()).zone("a").serve(Second(users())).start();
    let (app, first) = tokio::join!(starting, accept());
    let app = app.unwrap();
    let published = r#"{"published":[{"group":"","service":"test.Users","version":"1"},"#.to_owned()
        + r#"{"group":"g","service":"test.Users","version":"2"}]}"#;
    assert_eq!(entry(&first.setup, mime::SERVICE_REGISTRY), published);
    first.connection.close(None);
    let second = accept().await;
    assert_eq!(entry(&second.setup, mime::SERVICE_REGISTRY), published);
    assert_eq!(entry(&second.setup, mime::APPLICATION), entry(&first.setup, mime::APPLICATION));
    assert!(entry(&second.setup, mime::APPLICATION).contains(app.uuid()));
    for route in ["test.Users.nothing:1", "g!test.Users.nothing:2"] {
        second.ask(json(route), "").await.unwrap();
    }
}

#[tokio::test]
async fn one_key_served_twice_is_an_error_at_start() {
    let error = App::connect("rsocket://127.0.0.1:9999").serve(users()).serve(users()).start().await.unwrap_err();
    assert_eq!(error, StartError::ServedTwice(ServiceKey::new("", "test.Users", "1")));
}

#[tokio::test]
async fn a_closing_app_hides_first_and_lets_handlers_end() {
    let (app, mut end, mut told) = serving().await;
    let users = end.users(Encoding::Json);
    let hanging = tokio::spawn(async move { users.hang().await });
    assert_eq!(soon(told.recv()).await.unwrap(), "began");
    let closing = tokio::spawn({
        let app = app.clone();
        async move { app.close().await }
    });
    let event = String::from_utf8(soon(end.pushed.recv()).await.unwrap().to_vec()).unwrap();
    assert!(event.contains("AppStatusEvent") && event.contains(app.uuid()), "{event}");
    let error = end.ask(json("test.Users.nothing"), "").await.unwrap_err();
    assert_eq!((error.code, &*error.message), (ErrorCode::REJECTED, "this app is closing"));
    assert!(!closing.is_finished() && !hanging.is_finished());
    hanging.abort();
    soon(closing).await.unwrap();
    soon(end.connection.closed()).await;
}
