use super::call::{FireFuture, ResponseFuture};
use super::config::{ClientSetup, Config, Window};
use super::dispatch::Dispatch;
use super::driver::Driver;
use super::ending::Ending;
use super::ids::Ids;
use super::lease::{Lease, Leases};
use super::payload::{Item, Payload};
use super::responder::Responder;
use super::response::ResponseStream;
use super::shared::{Shared, State, now};
use crate::codec::ReadBuffer;
use crate::error::{ConnectionError, ErrorCode};
use crate::frame::{Frame, SetupParts, flags, set_flags};
use crate::keepalive::Timing;
use crate::transport::Transport;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// A handle to one connection; clones are cheap and equal. Dropping the last one does not end the connection, which goes
/// on serving: [`close`](Self::close) does, or the peer.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.peer())
    }
}

/// Opens the client's side: writes SETUP at once and spawns the driver. RSocket has no answer to SETUP: a refusal shows
/// as the connection's end, with [`ConnectionError::Refused`].
///
/// # Panics
/// Outside a tokio runtime, if a MIME type is longer than 255 bytes, or if SETUP would exceed 16 MiB - 1.
pub fn connect(
    transport: Arc<dyn Transport>,
    setup: ClientSetup,
    responder: Arc<dyn Responder>,
    config: Config,
) -> Connection {
    let config = config.checked();
    let timing = Timing { interval: config.keepalive, suspect: config.lifetime, lifetime: config.lifetime };
    let mut frame = Frame::setup(SetupParts {
        keepalive: config.keepalive,
        lifetime: config.lifetime,
        metadata_mime: &setup.metadata_mime,
        data_mime: &setup.data_mime,
        metadata: setup.metadata.as_deref(),
        data: &setup.data,
    });
    if config.lease.is_some() {
        set_flags(frame.bytes_mut(), flags::LEASE);
    }
    let connection = Connection::new(transport, config, Ids::client());
    connection.shared.state.lock().outgoing.push_control(frame);
    connection.shared.flush();
    connection.spawn(responder, ReadBuffer::new(), timing, false);
    connection
}

