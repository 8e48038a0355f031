//! The read loop of one link: every frame of a read is handled, then every link it touched is written once.

use super::Relay;
use super::control::Control;
use super::dispatch::{Ahead, Dispatch, Gathering, is_incomplete};
use super::run::{Run, relay};
use super::turn::Turn;
use crate::link::{Link, Packet, Step, Touched};
use crate::metrics::CloseReason;
use crate::routing::{App, Table};
use rsocket::frame::{self, FrameRef, LENGTH};
use rsocket::transport::readable;
use rsocket::{ConnectionError, ErrorCode, Frame, FrameError, FrameType, ReadBuffer, StreamId};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Reads after which a busy link lets others run.
const READS: usize = 16;
/// Bytes of a read that count as one more.
const LARGE: usize = 64 * 1024;
/// Bytes of an unfinished frame that are charged as they are read.
const LONG: usize = 64 * 1024;

/// What a link has read so far, for the one who watches the clock. Written at every read, so on cache lines of its own:
/// the name of a service that lay beside it once cost every request a cache miss.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Read {
    pub received: AtomicU64,
    pub frames: AtomicU64,
    pub is_unfinished: AtomicBool,
    /// Bytes wait in the socket that the broker does not read, being over its budget.
    pub is_paused: AtomicBool,
}

/// Reads and relays until the connection ends; says why it did.
pub(super) async fn read(
    relay: Arc<Relay>,
    link: Arc<Link>,
    buffer: ReadBuffer,
    app: Arc<App>,
    count: Arc<Read>,
) -> ConnectionError {
    let gathering = Gathering::new(relay.limits.gathering);
    let dispatch = Dispatch::new(relay.clone(), link.clone(), &app);
    let control = Control::new(relay.clone(), link.clone(), app);
    let touched = Touched::default();
    let turn = Turn::default();
    let mut driver = Driver { relay, link, buffer, gathering, control, dispatch, touched, count, turn };
    let error = driver.run().await;
    let (reason, farewell) = match &error {
        ConnectionError::Protocol(error) => {
            (CloseReason::Protocol, Some(Frame::error(0, ErrorCode::CONNECTION_ERROR, &error.to_string())))
        }
        // What a layer around RSocket cannot read.
        ConnectionError::Io(error) if error.kind() == ErrorKind::InvalidData => {
            (CloseReason::Protocol, Some(Frame::error(0, ErrorCode::CONNECTION_ERROR, &error.to_string())))
        }
        _ => (CloseReason::Peer, None),
    };
    driver.link.close(reason, farewell, &mut driver.touched);
    driver.touched.flush();
    error
}

struct Driver {
    relay: Arc<Relay>,
    link: Arc<Link>,
    buffer: ReadBuffer,
    gathering: Gathering,
    control: Control,
    dispatch: Dispatch,
    touched: Touched,
    count: Arc<Read>,
    turn: Turn,
}

