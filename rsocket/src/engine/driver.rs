use super::dispatch::{Arrived, Dispatch};
use super::ending::Ending;
use super::lease::Lease;
use super::message::SMALL;
use super::shared::{Shared, now};
use crate::codec::ReadBuffer;
use crate::error::{ConnectionError, ErrorCode};
use crate::frame::{Frame, FrameRef, FrameType, LENGTH, MAX_FRAME, is_ignorable};
use crate::keepalive::{Keepalive, Timing, Verdict};
use crate::transport::{Transport, readable};
use futures::FutureExt;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::select;
use tokio::task::yield_now;
use tokio::time::{Interval, MissedTickBehavior};

/// Reads after which the clock is looked at although more is there.
const READS: usize = 16;

/// The one task of a connection: reads, hands frames to [`Dispatch`], keeps alive.
pub(super) struct Driver {
    shared: Arc<Shared>,
    dispatch: Dispatch,
    buffer: ReadBuffer,
    pulse: Pulse,
}

/// Keepalive with its clock.
struct Pulse {
    keepalive: Keepalive,
    timing: Timing,
    period: Duration,
    /// A client sends KEEPALIVE at every interval, whatever else it sends; a server only probes silence.
    next: Option<Instant>,
    has_read: bool,
    /// What the transport held at the last tick.
    held: usize,
}

impl Driver {
    /// `buffer` may hold frames that came with SETUP.
    pub(super) fn new(
        shared: Arc<Shared>,
        dispatch: Dispatch,
        buffer: ReadBuffer,
        timing: Timing,
        is_client: bool,
    ) -> Self {
        let now = now();
        let mut period = timing.interval.min(timing.lifetime) / 4;
        if let Some(lease) = shared.config.lease.and_then(Lease::period) {
            period = period.min(lease);
        }
        let period = period.max(Duration::from_millis(1));
        let next = is_client.then(|| now + timing.interval);
        let pulse = Pulse { keepalive: Keepalive::new(now), timing, period, next, has_read: false, held: 0 };
        Self { shared, dispatch, buffer, pulse }
    }

    /// Runs until the connection ends.
    pub(super) async fn run(mut self) {
        let start = tokio::time::Instant::now() + self.pulse.period;
        let mut ticks = tokio::time::interval_at(start, self.pulse.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if let Err((error, ending)) = self.drive(&mut ticks).await {
            self.shared.end(error, ending);
        }
        discard(&*self.shared.transport);
    }

    async fn drive(&mut self, ticks: &mut Interval) -> Result<(), (ConnectionError, Ending)> {
        let mut reads = 0;
        loop {
            let is_mine = self.shared.claim();
            let outcome = self.handle();
            if outcome.is_ok() {
                // Lets those the frames woke queue what they send next, so that it goes out in the same write.
                yield_now().await;
            }
            if let Err((error, ending)) = outcome {
                self.shared.end(error, ending);
            }
            if is_mine {
                self.shared.write_claimed(self.shared.state.lock());
            }
            loop {
                if self.is_over()? {
                    return Ok(());
                }
                reads += 1;
                if reads % READS == 0 && ticks.tick().now_or_never().is_some() {
                    self.tick()?;
                }
                match self.shared.transport.try_read(self.buffer.space()) {
                    Ok(0) => return Err((self.end_of_stream(ConnectionError::ClosedByPeer), Ending::Dead)),
                    Ok(_) => break,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        // No frame came, yet what did may be answered by the transport itself.
                        if self.shared.transport.has_unsent() {
                            self.shared.flush();
                        }
                        self.wait(ticks).await?;
                    }
                    Err(error) => return Err((self.end_of_stream(error.into()), Ending::Dead)),
                }
            }
            self.pulse.has_read = true;
        }
    }

    /// Waits until there is something to read, ticking meanwhile.
    async fn wait(&mut self, ticks: &mut Interval) -> Result<(), (ConnectionError, Ending)> {
        let transport = self.shared.transport.clone();
        let shared = self.shared.clone();
        loop {
            let quiet = shared.quiet.notified();
            self.is_over()?;
            select! {
                biased;
                // An error here shows at the next read.
                _ready = readable(&*transport) => return Ok(()),
                _at = ticks.tick() => self.tick()?,
                () = quiet => {}
            }
        }
    }

