use super::carrier::Socket;
use super::{SOON, Setup, call_with};
use std::collections::HashSet;
use std::io;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use towline_rsocket::frame::MAX_FRAME;
use towline_rsocket::{Frame, FrameType, ReadBuffer, StreamId, flags};

/// The first stream a fence uses: far from those a test counts.
const FENCES: StreamId = 0x4000_0001;

/// One connection that does what the test says, and answers KEEPALIVE while it waits.
#[derive(Debug)]
pub(crate) struct Peer {
    socket: Socket,
    buffer: ReadBuffer,
    fence: StreamId,
    /// KEEPALIVE with the respond flag is answered, and not shown.
    pub is_answering: bool,
}

impl Peer {
    /// A connection on which nothing has been said.
    pub(crate) async fn connect(address: &str) -> Self {
        Self::try_connect(address).await.expect("the broker accepts connections")
    }

    pub(crate) async fn try_connect(address: &str) -> io::Result<Self> {
        Ok(Self::from(Socket::connect(address).await?))
    }

    /// A connection whose kernel keeps little of what this peer does not read.
    pub(crate) async fn connect_narrow(address: &str) -> Self {
        Self::from(Socket::connect_narrow(address).await.expect("the broker accepts connections"))
    }

    fn from(socket: Socket) -> Self {
        Self { socket, buffer: ReadBuffer::new(), fence: FENCES, is_answering: true }
    }

    /// The WebSocket under the frames, for a test of its own rules.
    pub(crate) fn web_socket(&mut self) -> &mut WebSocketStream<TcpStream> {
        match &mut self.socket {
            Socket::Messages(socket) => socket,
            other => panic!("{other:?} carries no messages"),
        }
    }

    /// A connected app; its services are in force when this returns.
    pub(crate) async fn join(address: &str, setup: &Setup) -> Self {
        Self::connect(address).await.introduced(setup).await
    }

    /// Sends SETUP and waits until it is accepted.
    pub(crate) async fn introduced(mut self, setup: &Setup) -> Self {
        self.send(setup.frame()).await;
        self.expect_nothing().await;
        self
    }

    pub(crate) async fn send(&mut self, frame: Frame) {
        self.send_bytes(frame.wire()).await;
    }

    /// Several frames in one write.
    pub(crate) async fn send_all(&mut self, frames: impl IntoIterator<Item = Frame>) {
        let bytes: Vec<u8> = frames.into_iter().flat_map(|frame| frame.wire().to_vec()).collect();
        self.send_bytes(&bytes).await;
    }

