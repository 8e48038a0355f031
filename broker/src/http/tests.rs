use super::server::{Limits, Management};
use crate::metrics::{Meters, recorder};
use crate::shutdown::{Lifecycle, Phase};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const WIDE: Limits = Limits {
    connections: 8,
    head: Duration::from_secs(60),
    lifetime: Duration::from_secs(60),
    finish: Duration::from_secs(60),
};

async fn served(limits: Limits) -> (SocketAddr, Lifecycle, JoinHandle<()>) {
    let management = Management::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let address = management.address();
    let lifecycle = Lifecycle::default();
    let meters = Arc::new(Meters::new(&recorder()));
    let task = tokio::spawn(management.serve_within(limits, meters, lifecycle.watch()));
    (address, lifecycle, task)
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the port accepts");
    stream.write_all(request.as_bytes()).await.expect("the request is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the answer is text");
    answer
}

async fn get(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn readiness_follows_the_phase_and_liveness_does_not() {
    let (address, lifecycle, _task) = served(WIDE).await;
    let answer = get(address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\nstarting\n"), "{answer}");
    lifecycle.enter(Phase::Running);
    let answer = get(address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nready\n"), "{answer}");
    lifecycle.enter(Phase::Draining);
    let answer = get(address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\ndraining\n"), "{answer}");
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn metrics_are_in_the_text_format() {
    let (address, _lifecycle, _task) = served(WIDE).await;
    let answer = get(address, "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{answer}");
    assert!(answer.contains("\ntowline_links_accepted_total 0\n"), "{answer}");
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_in_words() {
    let (address, _lifecycle, _task) = served(WIDE).await;
    let answer = get(address, "/api").await;
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("/readyz"), "{answer}");
    let answer =
        ask(address, "POST /livez HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET"), "{answer}");
}

#[tokio::test]
async fn an_rsocket_client_is_told_in_its_own_protocol_that_this_is_the_wrong_port() {
    let (address, _lifecycle, _task) = served(WIDE).await;
    let mut stream = TcpStream::connect(address).await.expect("the port accepts");
    // The length of a SETUP, and all of its header and version.
    stream.write_all(&[0, 1, 0, 0, 0, 0, 0, 0x05, 0, 0, 1, 0, 0]).await.expect("it is taken");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("the end of the connection");
    let frame = rsocket::FrameRef::parse(&answer[3..]).expect("a frame");
    assert_eq!((frame.stream_id(), frame.error_code()), (0, rsocket::ErrorCode::REJECTED_SETUP.0));
    assert!(frame.data().starts_with(b"this is the management port"), "{frame:?}");
}

#[tokio::test]
async fn a_client_that_says_nothing_loses_its_slot() {
    let (address, _lifecycle, _task) = served(Limits { connections: 1, head: Duration::from_millis(50), ..WIDE }).await;
    let mut slow = TcpStream::connect(address).await.expect("the port accepts");
    slow.write_all(b"GET /livez HTTP/1.1\r\nHo").await.expect("the beginning is taken");
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 "));
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).await.expect("the connection ends");
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_stop() {
    let (address, lifecycle, task) = served(WIDE).await;
    let mut idle = TcpStream::connect(address).await.expect("the port accepts");
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: t\r\n\r\n").await.expect("the request is taken");
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.expect("an answer begins");
    let _silent = TcpStream::connect(address).await.expect("the port accepts");
    // Both are taken once a later one has been answered.
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 "));
    lifecycle.enter(Phase::Stopped);
    task.await.expect("the server ends");
    assert!(TcpStream::connect(address).await.is_err());
}
