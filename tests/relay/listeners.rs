//! What a listener answers, told by the first bytes of a connection.

use crate::harness::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use towline::config::{Config, ListenAddress};
use towline::metrics::{Meters, recorder};
use towline_responder::builtin::{HealthClient, HealthStatus};
use towline_responder::{App, AppBuilder};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rsocket/tests/fixtures").join(name)
}

fn with_certificate(config: &mut Config) {
    config.tls.certificate = Some(fixture("server.pem"));
    config.tls.key = Some(fixture("server.key"));
}

fn listens(config: &mut Config, addresses: &[&str]) {
    config.listen.addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
}

fn socket_path(name: &str) -> String {
    format!("{}/{name}-{}.sock", env!("CARGO_TARGET_TMPDIR"), std::process::id())
}

/// An app that connects there and asks the broker for its health.
async fn expect_health(app: AppBuilder) {
    let app = app.start().await.expect("the broker takes this app");
    let status = app.client::<HealthClient>().check(None).await;
    assert_eq!(status, Ok(HealthStatus::SERVING));
    app.close().await;
}

fn trusting(address: &str) -> AppBuilder {
    App::connect(address).roots_pem(std::fs::read(fixture("ca.pem")).expect("it is in the repository"))
}

/// All that comes before the end of the connection.
async fn answer(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).await.expect("the broker accepts connections");
    socket.write_all(bytes).await.expect("the connection is open");
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(SOON, socket.read_to_end(&mut answer)).await.expect("the end of the connection");
    answer
}

/// The beginning of a TLS connection.
const CLIENT_HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3];

