//! Against tungstenite, a client and server of other authors.

use super::*;
use crate::transport::TcpTransport;
use futures::{SinkExt, StreamExt};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, accept_async, connect_async};

const MAX: usize = (1 << 24) - 1;
const SIZES: [usize; 8] = [1, 125, 126, 65_535, 65_536, 1_000_000, MAX, 3];

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Our server, their client.
async fn server() -> (Arc<WebSocketTransport>, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/rsocket", listener.local_addr().unwrap());
    let accept = async {
        let inner = TcpTransport::new(listener.accept().await.unwrap().0).unwrap();
        WebSocketTransport::accept(Box::new(inner), BytesMut::new(), MAX, |upgrade| {
            assert_eq!(upgrade.path, "/rsocket");
            Ok(())
        })
        .await
        .unwrap()
    };
    let (server, client) = tokio::join!(accept, connect_async(url));
    (Arc::new(server), client.unwrap().0)
}

/// Our client, their server.
async fn client() -> (Arc<WebSocketTransport>, WebSocketStream<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connect = async {
        let inner = TcpTransport::connect(address).await.unwrap();
        WebSocketTransport::connect(Box::new(inner), &address.to_string(), "/rsocket", MAX).await.unwrap()
    };
    let accept = async { accept_async(listener.accept().await.unwrap().0).await.unwrap() };
    let (client, server) = tokio::join!(connect, accept);
    (Arc::new(client), server)
}

fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 7 + size) as u8).collect()
}

/// Big and small messages, both ways at once.
async fn transfer<S>(ours: Arc<WebSocketTransport>, theirs: WebSocketStream<S>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let all: Vec<u8> = SIZES.iter().flat_map(|size| prefixed(&payload(*size))).collect();
    let (mut sink, mut stream) = theirs.split();
    let sending = tokio::spawn(async move {
        for size in SIZES {
            sink.send(Message::binary(payload(size))).await.unwrap();
        }
    });
    let receiving = tokio::spawn(async move {
        for size in SIZES {
            assert!(stream.next().await.unwrap().unwrap().into_data() == payload(size), "{size} bytes");
        }
    });
    let (writer, bytes) = (ours.clone(), all.clone());
    let writing = tokio::spawn(async move { write(&*writer, &bytes).await });
    assert!(read(&*ours, all.len()).await == all);
    for task in [sending, receiving, writing] {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn another_client_is_served() {
    let (ours, theirs) = server().await;
    transfer(ours, theirs).await;
}

#[tokio::test]
async fn another_server_is_used() {
    let (ours, theirs) = client().await;
    transfer(ours, theirs).await;
}

fn part(bytes: &'static [u8], opcode: Data, is_final: bool) -> Message {
    Message::Frame(Frame::message(bytes, OpCode::Data(opcode), is_final))
}

#[tokio::test]
async fn three_continuation_frames_with_a_ping_between_are_one_frame() {
    let (ours, mut theirs) = server().await;
    theirs.send(part(b"ab", Data::Binary, false)).await.unwrap();
    theirs.send(part(b"", Data::Continue, false)).await.unwrap();
    theirs.send(Message::Ping(b"amid".as_slice().into())).await.unwrap();
    theirs.send(part(b"cd", Data::Continue, true)).await.unwrap();
    assert_eq!(read(&*ours, 7).await, prefixed(b"abcd"));
    write_all(&*ours, &mut Batch::default()).await.unwrap();
    assert_eq!(theirs.next().await.unwrap().unwrap(), Message::Pong(b"amid".as_slice().into()));
}

#[tokio::test]
async fn a_server_pings_our_client() {
    let (ours, mut theirs) = client().await;
    theirs.send(Message::Ping(b"there?".as_slice().into())).await.unwrap();
    theirs.send(Message::binary(b"x".as_slice())).await.unwrap();
    assert_eq!(read(&*ours, 4).await, prefixed(b"x"));
    write(&*ours, &prefixed(b"y")).await;
    assert_eq!(theirs.next().await.unwrap().unwrap(), Message::Pong(b"there?".as_slice().into()));
    assert_eq!(theirs.next().await.unwrap().unwrap().into_data(), b"y".as_slice());
}

#[tokio::test]
async fn their_close_is_answered() {
    let (ours, mut theirs) = server().await;
    let going = CloseFrame { code: CloseCode::Away, reason: "bye".into() };
    theirs.send(Message::Close(Some(going))).await.unwrap();
    let (bytes, end) = read_end(&*ours).await;
    assert!(bytes.is_empty());
    end.unwrap();
    ours.shutdown();
    let Message::Close(Some(answer)) = theirs.next().await.unwrap().unwrap() else { panic!("no CLOSE") };
    assert_eq!(answer.code, CloseCode::Away);
    assert!(theirs.next().await.is_none());
}

#[tokio::test]
async fn our_close_is_understood() {
    let (ours, mut theirs) = server().await;
    write(&*ours, &prefixed(b"last")).await;
    ours.shutdown();
    assert_eq!(theirs.next().await.unwrap().unwrap().into_data(), b"last".as_slice());
    let Message::Close(Some(close)) = theirs.next().await.unwrap().unwrap() else { panic!("no CLOSE") };
    assert_eq!(close.code, CloseCode::Normal);
}

#[tokio::test]
async fn text_is_refused_with_1003() {
    let (ours, mut theirs) = server().await;
    theirs.send(Message::text("hello")).await.unwrap();
    assert_eq!(read_end(&*ours).await.1.unwrap_err().kind(), io::ErrorKind::InvalidData);
    write(&*ours, &prefixed(b"ERROR")).await;
    ours.shutdown();
    assert_eq!(theirs.next().await.unwrap().unwrap().into_data(), b"ERROR".as_slice());
    let Message::Close(Some(close)) = theirs.next().await.unwrap().unwrap() else { panic!("no CLOSE") };
    assert_eq!(close.code, CloseCode::Unsupported);
}

#[tokio::test]
async fn a_message_over_16_mib_is_refused() {
    let (ours, mut theirs) = server().await;
    let sending = tokio::spawn(async move { theirs.send(Message::binary(vec![0; MAX + 1])).await });
    let error = read_end(&*ours).await.1.unwrap_err();
    assert!(error.to_string().contains("longer"), "{error}");
    ours.shutdown();
    drop(ours);
    let _ = sending.await.unwrap();
}
