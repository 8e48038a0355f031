use super::Config;
use super::failure::CallFailure;
use super::job::Stop;
use super::lease::Lease;
use super::payload::Payload;
use super::responder::Responder;
use super::serve::{Request, serve};
use super::shared::{Entry, Shared, now};
use crate::error::{ConnectionError, ErrorCode, FrameError, StreamError};
use crate::fragment::{JoinError, Joined, Joiner, follows};
use crate::frame::{Frame, FrameRef, FrameType, LENGTH, StreamId, flags};
use crate::stream::{Role, Signal};
use bytes::{BufMut, Bytes, BytesMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// A frame as the read buffer holds it: small ones are read in place, large ones were cut out.
pub(super) enum Arrived<'a> {
    Small(FrameRef<'a>),
    Large(Frame),
}

impl Arrived<'_> {
    fn view(&self) -> FrameRef<'_> {
        match self {
            Self::Small(frame) => *frame,
            Self::Large(frame) => frame.view(),
        }
    }

    /// Small payloads are copied, so that one kept for long pins no read block. Metadata that is the same as the last one's
    /// is shared with it: of requests of one kind it often is.
    fn into_payload(self, last: &mut Bytes) -> Payload {
        match self {
            Self::Small(frame) => {
                let metadata = frame.metadata().map(|metadata| {
                    if **last != *metadata {
                        *last = Bytes::copy_from_slice(metadata);
                    }
                    last.clone()
                });
                Payload { metadata, data: Bytes::copy_from_slice(frame.data()) }
            }
            Self::Large(frame) => {
                let (metadata, data) = frame.into_parts();
                Payload { metadata, data }
            }
        }
    }

    fn into_frame(self) -> Result<Frame, FrameError> {
        match self {
            Self::Large(frame) => Ok(frame),
            Self::Small(frame) => {
                let mut wire = BytesMut::with_capacity(LENGTH + frame.bytes().len());
                wire.put_uint(frame.bytes().len() as u64, LENGTH);
                wire.put_slice(frame.bytes());
                Frame::parse(wire)
            }
        }
    }
}

/// What each frame does. Used by the task that reads, alone.
pub(super) struct Dispatch {
    shared: Arc<Shared>,
    responder: Arc<dyn Responder>,
    joiner: Joiner,
    /// Metadata of the last small frame that had some.
    metadata: Bytes,
    is_server: bool,
}

impl Dispatch {
    pub(super) fn new(shared: Arc<Shared>, responder: Arc<dyn Responder>, is_server: bool) -> Self {
        let Config { max_payload, max_unfinished, .. } = shared.config;
        Self { shared, responder, joiner: Joiner::new(max_payload, max_unfinished), metadata: Bytes::new(), is_server }
    }

    /// Handles one frame.
    ///
    /// # Errors
    /// What ends the connection.
    pub(super) fn frame(&mut self, arrived: Arrived<'_>) -> Result<(), ConnectionError> {
        let view = arrived.view();
        let (stream, kind) = (view.stream_id(), view.kind());
        match kind {
            FrameType::Payload => return self.piece(arrived),
            _ if kind.is_request() => {
                let is_in_use = self.joiner.held() > 0 && self.joiner.is_partial(stream);
                // A whole one is looked at when it is served.
                let is_known = is_in_use || follows(view) && !self.shared.state.lock().ids.is_peers(stream);
                return if is_known { Ok(()) } else { self.piece(arrived) };
            }
            FrameType::RequestN => self.granted(stream, view.request_n()),
            FrameType::Cancel => self.cancelled(stream),
            FrameType::Error if stream == 0 => return self.connection_error(view),
            FrameType::Error => self.failed(stream, read_error(view)),
            FrameType::Keepalive if stream == 0 && view.has(flags::RESPOND) => {
                let echo = Frame::keepalive(false, view.data());
                let limit = self.shared.config.outgoing_mark;
                self.shared.state.lock().outgoing.push_echo(echo, limit);
            }
            FrameType::Lease if stream == 0 => self.leased(view),
            FrameType::MetadataPush if stream == 0 => {
                let metadata = Bytes::copy_from_slice(view.metadata().unwrap_or_default());
                let pushed = catch_unwind(AssertUnwindSafe(|| self.responder.metadata_push(metadata)));
                if pushed.is_err() {
                    tracing::error!("a responder panicked at a METADATA_PUSH");
                }
            }
            FrameType::Resume => return Err(ConnectionError::Protocol(FrameError::Unexpected(kind))),
            FrameType::Ext if !view.has(flags::IGNORE) => {
                return Err(ConnectionError::Protocol(FrameError::UnknownType(kind as u8)));
            }
            // Unaccounted frames are ignored (Protocol.md, "Handling the Unexpected"): a second SETUP, frames of
            // the connection on a stream.
            _ => {}
        }
        Ok(())
    }

