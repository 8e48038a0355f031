use super::*;
use crate::transport::{TcpTransport, memory_pair};
use std::sync::Arc;

const MAX: usize = 1 << 24;

/// A server with a raw wire to it.
fn scripted() -> (WebSocketTransport, impl Transport) {
    let (inner, wire) = memory_pair("test");
    (WebSocketTransport::server(inner, MAX), wire)
}

fn try_read(transport: &dyn Transport) -> (Vec<u8>, io::Result<usize>) {
    let mut bytes = BytesMut::new();
    let result = transport.try_read(&mut bytes);
    (bytes.to_vec(), result)
}

fn kind(result: &io::Result<usize>) -> Option<io::ErrorKind> {
    result.as_ref().err().map(io::Error::kind)
}

async fn both_ways(client: WebSocketTransport, server: WebSocketTransport) {
    let (client, server): (Arc<dyn Transport>, Arc<dyn Transport>) = (Arc::new(client), Arc::new(server));
    let sizes = [1, 125, 126, 0, 4096, 4097, 65_535, 65_536, 3_000_000, (1 << 24) - 1, 9];
    let frames: Vec<u8> = sizes.iter().flat_map(|size| prefixed(&vec![*size as u8; *size])).collect();
    let frames = Arc::new(frames);
    let mut tasks = Vec::new();
    for (from, to) in [(client.clone(), server.clone()), (server, client)] {
        let (sent, expected) = (frames.clone(), frames.clone());
        tasks.push(tokio::spawn(async move {
            let mut batch = Batch::default();
            sent.chunks(100_003).for_each(|chunk| batch.push(BytesMut::from(chunk)));
            write_all(&*from, &mut batch).await.unwrap();
        }));
        tasks.push(tokio::spawn(async move { assert!(read(&*to, expected.len()).await == *expected) }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn memory_carries_frames_of_all_sizes_both_ways() {
    let (a, b) = memory_pair("test");
    both_ways(WebSocketTransport::client(a, MAX), WebSocketTransport::server(b, MAX)).await;
}

#[tokio::test]
async fn tcp_carries_frames_of_all_sizes_both_ways() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpTransport::connect(listener.local_addr().unwrap()).await.unwrap();
    let server = TcpTransport::new(listener.accept().await.unwrap().0).unwrap();
    both_ways(WebSocketTransport::client(client, MAX), WebSocketTransport::server(server, MAX)).await;
}

#[tokio::test]
async fn a_wire_that_comes_byte_by_byte_is_read() {
    let (server, raw) = scripted();
    let bytes =
        [masked(0x82, b"one"), masked(2, b"t"), masked(0x89, b"ping"), masked(0x80, b"wo"), masked(0x82, &[3; 200])];
    let mut got = Vec::new();
    for byte in bytes.concat() {
        write(&raw, &[byte]).await;
        let (read, result) = try_read(&server);
        assert_eq!(result.unwrap(), 1, "bytes of the wire count, also those that are no frame's");
        got.extend(read);
    }
    assert_eq!(got, [prefixed(b"one"), prefixed(b"two"), prefixed(&[3; 200])].concat());
    assert_eq!(kind(&try_read(&server).1), Some(io::ErrorKind::WouldBlock));
    assert_eq!(server.held(), 0);
}

#[tokio::test]
async fn what_is_not_complete_is_held_and_told() {
    let (server, raw) = scripted();
    write(&raw, &masked(2, &[1; 5000])).await;
    assert!(try_read(&server).0.is_empty());
    assert!(server.held() >= 5000);
    write(&raw, &masked(0x80, b"")).await;
    assert_eq!(try_read(&server).0.len(), 3 + 5000);
    assert_eq!(server.held(), 0);
    write(&raw, &masked(0x89, b"abc")[..7]).await;
    assert!(try_read(&server).0.is_empty());
    assert!(server.held() > 0, "a control frame that is not complete");
}

#[tokio::test]
async fn reading_a_ping_brings_something_to_write() {
    let (server, raw) = scripted();
    assert!(!server.has_unsent());
    write(&raw, &masked(0x89, b"hello")).await;
    assert!(try_read(&server).0.is_empty());
    assert!(server.has_unsent());
    assert_eq!(server.try_write(&mut Batch::default()).unwrap(), 0);
    assert!(!server.has_unsent());
    assert_eq!(try_read(&raw).0, b"\x8A\x05hello");
}

#[tokio::test]
async fn a_ping_amid_a_long_write_is_answered_after_the_message() {
    let (server, raw) = scripted();
    let server = Arc::new(server);
    let frame = prefixed(&vec![8; 1 << 20]);
    let mut batch = Batch::default();
    batch.push(BytesMut::from(&frame[..]));
    let mut taken = 0;
    let error = loop {
        match server.try_write(&mut batch) {
            Ok(n) => taken += n,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "nobody reads");
    assert_eq!(taken, frame.len() - batch.len());
    write(&raw, &masked(0x89, b"now")).await;
    assert!(try_read(&*server).0.is_empty());
    let writer = server.clone();
    let writing = tokio::spawn(async move { write_all(&*writer, &mut batch).await.unwrap() });
    let bytes = read(&raw, 10 + (1 << 20) + 5).await;
    assert!(bytes[10..10 + (1 << 20)].iter().all(|byte| *byte == 8));
    assert_eq!(bytes[10 + (1 << 20)..], *b"\x8A\x03now");
    writing.await.unwrap();
}

#[tokio::test]
async fn a_writer_that_waits_for_the_rest_of_a_frame_has_nothing_unsent() {
    let (server, raw) = scripted();
    let mut batch = Batch::default();
    batch.push(BytesMut::from(&[0, 0, 9, 1][..]));
    assert_eq!(server.try_write(&mut batch).unwrap(), 4);
    write(&raw, &masked(0x89, b"")).await;
    let _ = try_read(&server);
    assert!(!server.has_unsent(), "a PONG cannot go before the rest: who waited for it would never end");
}

#[tokio::test]
async fn close_is_the_end_after_what_came_before_it() {
    let (server, raw) = scripted();
    let bytes = [masked(0x82, b"last"), masked(0x88, &[3, 233]), masked(0x82, b"ignored")].concat();
    write(&raw, &bytes).await;
    let (frames, result) = try_read(&server);
    assert_eq!(frames, prefixed(b"last"));
    assert!(result.unwrap() > 0);
    readable(&server).await.unwrap();
    assert_eq!(try_read(&server).1.unwrap(), 0);
    assert_eq!(try_read(&server).1.unwrap(), 0);
    server.shutdown();
    assert_eq!(try_read(&raw).0, [0x88, 2, 3, 233], "answered with its own code");
}

#[tokio::test]
async fn a_fault_leaves_room_for_a_last_frame() {
    let (server, raw) = scripted();
    write(&raw, &[masked(0x82, b"good"), masked(0x81, b"text")].concat()).await;
    assert_eq!(try_read(&server).0, prefixed(b"good"));
    readable(&server).await.unwrap();
    let error = try_read(&server).1.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("text message"), "{error}");
    write(&server, &prefixed(b"ERROR")).await;
    server.shutdown();
    server.shutdown();
    let (bytes, end) = read_end(&raw).await;
    assert_eq!(bytes, b"\x82\x05ERROR\x88\x02\x03\xEB");
    end.unwrap();
}

#[tokio::test]
async fn shutdown_says_close_once_and_ends_writing() {
    let (server, raw) = scripted();
    server.shutdown();
    server.shutdown();
    assert_eq!(read_end(&raw).await.0, [0x88, 2, 3, 232]);
    let mut batch = Batch::default();
    batch.push(BytesMut::from(&prefixed(b"x")[..]));
    assert_eq!(server.try_write(&mut batch).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert!(!server.has_unsent());
}

#[tokio::test]
async fn shutdown_amid_a_message_says_no_close() {
    let (server, raw) = scripted();
    let mut batch = Batch::default();
    batch.push(BytesMut::from(&prefixed(b"abcdef")[..6]));
    server.try_write(&mut batch).unwrap();
    server.shutdown();
    assert_eq!(read_end(&raw).await.0, b"\x82\x06abc");
}

#[tokio::test]
async fn a_lost_connection_is_an_end() {
    let (server, raw) = scripted();
    drop(raw);
    assert_eq!(try_read(&server).1.unwrap(), 0);
}

#[tokio::test]
async fn a_write_takes_a_bounded_part_of_the_batch() {
    let (server, raw) = scripted();
    let mut batch = Batch::default();
    batch.push(BytesMut::from(&prefixed(&vec![0; 200_000])[..]));
    assert_eq!(server.try_write(&mut batch).unwrap(), 64 * 1024);
    drop(raw);
    while writable(&server).await.is_ok() {
        if let Err(error) = server.try_write(&mut batch) {
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            return;
        }
    }
}

#[tokio::test]
async fn a_buffer_for_the_rest_of_a_frame_does_not_grow() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let raw = TcpTransport::connect(listener.local_addr().unwrap()).await.unwrap();
    let server = WebSocketTransport::server(TcpTransport::new(listener.accept().await.unwrap().0).unwrap(), MAX);
    write(&raw, &[masked(0x82, &[1; 9997]), masked(0x82, &[2; 9997])].concat()).await;
    let mut into = BytesMut::with_capacity(10_000);
    while into.len() < 10_000 {
        readable(&server).await.unwrap();
        let _ = server.try_read(&mut into);
        assert_eq!(into.capacity(), 10_000);
    }
    assert_eq!(read(&server, 10_000).await[..3], into[..3], "the next frame is read next");
}