impl Driver {
    async fn run(&mut self) -> ConnectionError {
        let transport = self.link.transport().clone();
        // What came together with SETUP.
        if let Err(error) = self.handle() {
            return error;
        }
        self.touched.flush();
        loop {
            self.buffer.shrink();
            self.report();
            let wait = async {
                readable(&*transport).await?;
                let budget = &self.relay.shared.budget;
                if budget.is_choked() {
                    self.count.is_paused.store(true, Ordering::Relaxed);
                    budget.room().await;
                }
                Ok::<(), std::io::Error>(())
            };
            let ready = match self.gathering.deadline() {
                None => wait.await,
                Some(deadline) => tokio::select! {
                    ready = wait => ready,
                    () = tokio::time::sleep_until(deadline.into()) => Ok(()),
                },
            };
            // Also if the wait was given up for what is gathered.
            if self.count.is_paused.load(Ordering::Relaxed) {
                self.count.is_paused.store(false, Ordering::Relaxed);
            }
            if let Err(error) = ready {
                return error.into();
            }
            self.expire();
            if self.relay.shared.budget.is_choked() {
                continue;
            }
            let mut reads = 0;
            while reads < READS {
                let read = transport.try_read(self.buffer.space());
                if transport.has_unsent() {
                    self.link.flush_transport(&mut self.touched);
                }
                let read = match read {
                    Ok(0) => return ConnectionError::ClosedByPeer,
                    Ok(n) => n,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return error.into(),
                };
                reads += 1 + read / LARGE;
                self.count.received.fetch_add(read as u64, Ordering::Relaxed);
                self.relay.meters.bytes_in.increment(read as u64);
                if let Err(error) = self.handle() {
                    return error;
                }
                // What is long is charged as it grows: the budget must not learn of megabytes after they were read.
                let is_long = self.buffer.len() + transport.held() >= LONG;
                if is_long {
                    self.report();
                }
                if !self.touched.is_empty() {
                    if let Some(before) = self.turn.is_due(read) {
                        if self.buffer.is_empty() {
                            // The others read into the same block meanwhile, which is in the cache.
                            self.buffer.shrink();
                        }
                        tokio::task::yield_now().await;
                        self.turn.given(before);
                    }
                    self.touched.flush();
                }
                if is_long && self.relay.shared.budget.is_choked() {
                    break;
                }
            }
            self.touched.flush();
            if reads >= READS {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Tells the clock and the budget what is unfinished.
    fn report(&self) {
        let held = self.link.transport().held();
        self.count.is_unfinished.store(!self.buffer.is_empty() || held > 0, Ordering::Relaxed);
        self.link.set_pending(self.buffer.capacity() + held + self.gathering.bytes());
    }

    fn handle(&mut self) -> Result<(), ConnectionError> {
        let max = self.relay.limits.max_frame;
        let small = LENGTH + self.relay.limits.small_frame;
        let (mut frames, mut at) = (0, 0);
        // One look at the table for all requests of a read, until something else than a request may have changed it.
        let relay = self.relay.clone();
        let mut table = None;
        let mut run = Run::spare();
        let mut ahead = self.dispatch.foresee(self.buffer.frames(max));
        let ended = loop {
            let len = match self.buffer.complete_at(at, max) {
                Ok(Some(len)) => len,
                Ok(None) => break Ok(()),
                Err(error) => break Err(ConnectionError::Protocol(error)),
            };
            frames += 1;
            let kind = match checked(self.buffer.range(at + LENGTH..at + len)) {
                Ok(Some(kind)) => kind,
                Ok(None) => {
                    at += len;
                    continue;
                }
                Err(error) => break Err(error),
            };
            if len <= small {
                let table = table.get_or_insert_with(|| relay.registry.routes().load());
                if self.join(&mut run, &mut ahead, table, kind, &mut at, len) {
                    at += len;
                    continue;
                }
            }
            table = None;
            at -= run.relay(&mut self.dispatch, &mut self.buffer, &mut self.touched);
            self.buffer.consume(at);
            at = 0;
            let mut wire;
            let packet = if len <= small {
                Packet::Small(self.buffer.range(0..len))
            } else {
                wire = self.buffer.take(len);
                Packet::Large(std::mem::take(&mut wire))
            };
            if let Err(error) = handle(
                &self.link,
                &mut self.gathering,
                &mut self.control,
                &mut self.dispatch,
                &mut self.touched,
                kind,
                packet,
            ) {
                break Err(error);
            }
            if len <= small {
                self.buffer.consume(len);
            }
        };
        at -= run.relay(&mut self.dispatch, &mut self.buffer, &mut self.touched);
        run.keep();
        ahead.keep();
        self.buffer.consume(at);
        if frames > 0 {
            Turn::taken();
            self.count.frames.fetch_add(frames, Ordering::Relaxed);
            self.relay.meters.frames_in.increment(frames);
            self.dispatch.count();
        }
        ended
    }

    /// Adds the frame of this length that begins at `at` to the run, if it needs no more than to be looked up and passed on. A
    /// run that has to be relayed before takes its frames off the buffer, and off `at`.
    #[inline]
    fn join(
        &mut self,
        run: &mut Run,
        ahead: &mut Ahead,
        table: &Table,
        kind: FrameType,
        at: &mut usize,
        len: usize,
    ) -> bool {
        let view = FrameRef::checked(self.buffer.range(*at + LENGTH..*at + len));
        let stream = view.stream_id();
        let is_later = matches!(kind, FrameType::Payload | FrameType::Error | FrameType::Cancel | FrameType::RequestN);
        if stream == 0 || !(is_later || kind.is_request()) || self.gathering.contains(stream) {
            return false;
        }
        let step = Step::of(view, kind);
        let mut plan = None;
        if !is_later {
            if is_incomplete(view) {
                return false;
            }
            plan = self.dispatch.plan(table, ahead, stream, step, view.metadata());
            if plan.is_none() {
                return false;
            }
        }
        if run.is_full(stream) {
            *at -= run.relay(&mut self.dispatch, &mut self.buffer, &mut self.touched);
        }
        run.push(*at..*at + len, stream, step, plan);
        true
    }

    fn expire(&mut self) {
        if self.gathering.is_empty() {
            return;
        }
        for stream in self.gathering.expired(Instant::now()) {
            let text = "the metadata of this request was not complete in time";
            self.dispatch.refuse(stream, ErrorCode::REJECTED, text, &mut self.touched);
        }
        self.touched.flush();
    }
}

/// The type of a frame; `None` if it asks to be ignored where it is not understood.
fn checked(bytes: &[u8]) -> Result<Option<FrameType>, ConnectionError> {
    match frame::check(bytes) {
        Ok(FrameType::Ext) if !frame::is_ignorable(bytes) => {
            Err(ConnectionError::Protocol(FrameError::UnknownType(FrameType::Ext as u8)))
        }
        Ok(kind) => Ok(Some(kind)),
        Err(_) if frame::is_ignorable(bytes) => Ok(None),
        Err(error) => Err(ConnectionError::Protocol(error)),
    }
}

fn handle(
    link: &Arc<Link>,
    gathering: &mut Gathering,
    control: &mut Control,
    dispatch: &mut Dispatch,
    touched: &mut Touched,
    kind: FrameType,
    mut packet: Packet<'_>,
) -> Result<(), ConnectionError> {
    let view = packet.view();
    let stream = view.stream_id();
    match kind {
        FrameType::Payload | FrameType::Error | FrameType::Cancel | FrameType::RequestN if stream != 0 => {
            let step = Step::of(view, kind);
            if gathering.contains(stream) {
                gather(gathering, dispatch, touched, stream, kind, packet);
            } else {
                relay(link, dispatch, touched, stream, step, packet);
            }
        }
        _ if kind.is_request() => {
            if stream == 0 || gathering.contains(stream) {
                return Ok(());
            }
            if is_incomplete(view) {
                gather(gathering, dispatch, touched, stream, kind, packet);
            } else if let Some((first, rest)) = cut(dispatch, view) {
                let step = Step::read(&first[LENGTH..]);
                if dispatch.open(stream, step, &mut Packet::Large(first), touched).is_some() {
                    relay(link, dispatch, touched, stream, Step::read(&rest[LENGTH..]), Packet::Large(rest));
                }
            } else {
                let step = Step::of(view, kind);
                dispatch.open(stream, step, &mut packet, touched);
            }
        }
        _ if stream == 0 || matches!(kind, FrameType::Error | FrameType::Resume) => {
            return control.take(kind, view, touched);
        }
        // Frames of the connection on a stream.
        _ => {}
    }
    Ok(())
}

/// Cuts a request that is almost as long as a frame can be, if it may have to grow.
fn cut(dispatch: &Dispatch, view: FrameRef<'_>) -> Option<(bytes::BytesMut, bytes::BytesMut)> {
    let cut = super::dispatch::cut(view)?;
    dispatch.may_grow(view.metadata()).then_some(cut)
}

/// A fragment of a request that cannot be routed yet.
fn gather(
    gathering: &mut Gathering,
    dispatch: &mut Dispatch,
    touched: &mut Touched,
    stream: StreamId,
    kind: FrameType,
    mut packet: Packet<'_>,
) {
    if kind == FrameType::Cancel || kind == FrameType::Error {
        gathering.take(stream);
        return;
    }
    if kind == FrameType::RequestN {
        return;
    }
    let wire = match &mut packet {
        Packet::Small(wire) => bytes::BytesMut::from(&wire[..]),
        Packet::Large(wire) => std::mem::take(wire),
    };
    match gathering.push(stream, wire, Instant::now()) {
        Ok(false) => {}
        Ok(true) => {
            let mut held = gathering.take(stream).expect("complete above");
            let step = Step::read(&held.frames[0][LENGTH..]);
            if !dispatch.open_held(stream, step, &mut held, touched) {
                return;
            }
            let link = dispatch.link().clone();
            for wire in held.frames {
                let step = Step::read(&wire[LENGTH..]);
                relay(&link, dispatch, touched, stream, step, Packet::Large(wire));
            }
        }
        Err(_) => {
            let text = "the metadata of this request spans more fragments than are held: put its routing entry first";
            dispatch.refuse(stream, ErrorCode::REJECTED, text, touched);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_frames_that_ask_for_it_are_ignored() {
        let ext = |flag: u8| [0, 0, 0, 0, 0x3F << 2 | flag, 0, 0, 0, 0, 1];
        assert!(checked(&ext(0)).is_err());
        assert!(checked(&ext(2)).unwrap().is_some());
        assert!(checked(&[0, 0, 0, 0, 0x2A << 2, 0]).is_err());
        assert!(checked(&[0, 0, 0, 0, 0x2A << 2 | 2, 0]).unwrap().is_none());
    }
}