    /// A request or PAYLOAD, whole or a fragment.
    fn piece(&mut self, arrived: Arrived<'_>) -> Result<(), ConnectionError> {
        let view = arrived.view();
        let stream = view.stream_id();
        self.forget_abandoned();
        let is_fragment = follows(view) || (self.joiner.held() > 0 && self.joiner.is_partial(stream));
        if !is_fragment {
            let (kind, bits, n) = (view.kind(), view.flags(), view.request_n());
            let payload = arrived.into_payload(&mut self.metadata);
            self.whole(stream, kind, bits, n, payload);
            return Ok(());
        }
        if view.kind() == FrameType::Payload && !self.takes_fragment(stream) {
            self.joiner.cancel(stream);
            return Ok(());
        }
        let frame = arrived.into_frame().map_err(ConnectionError::Protocol)?;
        match self.joiner.push(frame) {
            Ok(None) => {}
            Ok(Some(Joined { kind, flags, request_n, metadata, data })) => {
                if let Some(entry) = self.shared.state.lock().streams.get_mut(&stream) {
                    *entry.is_partial() = false;
                }
                self.whole(stream, kind, flags, request_n, Payload { metadata, data });
            }
            Err(error) => self.too_large(stream, error),
        }
        Ok(())
    }

    /// Whether a PAYLOAD fragment belongs to a request being joined, or to a stream whose sender's half is open.
    fn takes_fragment(&self, stream: StreamId) -> bool {
        let mut state = self.shared.state.lock();
        let from = if state.ids.is_peers(stream) { Role::Requester } else { Role::Responder };
        let Some(entry) = state.streams.get_mut(&stream) else {
            return from == Role::Requester && self.joiner.is_partial(stream);
        };
        let is_open = entry.halves().is_open(from);
        *entry.is_partial() = is_open;
        is_open
    }

    /// Drops fragments of streams that this side ended.
    fn forget_abandoned(&mut self) {
        if self.joiner.held() > 0 {
            let abandoned = std::mem::take(&mut self.shared.state.lock().abandoned);
            abandoned.into_iter().for_each(|stream| self.joiner.cancel(stream));
        }
    }

    fn too_large(&mut self, stream: StreamId, error: JoinError) {
        let error = StreamError::new(ErrorCode::INVALID, error.to_string());
        let mut state = self.shared.state.lock();
        if state.ids.is_peers(stream) {
            self.shared.refuse(state, stream, &error);
        } else {
            state.outgoing.push_signal(FrameType::Cancel, stream, 0, 0);
            drop(state);
        }
        self.failed(stream, error);
    }

    fn whole(&mut self, stream: StreamId, kind: FrameType, bits: u16, n: u32, payload: Payload) {
        let is_complete = bits & flags::COMPLETE != 0;
        if kind == FrameType::Payload {
            let is_item = bits & flags::NEXT != 0 || payload.metadata.is_some() || !payload.data.is_empty();
            self.payload(stream, is_item.then_some(payload), is_complete);
        } else {
            serve(&self.shared, &*self.responder, Request { kind, stream, n, is_complete, payload });
        }
    }

