use super::*;
use crate::transport::memory_pair;
use futures::FutureExt;

const GOOD: &str = "GET /rsocket?x=1 HTTP/1.1\r\nHost: a.example\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Sends a request and returns the response with how `accept` ended.
async fn ask(request: &str, first: usize) -> (String, io::Result<WebSocketTransport>) {
    ask_as(request, first, |_| Ok(())).await
}

async fn ask_as(
    request: &str,
    first: usize,
    admit: impl FnOnce(&Upgrade<'_>) -> Result<(), Refusal>,
) -> (String, io::Result<WebSocketTransport>) {
    let (inner, raw) = memory_pair("test");
    let (first, rest) = request.as_bytes().split_at(first.min(request.len()));
    write(&raw, rest).await;
    let accepted = WebSocketTransport::accept(Box::new(inner), BytesMut::from(first), 1000, admit).await;
    let mut response = BytesMut::new();
    let _ = raw.try_read(&mut response);
    (String::from_utf8(response.to_vec()).unwrap(), accepted)
}

fn with(field: &str) -> String {
    GOOD.replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"))
}

fn without(field: &str) -> String {
    GOOD.split_inclusive("\r\n").filter(|line| !line.starts_with(field)).collect()
}

#[tokio::test]
async fn a_request_is_answered_however_much_of_it_was_read_before() {
    for first in [0, 1, 30, GOOD.len() - 1, GOOD.len()] {
        let (response, accepted) = ask(GOOD, first).await;
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        assert!(response.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\n") && !response.contains("Protocol:"), "{response}");
        accepted.unwrap();
    }
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_answered() {
    let (inner, raw) = memory_pair("test");
    let accepting =
        tokio::spawn(WebSocketTransport::accept(Box::new(inner), BytesMut::new(), 1000, |_: &Upgrade<'_>| Ok(())));
    for byte in GOOD.bytes() {
        write(&raw, &[byte]).await;
        tokio::task::yield_now().await;
    }
    accepting.await.unwrap().unwrap();
}

#[tokio::test]
async fn frames_behind_the_request_are_not_lost() {
    let (inner, raw) = memory_pair("test");
    let bytes = [GOOD.as_bytes(), &masked(0x82, b"early"), &masked(0x82, b"late")[..8]].concat();
    let server =
        WebSocketTransport::accept(Box::new(inner), BytesMut::from(&bytes[..]), 1000, |_| Ok(())).await.unwrap();
    assert!(readable(&server).now_or_never().is_some(), "what is here is not waited for");
    assert_eq!(read(&server, 3 + 5 + 3 + 2).await, [prefixed(b"early"), prefixed(b"late")[..5].to_vec()].concat());
    write(&raw, &masked(0x82, b"late")[8..]).await;
    assert_eq!(read(&server, 2).await, b"te");
}

#[tokio::test]
async fn path_and_origin_decide() {
    let (response, accepted) = ask_as(&with("Origin: https://page.example"), 0, |upgrade| {
        assert_eq!(*upgrade, Upgrade { path: "/rsocket?x=1", origin: Some("https://page.example") });
        Err(Refusal::new(403, "pages of https://page.example may not connect"))
    })
    .await;
    assert!(response.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\npages of https://page.example may not connect\n"), "{response}");
    assert!(accepted.is_err());
    let admitted = ask_as(GOOD, 0, |upgrade| {
        assert_eq!(upgrade.origin, None);
        Ok(())
    });
    admitted.await.1.unwrap();
}

#[tokio::test]
async fn the_subprotocol_is_agreed_to_if_offered() {
    for (offer, is_agreed) in [("rsocket", true), ("x, rsocket", true), ("mqtt", false), ("RSOCKETS", false)] {
        let (response, accepted) = ask(&with(&format!("Sec-WebSocket-Protocol: {offer}")), 0).await;
        accepted.unwrap();
        assert_eq!(response.contains("\r\nSec-WebSocket-Protocol: rsocket\r\n"), is_agreed, "{offer}: {response}");
    }
}

#[tokio::test]
async fn no_extension_is_agreed_to() {
    let (response, accepted) = ask(&with("Sec-WebSocket-Extensions: permessage-deflate"), 0).await;
    accepted.unwrap();
    assert!(!response.contains("Extensions"), "{response}");
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let cases = [
        (400, "hello\r\n\r\n".to_owned()),
        (400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        (400, GOOD.replace("HTTP/1.1", "HTTP/1.0")),
        (400, GOOD.replace("\r\n\r\n", "\n\nGET / HTTP/1.1\r\n\r\n")),
        (400, without("Host")),
        (400, with("Host: b.example")),
        (400, with("Content-Length: 5")),
        (400, with("Content-Length: 0\r\nContent-Length: 5")),
        (400, with("Transfer-Encoding: chunked")),
        (400, without("Sec-WebSocket-Key")),
        (400, with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")),
        (400, GOOD.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==")),
        (400, GOOD.replace("dGhlIHNhbXBsZSBub25jZQ==", "*")),
        (400, with("Origin: https://a.example\r\nOrigin: https://b.example")),
        (400, with("No colon")),
        (405, GOOD.replace("GET", "POST")),
        (426, without("Upgrade")),
        (426, without("Connection")),
        (426, GOOD.replace("WebSocket\r\n", "h2c\r\n")),
        (426, GOOD.replace("keep-alive, upgrade", "keep-alive")),
        (426, without("Sec-WebSocket-Version")),
        (426, GOOD.replace("Version: 13", "Version: 8")),
        (426, "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        (431, with(&format!("X: {}", "a".repeat(16 * 1024)))),
        (431, with("X: a\r\n".repeat(64).trim_end())),
    ];
    for (status, request) in cases {
        let (response, accepted) = ask_as(&request, 10, |_| panic!("not for {request}")).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {response}");
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{response}");
        assert!(body.ends_with('\n') && body.lines().count() == 1, "{response}");
        assert_eq!(status == 426, head.contains("\r\nSec-WebSocket-Version: 13"), "{response}");
        assert!(accepted.is_err());
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_an_error() {
    let (inner, raw) = memory_pair("test");
    write(&raw, b"GET / HTTP/1.1\r\n").await;
    drop(raw);
    let accepted = WebSocketTransport::accept(Box::new(inner), BytesMut::new(), 1000, |_| Ok(())).await;
    assert_eq!(accepted.err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_client_and_a_server_agree() {
    let (a, b) = memory_pair("test");
    let accept = WebSocketTransport::accept(Box::new(b), BytesMut::new(), 1000, |upgrade| {
        assert_eq!(*upgrade, Upgrade { path: "/x", origin: None });
        Ok(())
    });
    let (client, server) = tokio::join!(WebSocketTransport::connect(Box::new(a), "localhost:7878", "/x", 1000), accept);
    let (client, server) = (client.unwrap(), server.unwrap());
    write(&client, &prefixed(b"up")).await;
    write(&server, &prefixed(b"down")).await;
    assert_eq!(read(&server, 5).await, prefixed(b"up"));
    assert_eq!(read(&client, 7).await, prefixed(b"down"));
}

#[tokio::test]
async fn a_client_believes_only_the_right_response() {
    const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let cases = [
        (RESPONSE.to_owned(), "does not answer"),
        (RESPONSE.replace("Accept", "Except"), "does not answer"),
        (RESPONSE.replace("websocket", "h2c"), "something else"),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned(), "403 Forbidden"),
        ("HTTP/1.1 200 OK\r\n\r\n".to_owned(), "200 OK"),
        ("no HTTP\r\n\r\n".to_owned(), "no HTTP"),
        (format!("HTTP/1.1 101 x\r\nx: {}\r\n\r\n", "a".repeat(16 * 1024)), "16 KiB"),
    ];
    for (response, text) in cases {
        let (inner, raw) = memory_pair("test");
        write(&raw, response.as_bytes()).await;
        let error = WebSocketTransport::connect(Box::new(inner), "localhost", "/", 1000).await.err().unwrap();
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[tokio::test]
async fn a_host_or_path_cannot_bring_fields_of_its_own() {
    for (host, path) in
        [("a\r\nX: y", "/"), ("a", "/ HTTP/1.1\r\nX: y"), ("", "/"), ("a", ""), ("a", "x"), ("a b", "/")]
    {
        let (inner, _raw) = memory_pair("test");
        let error = WebSocketTransport::connect(Box::new(inner), host, path, 1000).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