impl Connection {
    pub(super) fn new(transport: Arc<dyn Transport>, config: Config, ids: Ids) -> Self {
        let config = config.checked();
        let leases = config.lease.map(|lease| Leases::new(lease, now()));
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State::new(ids, leases)),
                transport,
                config,
                runtime: Handle::current(),
                ended: Notify::new(),
                flushed: Notify::new(),
                quiet: Notify::new(),
                leased: Notify::new(),
            }),
        }
    }

    pub(super) fn spawn(&self, responder: Arc<dyn Responder>, buffer: ReadBuffer, timing: Timing, is_server: bool) {
        self.shared.renew_lease(now());
        let dispatch = Dispatch::new(self.shared.clone(), responder, is_server);
        let driver = Driver::new(self.shared.clone(), dispatch, buffer, timing, !is_server);
        self.shared.runtime.spawn(driver.run());
    }

    /// A request with one answer; `None` if the peer completes without a payload. Sent at the first poll.
    pub fn request_response(&self, request: Payload) -> ResponseFuture {
        ResponseFuture::new(self.shared.clone(), request)
    }

    /// A request without an answer: done once it is queued, which waits while the queue is over its mark.
    pub fn fire_and_forget(&self, request: Payload) -> FireFuture {
        FireFuture::new(self.shared.clone(), request)
    }

    /// A request with many answers; at most `window.initial` of them wait here.
    pub fn request_stream(&self, request: Payload, window: Window) -> ResponseStream {
        ResponseStream::new(self.shared.clone(), request, None, window)
    }

    /// A request with many items both ways. `items` is polled by a task of its own, while the peer has given credit and
    /// the outgoing queue has room; it is dropped when the peer cancels it or the stream ends.
    pub fn request_channel(
        &self,
        first: Payload,
        items: impl Stream<Item = Payload> + Send + 'static,
        window: Window,
    ) -> ResponseStream {
        self.try_request_channel(first, items.map(Ok), window)
    }

    /// [`request_channel`](Self::request_channel) with items that may fail: an error goes to the peer as ERROR, which ends
    /// both directions; here the answers end CANCELED.
    pub fn try_request_channel(
        &self,
        first: Payload,
        items: impl Stream<Item = Item> + Send + 'static,
        window: Window,
    ) -> ResponseStream {
        ResponseStream::new(self.shared.clone(), first, Some(items.boxed()), window)
    }

    /// Sends METADATA_PUSH ahead of what is queued; nothing on a connection that has ended.
    ///
    /// # Panics
    /// If it would exceed 16 MiB - 1.
    pub fn metadata_push(&self, metadata: Bytes) {
        let frame = Frame::metadata_push(&metadata);
        let mut state = self.shared.state.lock();
        if state.ended.is_none() {
            state.outgoing.push_control(frame);
        }
        drop(state);
        self.shared.flush();
    }

    /// Streams in progress, of both sides; a fire-and-forget being handled counts.
    pub fn open_streams(&self) -> usize {
        let state = self.shared.state.lock();
        state.streams.len() + state.oneways.len()
    }

    /// The connection has ended.
    pub fn is_closed(&self) -> bool {
        self.shared.state.lock().ended.is_some()
    }

    /// Waits until the connection has ended and tells why.
    pub async fn closed(&self) -> ConnectionError {
        loop {
            let ended = self.shared.ended.notified();
            if let Some(ended) = &self.shared.state.lock().ended {
                return ended.error.clone();
            }
            ended.await;
        }
    }

    /// Takes no new requests, neither own ones nor the peer's (answered ERROR\[REJECTED\]), and waits until those in
    /// progress have ended. The peer is not told and the connection stays: [`close`](Self::close) comes next.
    pub async fn drain(&self) {
        self.shared.state.lock().closing.get_or_insert(ConnectionError::Closed);
        loop {
            let quiet = self.shared.quiet.notified();
            if self.is_drained() {
                return;
            }
            quiet.await;
        }
    }

    fn is_drained(&self) -> bool {
        let state = self.shared.state.lock();
        state.ended.is_some() || state.is_quiet()
    }

    /// Sends LEASE: for `ttl`, the peer may send so many requests; 0 of either stops it, more are answered
    /// ERROR\[REJECTED\]. It takes the place of the lease before, and [`Config::lease`] is not renewed any more. Nothing
    /// without leases.
    pub fn lease(&self, ttl: Duration, requests: u32) {
        let lease = Lease { requests, ttl }.checked();
        let mut state = self.shared.state.lock();
        if state.ended.is_some() {
            return;
        }
        let Some(leases) = &mut state.leases else { return };
        leases.replace(lease);
        state.outgoing.push_control(Frame::lease(lease.ttl, lease.requests));
        drop(state);
        self.shared.flush();
    }

    /// Waits until the peer's lease allows a request, or the connection has ended; not at all without leases.
    pub async fn leased(&self) {
        loop {
            let leased = self.shared.leased.notified();
            if self.is_leased() {
                return;
            }
            leased.await;
        }
    }

    fn is_leased(&self) -> bool {
        let state = self.shared.state.lock();
        state.ended.is_some() || state.leases.as_ref().is_none_or(|leases| leases.is_open(now()))
    }

    /// Tells the peer that this side closes (CONNECTION_CLOSE) and takes no new requests, neither own ones nor the
    /// peer's (answered ERROR\[REJECTED\]); those in progress go on, and the connection ends with the last of them.
    pub fn announce_close(&self, text: &str) {
        let mut state = self.shared.state.lock();
        if state.ended.is_some() || std::mem::replace(&mut state.is_announced, true) {
            return;
        }
        state.closing.get_or_insert(ConnectionError::Closed);
        // Behind the requests that are queued, which the peer would reject after it.
        state.outgoing.push_frame(Frame::error(0, ErrorCode::CONNECTION_CLOSE, text));
        drop(state);
        self.shared.flush();
        self.shared.quiet.notify_waiters();
    }

    /// Ends the connection: every call fails at once. What is queued is written first, then ERROR on stream 0 if a
    /// reason is given; the socket is shut down after that, at the latest after a second.
    pub fn close(&self, reason: Option<(ErrorCode, &str)>) {
        let frame = reason.map(|(code, message)| Frame::error(0, code, message));
        self.shared.end(ConnectionError::Closed, Ending::Closed(frame));
    }

    /// The peer's address, for people.
    pub fn peer(&self) -> String {
        self.shared.transport.peer()
    }

    #[cfg(test)]
    pub(super) fn continue_ids_at(&self, next: u32) {
        self.shared.state.lock().ids.continue_at(next);
    }

    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.shared.state.lock().outgoing.queued()
    }
}