    fn payload(&self, stream: StreamId, item: Option<Payload>, is_complete: bool) {
        let mut state = self.shared.state.lock();
        let Some(entry) = state.streams.get_mut(&stream) else { return };
        let (from, is_single) = match entry {
            Entry::Call { kind, .. } => (Role::Responder, *kind == FrameType::RequestResponse),
            Entry::Served { .. } | Entry::Promised { .. } => (Role::Requester, false),
        };
        if !entry.halves().is_open(from) || (item.is_none() && !is_complete) {
            return;
        }
        let Some(inlet) = entry.inlet().cloned() else { return };
        let producer = entry.job().filter(|_| is_complete && from == Role::Requester).cloned();
        // N without C answers a request-response: C is assumed ("Handling the Unexpected", 5).
        let is_complete = is_complete || is_single;
        let removed = if is_complete { state.signal(stream, from, Signal::Complete) } else { None };
        self.shared.settle(state, removed);
        if !inlet.arrived(item, is_complete) {
            inlet.fail(CallFailure::stream(ErrorCode::CANCELED, "the peer sent more items than it was asked for"));
            match from {
                Role::Responder => self.shared.cancel(stream, &inlet),
                Role::Requester => self.shared.cancel_items(stream, &inlet),
            }
        }
        // Items made of these end with them, and an end needs no credit.
        if let Some(producer) = producer {
            producer.wake();
        }
    }

    /// LEASE that was not agreed on is ignored.
    fn leased(&self, view: FrameRef<'_>) {
        let (ttl, requests) = view.lease();
        let lease = Lease { requests, ttl: Duration::from_millis(ttl.into()) };
        if let Some(leases) = &mut self.shared.state.lock().leases {
            leases.received(lease, now());
        }
        self.shared.leased.notify_waiters();
    }

    fn granted(&self, stream: StreamId, n: u32) {
        let state = self.shared.state.lock();
        let job = state.streams.get(&stream).and_then(Entry::job).cloned();
        drop(state);
        if let Some(job) = job
            && n > 0
        {
            job.grant(n);
        }
    }

    fn cancelled(&mut self, stream: StreamId) {
        let mut state = self.shared.state.lock();
        let Some(entry) = state.streams.get_mut(&stream) else {
            drop(state);
            return self.joiner.cancel(stream);
        };
        let (from, job, inlet) = match entry {
            Entry::Call { up, .. } => (Role::Responder, up.clone(), None),
            Entry::Served { job, inlet, .. } => (Role::Requester, Some(job.clone()), inlet.clone()),
            Entry::Promised { .. } => (Role::Requester, None, None),
        };
        let removed = state.signal(stream, from, Signal::Cancel);
        self.shared.settle(state, removed);
        if let Some(inlet) = inlet {
            inlet.fail(CallFailure::stream(ErrorCode::CANCELED, "the requester cancelled"));
        }
        if let Some(job) = job {
            job.stop(Stop::Now);
        }
    }

    fn failed(&mut self, stream: StreamId, error: StreamError) {
        self.joiner.cancel(stream);
        let mut state = self.shared.state.lock();
        let Some(entry) = state.remove(stream) else { return };
        let (job, inlet) = (entry.job().cloned(), entry.inlet().cloned());
        let stop = if matches!(entry, Entry::Served { .. }) { Stop::AfterPoll } else { Stop::Now };
        self.shared.settle(state, Some(entry));
        if let Some(inlet) = inlet {
            inlet.fail(CallFailure::Stream(error));
        }
        if let Some(job) = job {
            job.stop(stop);
        }
    }

    fn connection_error(&self, view: FrameRef<'_>) -> Result<(), ConnectionError> {
        let StreamError { code, message } = read_error(view);
        let error = ConnectionError::Refused { code, message };
        match code {
            // Set-up errors are a server's to send: a server ignores them.
            ErrorCode(1..=4) if self.is_server => Ok(()),
            ErrorCode::CONNECTION_CLOSE => {
                let mut state = self.shared.state.lock();
                state.closing.get_or_insert(error);
                state.is_announced = true;
                Ok(())
            }
            _ => Err(error),
        }
    }
}

fn read_error(view: FrameRef<'_>) -> StreamError {
    StreamError::new(ErrorCode(view.error_code()), String::from_utf8_lossy(view.data()))
}