#[tokio::test(flavor = "multi_thread")]
async fn one_port_speaks_rsocket_websocket_and_tls() {
    let broker = Broker::with(with_certificate).await;
    let port = broker.address.rsplit(':').next().expect("a port").to_owned();
    expect_health(App::connect(format!("tcp://{}", broker.address))).await;
    expect_health(trusting(&format!("tls://localhost:{port}"))).await;
    let mut frames = Peer::join(&format!("ws://{}", broker.address), &Setup::anonymous().service("test.Echo")).await;
    let mut client = broker.client().await;
    client.send(call(1, "test.Echo.call", b"over two carriers")).await;
    let request = frames.expect(towline_rsocket::FrameType::RequestResponse).await;
    frames.send(last(request.view().stream_id(), request.view().data())).await;
    client.expect_item(1, 0x60, b"over two carriers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_for_tls_never_answers_plaintext() {
    for scheme in ["tls", "wss"] {
        let broker = Broker::with(|config| {
            with_certificate(config);
            listens(config, &[&format!("{scheme}://127.0.0.1:0")]);
        })
        .await;
        let address = broker.addresses()[0].split_once("://").expect("a scheme").1.to_owned();
        for bytes in [Setup::anonymous().frame().wire(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", &[0; 64], &[0xFF]] {
            assert_eq!(answer(&address, bytes).await, b"", "{scheme}");
        }
        broker.until("towline_setups_refused_total", 4.0).await;
        assert_eq!(broker.labelled("towline_setups_refused_total", "plaintext"), 4.0);
        let port = address.rsplit(':').next().expect("a port");
        expect_health(trusting(&format!("tls://localhost:{port}"))).await;
    }
    // Nor does it say why nothing came.
    let broker = Broker::with(|config| {
        with_certificate(config);
        listens(config, &["tls://127.0.0.1:0"]);
        config.listen.setup_timeout = std::time::Duration::from_millis(50);
    })
    .await;
    let address = broker.addresses()[0].split_once("://").expect("a scheme").1.to_owned();
    assert_eq!(answer(&address, b"").await, b"");
    assert_eq!(answer(&address, CLIENT_HELLO).await, b"", "a handshake that goes nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_client_of_a_broker_without_certificate_gets_an_alert_and_is_closed_at_once() {
    let broker = Broker::start().await;
    let handshake_failure = [0x15, 3, 3, 0, 2, 2, 40];
    assert_eq!(answer(&broker.address, CLIENT_HELLO).await, handshake_failure);
    let long = [CLIENT_HELLO, &[0; 16_000]].concat();
    assert_eq!(answer(&broker.address, &long).await, handshake_failure, "however much of it was not read");
    // Counted once the socket is closed.
    broker.until("towline_setups_refused_total", 2.0).await;
    assert_eq!(broker.labelled("towline_setups_refused_total", "no_certificate"), 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_whether_somebody_listens_is_not_refused() {
    let broker = Broker::start().await;
    let mut socket = TcpStream::connect(&broker.address).await.expect("the broker accepts connections");
    socket.shutdown().await.expect("the connection is open");
    // The broker has seen the end once it closes its own side.
    assert_eq!(socket.read(&mut [0; 8]).await.expect("the end of the connection"), 0);
    answer(&broker.address, CLIENT_HELLO).await;
    broker.until("towline_setups_refused_total", 1.0).await;
    assert_eq!(broker.meter("towline_setups_refused_total"), 1.0, "only who spoke");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_told_what_this_port_speaks() {
    let broker = Broker::start().await;
    for request in
        ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"]
    {
        let answer = String::from_utf8(answer(&broker.address, request.as_bytes()).await).expect("text");
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        assert!(answer.contains("WebSocket"), "{answer}");
    }
}

/// Connects as a page of this origin; the status code if that is refused.
async fn browse(broker: &Broker, origin: Option<&str>) -> Result<(), u16> {
    let mut request = format!("ws://{}/rsocket", broker.address).into_client_request().expect("an address");
    if let Some(origin) = origin {
        request.headers_mut().insert("Origin", origin.parse().expect("a header"));
    }
    let stream = TcpStream::connect(&broker.address).await.expect("the broker accepts connections");
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((mut socket, _)) => {
            use futures::{SinkExt, StreamExt};
            let setup = Setup::anonymous().frame();
            socket.send(Message::binary(setup.view().bytes().to_vec())).await.expect("it is open");
            let ask = call_with(1, None, b"");
            socket.send(Message::binary(ask.view().bytes().to_vec())).await.expect("it is open");
            let refusal = socket.next().await.expect("an answer").expect("a frame").into_data();
            assert_eq!(refusal[..4], [0, 0, 0, 1], "the broker speaks RSocket here");
            Ok(())
        }
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_connects_only_if_its_origin_is_on_the_list() {
    let broker = Broker::start().await;
    assert_eq!(browse(&broker, None).await, Ok(()), "no browser, no origin");
    for origin in ["https://evil.example", "null", "http://localhost"] {
        assert_eq!(browse(&broker, Some(origin)).await, Err(403), "the list is empty by default");
    }
    let listed = Broker::with(|config| config.listen.origins = vec!["https://app.example.com".to_owned()]).await;
    assert_eq!(browse(&listed, Some("https://app.example.com")).await, Ok(()));
    for origin in ["https://app.example.com.evil.example", "http://app.example.com", "https://app.example.com:444", ""]
    {
        assert_eq!(browse(&listed, Some(origin)).await, Err(403), "{origin}");
    }
    let open = Broker::with(|config| config.listen.origins = vec!["*".to_owned()]).await;
    assert_eq!(browse(&open, Some("https://any.example")).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_of_every_kind_of_listener_call_each_other() {
    let path = socket_path("every");
    let broker = Broker::with(|config| {
        with_certificate(config);
        let unix = format!("unix://{path}");
        listens(config, &["tcp://127.0.0.1:0", "tls://127.0.0.1:0", "ws://127.0.0.1:0", "wss://127.0.0.1:0", &unix]);
    })
    .await;
    let addresses = broker.addresses();
    let schemes: Vec<_> = addresses.iter().map(|address| address.split_once("://").expect("a scheme").0).collect();
    assert_eq!(schemes, ["tcp", "tls", "ws", "wss", "unix"]);
    let mut server = Peer::join(&addresses[4], &Setup::anonymous().service("test.Echo")).await;
    for address in [addresses[0].trim_start_matches("tcp://"), &addresses[2], &addresses[4]] {
        let mut client = Peer::join(address, &Setup::anonymous()).await;
        client.send(call(1, "test.Echo.call", b"x")).await;
        let request = server.expect(towline_rsocket::FrameType::RequestResponse).await;
        server.send(last(request.view().stream_id(), b"y")).await;
        client.expect_item(1, 0x60, b"y").await;
    }
    for address in [&addresses[0], &addresses[1], &addresses[4]] {
        expect_health(trusting(address)).await;
    }
    broker.drain().await;
    assert!(!Path::new(&path).exists(), "the socket's file goes with the listener");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_file_nobody_listens_on_is_replaced_and_one_in_use_is_not() {
    let path = socket_path("stale");
    let on_path = |config: &mut Config| config.listen.addresses = vec![ListenAddress::Unix(path.clone().into())];
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a path of its own"));
    assert!(Path::new(&path).exists());
    let broker = Broker::with(on_path).await;
    broker.client().await;
    let mut config = Config::default();
    on_path(&mut config);
    let second = towline::Broker::start(config, Arc::new(Meters::new(&recorder()))).await;
    let refusal = second.expect_err("somebody listens there").to_string();
    assert!(refusal.contains(&path) && refusal.contains("is another broker running there?"), "{refusal}");
    broker.client().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_refused_by_its_path() {
    for (certificate, key, why) in [
        ("nowhere.pem", "server.key", "No such file"),
        ("server.key", "server.key", "no certificate"),
        ("server.pem", "server.pem", "no private key"),
        ("other-ca.pem", "server.key", "does not belong"),
    ] {
        let mut config = Config::default();
        listens(&mut config, &["tls://127.0.0.1:0"]);
        config.tls.certificate = Some(fixture(certificate));
        config.tls.key = Some(fixture(key));
        let refusal = towline::Broker::start(config, Arc::new(Meters::new(&recorder()))).await;
        let text = refusal.expect_err(why).to_string();
        assert!(text.contains(certificate) && text.contains(why), "{text}");
    }
}