    /// Frames behind their 24-bit lengths; over a byte stream also what is no frame.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let sent = timeout(SOON, self.socket.write(bytes)).await.expect("the broker reads what it is sent");
        sent.expect("the connection is open");
    }

    /// As [`Self::send_bytes`], to a broker that may close the connection meanwhile; false if it did.
    pub(crate) async fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        timeout(SOON, self.socket.write(bytes)).await.expect("the broker reads what it is sent").is_ok()
    }

    /// The next frame.
    pub(crate) async fn recv(&mut self) -> Frame {
        self.awaiting("a frame").await
    }

    /// The next frame, which should be `what`.
    pub(crate) async fn awaiting(&mut self, what: &str) -> Frame {
        let next = timeout(SOON, self.next()).await;
        next.unwrap_or_else(|_| panic!("{what} did not come")).unwrap_or_else(|| panic!("closed instead of {what}"))
    }

    /// The next frame, without a deadline; none once the connection is closed.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            while let Some(len) = self.buffer.complete(MAX_FRAME).expect("24 bits say no more") {
                let frame = Frame::parse(self.buffer.take(len)).expect("the broker sends valid frames");
                let view = frame.view();
                if !(self.is_answering && view.kind() == FrameType::Keepalive && view.has(flags::RESPOND)) {
                    return Some(frame);
                }
                // Whether the broker still wants it is seen by what follows.
                let _ = self.socket.write(Frame::keepalive(false, view.data()).wire()).await;
            }
            if self.socket.read(&mut self.buffer).await == 0 {
                return None;
            }
        }
    }

    /// Everything the broker queued for this peer so far. What others sent is among it if their fences were answered.
    pub(crate) async fn fence(&mut self) -> Vec<Frame> {
        self.fence += 2;
        let fence = self.fence;
        self.send(call_with(fence, None, b"")).await;
        let mut before = Vec::new();
        loop {
            let frame = self.awaiting("the answer to a fence").await;
            if frame.view().stream_id() == fence {
                assert_eq!(frame.view().kind(), FrameType::Error, "{frame:?}");
                return before;
            }
            before.push(frame);
        }
    }

    /// Nothing was queued for this peer.
    pub(crate) async fn expect_nothing(&mut self) {
        let seen = self.fence().await;
        assert!(seen.is_empty(), "unexpected: {seen:?}");
    }

    /// A frame of this type.
    pub(crate) async fn expect(&mut self, kind: FrameType) -> Frame {
        let frame = self.awaiting(&format!("{kind:?}")).await;
        assert_eq!(frame.view().kind(), kind, "{frame:?}: {}", String::from_utf8_lossy(frame.view().data()));
        frame
    }

    async fn expect_on(&mut self, kind: FrameType, stream: StreamId) -> Frame {
        let frame = self.awaiting(&format!("{kind:?} on stream {stream}")).await;
        let view = frame.view();
        let text = String::from_utf8_lossy(&view.data()[..view.data().len().min(200)]).into_owned();
        assert_eq!((view.kind(), view.stream_id()), (kind, stream), "{frame:?}: {text}");
        frame
    }

    /// A PAYLOAD of this stream.
    pub(crate) async fn expect_payload(&mut self, stream: StreamId) -> Frame {
        self.expect_on(FrameType::Payload, stream).await
    }

    /// A PAYLOAD of this stream with these flags (M excepted) and this data.
    pub(crate) async fn expect_item(&mut self, stream: StreamId, bits: u16, data: &[u8]) {
        let frame = self.expect_payload(stream).await;
        let view = frame.view();
        assert_eq!((view.flags() & !flags::METADATA, view.data()), (bits, data), "{frame:?}");
    }

    /// An ERROR of this stream: code and text.
    pub(crate) async fn expect_error(&mut self, stream: StreamId) -> (u32, String) {
        let frame = self.expect_on(FrameType::Error, stream).await;
        (frame.view().error_code(), String::from_utf8(frame.view().data().to_vec()).expect("text"))
    }

    pub(crate) async fn expect_cancel(&mut self, stream: StreamId) {
        self.expect_on(FrameType::Cancel, stream).await;
    }

    /// A REQUEST_N of this stream: n.
    pub(crate) async fn expect_request_n(&mut self, stream: StreamId) -> u32 {
        self.expect_on(FrameType::RequestN, stream).await.view().request_n()
    }

    /// CANCEL for each of these streams, in any order, and nothing else.
    pub(crate) async fn expect_cancels(&mut self, streams: impl IntoIterator<Item = StreamId>) {
        let mut left: HashSet<_> = streams.into_iter().collect();
        while !left.is_empty() {
            let frame = self.expect(FrameType::Cancel).await;
            assert!(left.remove(&frame.view().stream_id()), "{frame:?}");
        }
    }

    /// ERROR on stream 0 and then the end of the connection: code and text.
    pub(crate) async fn expect_end(&mut self) -> (u32, String) {
        let said = self.expect_error(0).await;
        self.expect_closed().await;
        said
    }

    /// The end of the connection.
    pub(crate) async fn expect_closed(&mut self) {
        if let Some(frame) = timeout(SOON, self.next()).await.expect("the end of the connection did not come") {
            panic!("{frame:?} instead of the end of the connection: {:?}", frame.view().data());
        }
    }

    /// Reads until the connection ends: the frames that still came.
    pub(crate) async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = timeout(SOON, self.next()).await.expect("the end of the connection did not come") {
            frames.push(frame);
        }
        frames
    }
}
