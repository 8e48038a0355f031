//! KEEPALIVE (Protocol.md, "KEEPALIVE Frame"). What a client sends of itself is in `endings`.

use super::support::*;
use crate::engine::*;
use crate::error::ConnectionError;
use crate::frame::{Frame, FrameType, HEADER, SetupParts, flags};
use std::time::Duration;

#[tokio::test]
async fn a_keepalive_is_answered_once_with_its_data_and_a_position() {
    each_side(|mut peer, _engine, _, _| async move {
        for data in [&b""[..], b"data", &[b'x'; 5_000]] {
            let mut asks = with_reserved_bits(Frame::keepalive(true, data));
            asks.bytes_mut()[HEADER..HEADER + 8].copy_from_slice(&77_u64.to_be_bytes());
            peer.send(asks).await;
            let echo = peer.expect(FrameType::Keepalive, 0).await;
            assert!(!echo.view().has(flags::RESPOND));
            assert_eq!(echo.view().bytes()[HEADER..HEADER + 8], [0; 8], "nothing resumes here");
            assert_eq!(echo.view().data(), data);
            peer.send(Frame::keepalive(false, data)).await;
        }
        assert!(peer.settled().await.is_empty(), "what does not ask is not answered");
    })
    .await;
}

async fn server_of_a_short_lived_client() -> (Peer, Connection) {
    let (keepalive, lifetime) = (Duration::from_secs(1), Duration::from_secs(5));
    let setup = Frame::setup(SetupParts { keepalive, lifetime, ..PARTS });
    let (peer, server, _) = scripted_client_over(memory(), setup, Config::default()).await;
    (peer, server)
}

#[tokio::test(start_paused = true)]
async fn a_server_probes_a_silent_client_and_gives_it_up() {
    let (mut peer, server) = server_of_a_short_lived_client().await;
    let start = tokio::time::Instant::now();
    assert!(peer.expect(FrameType::Keepalive, 0).await.view().has(flags::RESPOND));
    assert!(matches!(server.closed().await, ConnectionError::KeepaliveTimeout(_)));
    assert!(start.elapsed() >= Duration::from_secs(5) && start.elapsed() <= Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn any_frame_keeps_a_client_alive() {
    let (peer, server) = server_of_a_short_lived_client().await;
    for n in 0..40 {
        peer.send(if n % 2 == 0 { Frame::keepalive(false, b"") } else { Frame::cancel(99) }).await;
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    assert!(!server.is_closed());
}
