use super::support::*;
use crate::ErrorCode;
use crate::engine::*;
use crate::error::{ConnectionError, StreamError};
use crate::frame::{Frame, FrameType};
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
