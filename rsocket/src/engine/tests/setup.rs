use super::support::*;
use crate::ErrorCode;
use crate::engine::*;
use crate::error::{ConnectionError, StreamError};
use crate::frame::{Frame, FrameType, SetupParts};
use crate::transport::memory_pair;
use std::sync::Arc;
use std::time::Duration;

/// What a server says to these bytes; it must close then.
async fn refusal(bytes: &[u8]) -> u32 {
    let (a, b) = memory_pair("test");
    let mut peer = Peer::new(a);
    peer.send_bytes(bytes).await;
    let reject = |_| async { Err(StreamError::new(ErrorCode::REJECTED, "not you")) };
    let accepted = accept(Arc::new(b), Config::default(), reject).await;
    assert!(matches!(accepted.err(), Some(ConnectionError::Refused { .. })));
    let code = peer.expect(FrameType::Error, 0).await.view().error_code();
    assert!(peer.next().await.is_none(), "closed after the refusal");
    code
}

#[tokio::test]
async fn what_is_not_a_fit_setup_is_refused_and_closed() {
    let good = setup_frame().wire().to_vec();
    let patched = |at: usize, byte: u8| {
        let mut wire = good.clone();
        wire[3 + at] = byte;
        wire
    };
    assert_eq!(refusal(&good).await, ErrorCode::REJECTED_SETUP.0, "by the acceptor");
    assert_eq!(refusal(&patched(7, 9)).await, ErrorCode::UNSUPPORTED_SETUP.0, "version 9");
    assert_eq!(refusal(&patched(3, 1)).await, ErrorCode::INVALID_SETUP.0, "SETUP on stream 1");
    assert_eq!(refusal(&patched(18, 200)).await, ErrorCode::INVALID_SETUP.0, "MIME type cut");
    let mut resumable = good.clone();
    resumable[3 + 5] |= 0x80;
    resumable.splice(3 + 18..3 + 18, [0, 1, b't']);
    resumable[2] += 3;
    assert_eq!(refusal(&resumable).await, ErrorCode::REJECTED_SETUP.0, "R flag");
    let mut resume = vec![0, 0, 28, 0, 0, 0, 0, 0x0D << 2, 0];
    resume.extend([0; 22]);
    assert_eq!(refusal(&resume).await, ErrorCode::REJECTED_RESUME.0);
    let first = [
        request(FrameType::RequestResponse, 1, 0, "x").wire().to_vec(),
        Frame::keepalive(true, b"").wire().to_vec(),
        item(1, NEXT, "x").wire().to_vec(),
        vec![0, 0, 6, 0, 0, 0, 0, 0x2A << 2 | 2, 0],
    ];
    for bytes in first {
        assert_eq!(refusal(&bytes).await, ErrorCode::INVALID_SETUP.0, "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_instead_of_setup_ends_in_time() {
    let (a, b) = memory_pair("test");
    let config = Config { setup_timeout: Duration::from_secs(3), ..Config::default() };
    let mut peer = Peer::new(a);
    let accepting =
        tokio::spawn(accept(Arc::new(b), config, |_| async { Ok(Arc::<Notes>::default() as Arc<dyn Responder>) }));
    peer.expect(FrameType::Error, 0).await;
    assert!(accepting.await.unwrap().is_err());
}

#[tokio::test]
async fn requests_may_follow_setup_at_once() {
    let (a, b) = memory_pair("test");
    let mut peer = Peer::new(a);
    let mut bytes = setup_frame().wire().to_vec();
    bytes.extend_from_slice(request(FrameType::RequestResponse, 1, 0, "at once").wire());
    peer.send_bytes(&bytes).await;
    let seen = |setup: AcceptedSetup| async move {
        assert_eq!((&setup.metadata_mime[..], &setup.data_mime[..]), (&b"m"[..], &b"d"[..]));
        assert_eq!(setup.lifetime, Duration::from_secs(90));
        Ok(Arc::<Notes>::default() as Arc<dyn Responder>)
    };
    let server = accept(Arc::new(b), Config::default(), seen).await.unwrap();
    assert_eq!(peer.expect(FrameType::Payload, 1).await.view().data(), b"at once");
    server.fire_and_forget(text("x")).await.unwrap();
    peer.expect(FrameType::RequestFnf, 2).await;
}

fn accepting(ends: Ends) -> (Peer, tokio::task::JoinHandle<Result<Connection, ConnectionError>>) {
    let accepted = |_| async { Ok(Arc::<Notes>::default() as Arc<dyn Responder>) };
    (Peer::over(ends.0), tokio::spawn(accept(ends.1, Config::default(), accepted)))
}

#[tokio::test]
async fn setup_may_come_byte_by_byte() {
    over_every_carrier(|ends| async move {
        let (mut peer, accepting) = accepting(ends);
        let mut bytes = setup_frame().wire().to_vec();
        bytes.extend_from_slice(request(FrameType::RequestResponse, 1, 0, "at once").wire());
        for byte in bytes {
            peer.send_bytes(&[byte]).await;
            tokio::task::yield_now().await;
        }
        peer.expect(FrameType::Payload, 1).await;
        drop(accepting.await.unwrap().unwrap());
    })
    .await;
}

fn setup_of(len: usize) -> Frame {
    let room = len - setup_frame().view().bytes().len();
    let frame = Frame::setup(SetupParts { data: &vec![7; room], ..PARTS });
    assert_eq!(frame.view().bytes().len(), len);
    frame
}

#[tokio::test]
async fn a_setup_over_64_kib_is_refused() {
    over_every_carrier(|ends| async move {
        let (mut peer, accepting) = accepting(ends);
        peer.send(setup_of((64 << 10) + 1)).await;
        let error = peer.expect(FrameType::Error, 0).await;
        assert_eq!(error.view().error_code(), ErrorCode::INVALID_SETUP.0);
        assert!(String::from_utf8_lossy(error.view().data()).contains("over the limit of 65536"));
        assert!(peer.next().await.is_none());
        assert!(matches!(accepting.await.unwrap().err(), Some(ConnectionError::Refused { .. })));
    })
    .await;
    let (mut peer, accepting) = accepting(memory());
    peer.send(setup_of(64 << 10)).await;
    assert!(peer.settled().await.is_empty());
    assert!(accepting.await.unwrap().is_ok(), "64 KiB are allowed");
}

#[tokio::test(start_paused = true)]
async fn what_setup_can_not_be_ends_by_its_first_bytes() {
    let start = tokio::time::Instant::now();
    let (mut peer, accepting_length) = accepting(memory());
    peer.send_bytes(&[0x01, 0x00, 0x01]).await;
    peer.expect(FrameType::Error, 0).await;
    assert!(accepting_length.await.unwrap().is_err());
    for (first, name) in [(&b"\x16\x03\x01\x02\x00"[..], "TLS"), (b"GET / HTTP/1.1\r\n", "HTTP"), (b"POST", "HTTP")] {
        let (mut peer, accepting) = accepting(memory());
        peer.send_bytes(first).await;
        assert!(peer.next().await.is_none(), "no frame would be an answer");
        let error = accepting.await.unwrap().err().unwrap();
        assert!(error.to_string().contains(&format!("looks like {name}, not like RSocket")), "{error}");
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "without waiting for more");
}

#[tokio::test]
async fn a_setup_cut_anywhere_is_refused() {
    let good = setup_frame().wire().to_vec();
    for len in 3..good.len() {
        let mut cut = good[..len].to_vec();
        cut[2] = (len - 3) as u8;
        assert_eq!(refusal(&cut).await, ErrorCode::INVALID_SETUP.0, "{len}");
    }
    let mut old = good.clone();
    (old[3 + 7], old[3 + 9]) = (0, 2);
    assert_eq!(refusal(&old).await, ErrorCode::UNSUPPORTED_SETUP.0, "version 0.2");
    let mut metadata = good;
    metadata[3 + 4] |= 1;
    assert_eq!(refusal(&metadata).await, ErrorCode::INVALID_SETUP.0, "metadata without its length");
}

#[tokio::test]
async fn mime_types_and_times_are_the_apps_affair() {
    let zero = Duration::ZERO;
    for (metadata_mime, data_mime) in [("", ""), ("no/such-thing", "\u{fc}")] {
        let setup = Frame::setup(SetupParts { keepalive: zero, lifetime: zero, metadata_mime, data_mime, ..PARTS });
        let (mut peer, server, _) = scripted_client_over(memory(), setup, Config::default()).await;
        peer.send(request(FrameType::RequestResponse, 1, 0, "x")).await;
        peer.expect(FrameType::Payload, 1).await;
        assert!(!server.is_closed());
    }
}

#[tokio::test]
async fn a_client_says_version_1_0_and_times_over_0() {
    let config = Config { keepalive: Duration::ZERO, lifetime: Duration::from_secs(1 << 40), ..Config::default() };
    let (near, far) = memory();
    let _client = connect(near, setup(), Arc::new(Notes::default()), config);
    let mut peer = Peer::over(far);
    let frame = peer.expect(FrameType::Setup, 0).await;
    let setup = frame.view().setup();
    assert_eq!((setup.version, setup.resume_token, setup.is_leased), ((1, 0), None, false));
    assert_eq!(setup.keepalive, Duration::from_millis(1));
    assert_eq!(setup.lifetime, Duration::from_millis(0x7FFF_FFFF), "as long as 31 bits can say");
    assert_eq!((setup.metadata_mime, setup.data_mime), (&b"m"[..], &b"d"[..]));
}
