//! The ways to a broker, and what is said of a wrong one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use support::{Act, Broker, CA, DeskClient, OTHER_CA, Seen};
use tokio::net::TcpListener;
use towline_requester::rsocket::engine::{Config, Lease};
use towline_requester::rsocket::transport::TlsError;
use towline_requester::{App, StartError};

fn yes(_: &Seen) -> Act {
    Act::Answer("yes")
}

/// Why an app cannot connect, once it has tried.
async fn trouble(address: &str, roots: &[u8]) -> String {
    for within in (6..).map(|power| Duration::from_millis(1 << power)) {
        let start = App::connect(address).roots_pem(roots).connect_timeout(within).start();
        let StartError::NotConnected { trouble, .. } = start.await.unwrap_err() else { panic!("nobody is there") };
        if let Some(trouble) = trouble.strip_prefix(&format!("{address}: ")) {
            return trouble.to_owned();
        }
        assert_eq!(trouble, "none has answered yet");
    }
    unreachable!("it has tried at last")
}

#[tokio::test]
async fn an_app_calls_over_tls() {
    let broker = Broker::secure(yes).await;
    let port = broker.address.rsplit_once(':').unwrap().1;
    // The certificate is checked for a name and for an address alike.
    for host in ["127.0.0.1", "localhost"] {
        let app = App::connect(format!("tls://{host}:{port}")).roots_pem(CA).start().await.unwrap();
        assert_eq!(app.client::<DeskClient>().ask("?".to_owned()).await.unwrap(), "yes");
        app.close().await;
    }
}

#[tokio::test]
async fn an_app_calls_over_websocket() {
    for is_secure in [false, true] {
        let mut broker = Broker::websocket(is_secure, yes).await;
        let app = broker.app().roots_pem(CA).start().await.unwrap();
        assert_eq!(app.client::<DeskClient>().ask("?".to_owned()).await.unwrap(), "yes");
        assert_eq!(broker.request().await.route, "test.Desk.ask");
        app.close().await;
    }
}

#[tokio::test]
async fn a_websocket_broker_somewhere_else_says_so() {
    let broker = Broker::websocket(false, yes).await;
    let elsewhere = broker.address.replace("/rsocket", "/");
    let trouble = trouble(&elsewhere, CA).await;
    assert!(trouble.contains("the server answered 404"), "{trouble}");
}

#[tokio::test]
async fn a_websocket_broker_of_an_unknown_authority_is_not_called() {
    let broker = Broker::websocket(true, yes).await;
    let trouble = trouble(&broker.address, OTHER_CA).await;
    assert!(trouble.contains("signed by no authority that is trusted here"), "{trouble}");
}

#[tokio::test]
async fn an_app_that_gives_leases_waits_for_the_brokers() {
    let broker = Broker::start(yes).await;
    let config = Config { lease: Some(Lease::default()), ..Config::default() };
    let app = broker.app().engine(config).start().await.unwrap();
    assert_eq!(app.client::<DeskClient>().ask("?".to_owned()).await.unwrap(), "yes");
}

#[cfg(unix)]
#[tokio::test]
async fn an_app_calls_over_a_unix_socket() {
    let path = std::env::temp_dir().join(format!("towline-{}-{}.sock", std::process::id(), line!()));
    let broker = Broker::local(&path, yes);
    let app = broker.app().start().await.unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(app.client::<DeskClient>().ask("?".to_owned()).await.unwrap(), "yes");
}

#[tokio::test]
async fn a_broker_of_an_unknown_authority_is_not_called() {
    let broker = Broker::secure(yes).await;
    let trouble = trouble(&broker.address, OTHER_CA).await;
    assert!(trouble.contains("signed by no authority that is trusted here"), "{trouble}");
}

#[tokio::test]
async fn tls_to_a_plain_port_says_so() {
    // A broker hangs up once it sees what it does not speak.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            socket.readable().await.unwrap();
        }
    });
    let trouble = trouble(&format!("tls://{host}"), CA).await;
    assert!(trouble.ends_with(&format!("if the broker listens without TLS, write rsocket://{host}")), "{trouble}");
}

#[tokio::test]
async fn plain_to_a_tls_port_says_so() {
    let broker = Broker::secure(yes).await;
    let host = broker.address.strip_prefix("tls://").unwrap();
    let trouble = trouble(&format!("rsocket://{host}"), CA).await;
    assert!(trouble.ends_with(&format!("if the broker listens with TLS, write tls://{host}")), "{trouble}");
}

#[tokio::test]
async fn roots_that_are_none_are_refused_at_once() {
    let error = App::connect("tls://127.0.0.1:1").roots_pem("no PEM").start_detached().unwrap_err();
    assert_eq!(error, StartError::Roots(TlsError::NoCertificate));
}
