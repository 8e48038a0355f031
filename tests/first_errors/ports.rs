use super::harness::*;
use super::row::Row;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use towline::config::Config;
use towline_responder::{App, StartError};

fn secure(config: &mut Config) {
    let fixture = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("rsocket/tests/fixtures").join(name);
    config.tls.certificate = Some(fixture("server.pem"));
    config.tls.key = Some(fixture("server.key"));
    config.listen.addresses = vec!["tls://127.0.0.1:0".parse().expect("an address")];
}

/// A broker that listens with TLS alone, and its address.
async fn secure_broker() -> (Broker, String) {
    let broker = Broker::with(secure).await;
    let address = broker.addresses()[0].trim_start_matches("tls://").to_owned();
    (broker, address)
}

/// All that comes before the end of the connection.
async fn answer(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).await.expect("the broker accepts connections");
    socket.write_all(bytes).await.expect("the connection is open");
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = timeout(SOON, socket.read_to_end(&mut answer)).await.expect("the end of the connection");
    answer
}

/// Status line and body of the answer to this request.
async fn http(address: &str, request: &str) -> (String, String) {
    let answer = answer(address, format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.lines().next().expect("a status line").to_owned(), body.trim_end().to_owned())
}

/// What a Rust app is told that cannot connect there, once it has tried; as if the port were 9999.
async fn app_told(scheme: &str, host: &str) -> String {
    let address = format!("{scheme}://{host}");
    for within in (6..).map(|power| Duration::from_millis(1 << power)) {
        let start = App::connect(address.as_str()).connect_timeout(within).start().await;
        let Err(StartError::NotConnected { trouble, .. }) = start else { panic!("nobody is there for it: {start:?}") };
        if let Some(trouble) = trouble.strip_prefix(&format!("{address}: ")) {
            return trouble.replace(host, "127.0.0.1:9999");
        }
    }
    unreachable!("it has tried at last")
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_on_a_port_for_tls_is_closed_without_a_byte_and_counted() {
    let row = Row::of("plaintext_on_a_port_for_tls_is_closed_without_a_byte_and_counted");
    let (broker, address) = secure_broker().await;
    assert_eq!(answer(&address, Setup::anonymous().frame().wire()).await, b"");
    broker.until("towline_setups_refused_total", 1.0).await;
    assert_eq!(broker.labelled("towline_setups_refused_total", "plaintext"), 1.0);
    row.shows(&app_told("rsocket", &address).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_url_without_tls_on_a_port_for_tls_is_closed_without_a_byte_and_counted() {
    let row = Row::of("a_websocket_url_without_tls_on_a_port_for_tls_is_closed_without_a_byte_and_counted");
    let (broker, address) = secure_broker().await;
    let stream = TcpStream::connect(&address).await.expect("the broker accepts connections");
    let opened = tokio_tungstenite::client_async(format!("ws://{address}"), stream).await;
    row.shows(&opened.expect_err("it is closed").to_string());
    broker.until("towline_setups_refused_total", 1.0).await;
    assert_eq!(broker.labelled("towline_setups_refused_total", "plaintext"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_where_there_is_none_gets_an_alert_and_is_counted() {
    let row = Row::of("tls_where_there_is_none_gets_an_alert_and_is_counted");
    let broker = Broker::start().await;
    row.shows(&app_told("tls", &broker.address).await);
    assert!(broker.labelled("towline_setups_refused_total", "no_certificate") >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_on_the_rsocket_port_is_answered_in_http() {
    let row = Row::of("plain_http_on_the_rsocket_port_is_answered_in_http");
    let broker = Broker::start().await;
    for request in ["GET /", "POST /api/demo.Greeter/greet"] {
        let (status, body) = http(&broker.address, request).await;
        row.shows(&status);
        row.shows(&body);
    }
}

/// Opens a WebSocket with this field.
async fn open(broker: &Broker, field: &'static str, value: &str) -> Result<(), Error> {
    let mut request = format!("ws://{}", broker.address).into_client_request().expect("an address");
    request.headers_mut().insert(field, value.parse().expect("a value"));
    let stream = TcpStream::connect(&broker.address).await.expect("the broker accepts connections");
    tokio_tungstenite::client_async(request, stream).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_is_told_the_setting() {
    let row = Row::of("a_page_of_another_origin_is_told_the_setting");
    let broker = Broker::start().await;
    let refused = open(&broker, "Origin", "https://shop.example.com").await.expect_err("it is refused");
    let Error::Http(response) = refused else { panic!("{refused}") };
    row.shows(&format!("HTTP/1.1 {}", response.status()));
    let body = response.into_body().expect("a body");
    row.shows(String::from_utf8(body).expect("text").trim_end());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_subprotocol_is_needed_and_another_one_is_not_agreed_to() {
    let row = Row::of("no_subprotocol_is_needed_and_another_one_is_not_agreed_to");
    let broker = Broker::start().await;
    Peer::join(&format!("ws://{}", broker.address), &Setup::anonymous()).await.expect_nothing().await;
    open(&broker, "Sec-WebSocket-Protocol", "rsocket").await.expect("it is agreed to");
    let refused = open(&broker, "Sec-WebSocket-Protocol", "graphql-ws").await;
    row.shows(&refused.expect_err("the client gives up").to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn rsocket_on_the_management_port_is_told_where_to_go() {
    let row = Row::of("rsocket_on_the_management_port_is_told_where_to_go");
    let broker = Process::start(&[]);
    let mut client = Peer::connect(&broker.management).await;
    client.send(Setup::app("shop").frame()).await;
    row.error(&client.expect_end().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_where_nobody_listens_is_told_by_the_client_itself() {
    let row = Row::of("a_port_where_nobody_listens_is_told_by_the_client_itself");
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = port.local_addr().expect("it is bound").to_string();
    drop(port);
    row.shows(&app_told("rsocket", &address).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_without_a_scheme_is_told_what_to_write() {
    let row = Row::of("an_address_without_a_scheme_is_told_what_to_write");
    let told = App::connect("localhost:9999").start().await.expect_err("it is no address");
    row.shows(&told.to_string());
}
