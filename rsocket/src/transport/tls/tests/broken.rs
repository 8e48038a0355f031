//! What cannot work, and what is said about it.

use super::*;
use crate::frame::Frame;
use crate::{ErrorCode, frame};

async fn connect_to(
    tls: &ClientTls,
    host: &str,
    answer: impl AsyncFnOnce(MemoryTransport),
) -> io::Result<TlsTransport> {
    let (a, b) = memory_pair("test");
    tokio::join!(TlsTransport::connect(Box::new(a), tls, host), answer(b)).0
}

/// Both sides' outcomes.
async fn shake(tls: &ClientTls, host: &str) -> (String, String) {
    let (a, b) = memory_pair("test");
    let server_tls = server_tls();
    let server = tokio::spawn(async move { TlsTransport::accept(Box::new(b), &server_tls, BytesMut::new()).await });
    let client = TlsTransport::connect(Box::new(a), tls, host).await;
    (client.unwrap_err().to_string(), server.await.unwrap().unwrap_err().to_string())
}

#[tokio::test]
async fn plaintext_to_a_tls_server_is_told_from_tls() {
    let (a, b) = memory_pair("test");
    let frame = Frame::error(0, ErrorCode::CONNECTION_CLOSE, "x").into_wire();
    assert!(frame.len() > frame::LENGTH);
    let error = TlsTransport::accept(Box::new(b), &server_tls(), frame).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().starts_with("the peer does not speak TLS on this port"), "{error}");
    // An alert is sent all the same.
    assert_eq!(receive(&a).await.unwrap()[0], 21);
}

#[tokio::test]
async fn a_plaintext_answer_is_told_from_tls() {
    let error = connect_to(&client_tls(), "localhost", async |server| {
        receive(&server).await.unwrap();
        let frame = Frame::error(0, ErrorCode::INVALID_SETUP, "the first frame is SETUP");
        send(&server, frame.wire()).await;
    })
    .await
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().starts_with("the peer does not speak TLS on this port"), "{error}");
}

#[tokio::test]
async fn a_peer_that_hangs_up_is_named_as_such() {
    let error = connect_to(&client_tls(), "localhost", async |server| drop(server)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    let error = connect_to(&client_tls(), "localhost", async |server| drop(receive(&server).await)).await.unwrap_err();
    assert_eq!(error.to_string(), "the peer hung up during the TLS handshake: it may not speak TLS on this port");
    let (a, b) = memory_pair("test");
    drop(a);
    let error = TlsTransport::accept(Box::new(b), &server_tls(), BytesMut::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn an_unknown_authority_is_told_to_both() {
    let (client, server) = shake(&ClientTls::with_roots_pem(OTHER_CA).unwrap(), "localhost").await;
    assert!(client.starts_with("the server's certificate is signed by no authority that is trusted here"), "{client}");
    assert_eq!(server, "the peer refused the certificate of this side: UnknownCA");
    let (client, _) = shake(&ClientTls::public_roots(), "localhost").await;
    assert!(client.contains("no authority"), "{client}");
}

#[tokio::test]
async fn another_name_is_refused() {
    let (client, server) = shake(&client_tls(), "example.org").await;
    assert!(client.contains("example.org") && client.contains("localhost"), "{client}");
    assert_eq!(server, "the peer refused the certificate of this side: BadCertificate");
    let error = connect_to(&client_tls(), "no host", async |_| ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_stream_may_end_behind_any_record() {
    const SAID: [&[u8]; 3] = [b"one", b"two", b"three"];
    let mut failed = 0;
    for records in 0.. {
        let (a, b) = memory_pair("test");
        let server_tls = server_tls();
        let server = tokio::spawn(async move {
            let server = TlsTransport::accept(Box::new(b), &server_tls, BytesMut::new()).await?;
            for said in SAID {
                write_all(&server, &mut batch(said)).await?;
            }
            server.shutdown();
            Ok::<(), io::Error>(())
        });
        let mut all = BytesMut::new();
        match TlsTransport::connect(Box::new(Gate::new(a, records)), &client_tls(), "localhost").await {
            Err(error) => {
                failed += 1;
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{records} records: {error}");
            }
            Ok(client) => loop {
                match &*receive(&client).await.unwrap() {
                    b"" => break,
                    bytes => all.extend_from_slice(bytes),
                }
            },
        }
        // How it fares is the client's affair here.
        let _ = server.await.unwrap();
        assert!(SAID.concat().starts_with(&all), "{records} records: {all:?}");
        if all == SAID.concat()[..] {
            assert!(failed >= 3 && records >= failed + 3, "{records} records, {failed} in the handshake");
            return;
        }
    }
}

#[tokio::test]
async fn a_broken_record_is_an_error_and_its_alert_is_flushed() {
    let (client, server) = pair().await;
    server.try_write(&mut batch(b"good")).unwrap();
    server
        .inner
        .try_write(&mut batch(&[
            23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
        ]))
        .unwrap();
    assert_eq!(receive(&*client).await.unwrap(), "good");
    assert!(!client.has_unsent());
    let error = receive(&*client).await.unwrap_err();
    assert_eq!(error.to_string(), "TLS failed: cannot decrypt peer's message");
    assert!(client.has_unsent());
    write_all(&*client, &mut Batch::default()).await.unwrap();
    assert!(!client.has_unsent());
    // It says so again, and the peer hears of it.
    assert_eq!(receive(&*client).await.unwrap_err().kind(), ErrorKind::InvalidData);
    let error = receive(&*server).await.unwrap_err();
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
}

#[tokio::test]
async fn shutdown_tells_the_peer_what_read_found() {
    let (client, server) = pair().await;
    server.inner.try_write(&mut batch(&[0; 20])).unwrap();
    assert_eq!(receive(&*client).await.unwrap_err().kind(), ErrorKind::InvalidData);
    client.shutdown();
    let error = receive(&*server).await.unwrap_err();
    assert!(error.to_string().contains("received fatal alert"), "{error}");
}

#[tokio::test]
async fn what_may_have_reached_the_socket_counts_as_taken() {
    let (client, server) = pair().await;
    drop(server);
    let mut all = batch(b"lost");
    assert_eq!(client.try_write(&mut all).unwrap(), 4);
    assert!(all.is_empty() && client.has_unsent());
    assert_eq!(client.try_write(&mut all).unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn nothing_is_written_after_shutdown() {
    let (client, _server) = pair().await;
    client.shutdown();
    let error = write_all(&*client, &mut batch(b"late")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}