    /// Handles all frames the buffer holds.
    fn handle(&mut self) -> Result<(), (ConnectionError, Ending)> {
        let broken = |error: ConnectionError| {
            let frame = Frame::error(0, ErrorCode::CONNECTION_ERROR, &error.to_string());
            let ending =
                if matches!(error, ConnectionError::Protocol(_)) { Ending::Broken(frame) } else { Ending::Dead };
            (error, ending)
        };
        while let Some(len) =
            self.buffer.complete(MAX_FRAME).map_err(|error| broken(ConnectionError::Protocol(error)))?
        {
            let wire = &*self.buffer.range(LENGTH..len);
            let frame = match FrameRef::parse(wire) {
                Ok(frame) => frame,
                Err(_) if is_ignorable(wire) => {
                    self.buffer.consume(len);
                    continue;
                }
                Err(error) => return Err(broken(ConnectionError::Protocol(error))),
            };
            if len <= SMALL || !(frame.kind().is_request() || frame.kind() == FrameType::Payload) {
                self.dispatch.frame(Arrived::Small(frame)).map_err(broken)?;
                self.buffer.consume(len);
            } else {
                let frame = Frame::parse(self.buffer.take(len)).expect("the same bytes were parsed above");
                self.dispatch.frame(Arrived::Large(frame)).map_err(broken)?;
            }
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), (ConnectionError, Ending)> {
        let now = now();
        let held = self.shared.transport.held();
        let pulse = &mut self.pulse;
        // Who sends a long message slowly is not silent.
        let is_growing = std::mem::replace(&mut pulse.held, held) != held;
        if std::mem::take(&mut pulse.has_read) || is_growing {
            pulse.keepalive.heard(now);
        } else {
            self.buffer.shrink();
            self.shared.shrink();
        }
        let verdict = pulse.keepalive.tick(now, pulse.period, pulse.timing);
        if verdict == Verdict::Dead {
            return Err((ConnectionError::KeepaliveTimeout(pulse.timing.lifetime), Ending::Dead));
        }
        self.shared.renew_lease(now);
        let is_due = pulse.next.map_or(verdict == Verdict::Probe, |next| now >= next);
        if is_due {
            pulse.next = pulse.next.map(|_| now + pulse.timing.interval);
            pulse.keepalive.probe_written(now);
            self.shared.state.lock().outgoing.push_control(Frame::keepalive(true, &[]));
            self.shared.flush();
        }
        Ok(())
    }

    /// The connection has ended. An error: one side sent CONNECTION_CLOSE and no stream is left, so that it ends now.
    fn is_over(&self) -> Result<bool, (ConnectionError, Ending)> {
        let state = self.shared.state.lock();
        match &state.closing {
            Some(error) if state.is_announced && state.is_quiet() => Err((error.clone(), Ending::Closed(None))),
            _ => Ok(state.ended.is_some()),
        }
    }

    /// A write that failed before says more than the end that follows it.
    fn end_of_stream(&self, error: ConnectionError) -> ConnectionError {
        self.shared.state.lock().write_error.take().unwrap_or(error)
    }
}

/// Reads what is left, so that closing the socket does not reset it before the peer has our last frame.
pub(super) fn discard(transport: &dyn Transport) {
    for _ in 0..READS {
        if !matches!(transport.try_read(ReadBuffer::new().space()), Ok(1..)) {
            return;
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Does something only if the runtime drops this task or a responder's panic got through.
        self.shared.end(ConnectionError::Closed, Ending::Dead);
    }
}

impl Shared {
    /// Gives back the memory of an idle connection.
    fn shrink(&self) {
        let mut state = self.state.lock();
        if !state.is_claimed {
            state.outgoing.shrink();
        }
        if state.streams.is_empty() {
            state.streams.shrink_to_fit();
        }
    }
}
