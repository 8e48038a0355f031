//! Frames of the connection itself, stream 0: KEEPALIVE, LEASE, METADATA_PUSH, ERROR, RESUME.

use super::events::Events;
use super::pace::Pace;
use crate::link::{Link, Touched};
use crate::metrics::CloseReason;
use crate::relay::Relay;
use crate::routing::App;
use rsocket::frame::{FrameRef, flags};
use rsocket::{ConnectionError, ErrorCode, Frame, FrameType};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a KEEPALIVE's data that are echoed.
const MAX_ECHO: usize = 128 * 1024;

/// Stream 0 of one link.
pub(crate) struct Control {
    relay: Arc<Relay>,
    link: Arc<Link>,
    events: Events,
    /// What costs the broker more than reading it.
    pace: Pace,
}

impl Control {
    pub(crate) fn new(relay: Arc<Relay>, link: Arc<Link>, app: Arc<App>) -> Self {
        let (rate, burst) = relay.limits.control;
        let events = Events::new(app, relay.limits.events);
        Self { relay, link, events, pace: Pace::new(rate, burst) }
    }

    /// Takes a frame of stream 0, or a RESUME on any.
    ///
    /// # Errors
    /// What ends the connection.
    pub(crate) fn take(
        &mut self,
        kind: FrameType,
        view: FrameRef<'_>,
        touched: &mut Touched,
    ) -> Result<(), ConnectionError> {
        match kind {
            FrameType::Keepalive if view.has(flags::RESPOND) => {
                self.limit(touched)?;
                if view.data().len() > MAX_ECHO {
                    return self.close(CloseReason::Flood, "KEEPALIVE carries more than 128 KiB", touched);
                }
                let echo = Frame::keepalive(false, view.data());
                self.link.with(touched, |state| {
                    if !state.is_closed {
                        state.outbox.push_echo(echo.into_wire());
                    }
                });
            }
            FrameType::Keepalive => {
                let effects = self.link.with(touched, |state| state.echoed(view.data()));
                effects.into_iter().for_each(|effect| touched.apply(effect));
            }
            FrameType::Lease => {
                let (ttl, requests) = view.lease();
                self.link.lease(Duration::from_millis(ttl.into()), requests);
            }
            FrameType::MetadataPush => {
                self.limit(touched)?;
                let metadata = view.metadata().unwrap_or_default();
                self.events.receive(&self.relay, &self.link, metadata, Instant::now());
            }
            FrameType::Error => return self.error(view),
            FrameType::Resume => return self.close(CloseReason::Protocol, "RESUME after SETUP", touched),
            // A second SETUP, RESUME_OK, and frames that belong on a stream ("Handling the Unexpected").
            _ => {}
        }
        Ok(())
    }

    fn error(&self, view: FrameRef<'_>) -> Result<(), ConnectionError> {
        let code = ErrorCode(view.error_code());
        match code {
            // About to close: no more calls to it, those in progress go on.
            ErrorCode::CONNECTION_CLOSE => {
                self.relay.hide(&self.link);
                Ok(())
            }
            // "Handling the Unexpected": a server ignores the codes that only a server sends.
            ErrorCode(0..=4) => Ok(()),
            _ => {
                let message = String::from_utf8_lossy(view.data()).into_owned();
                Err(ConnectionError::Refused { code, message })
            }
        }
    }

    fn limit(&mut self, touched: &mut Touched) -> Result<(), ConnectionError> {
        if self.pace.take(Instant::now()) {
            return Ok(());
        }
        let (rate, burst) = self.relay.limits.control;
        let text = format!("more than {rate} KEEPALIVE and METADATA_PUSH frames a second, and {burst} at once");
        self.close(CloseReason::Flood, &text, touched)
    }

    fn close(&self, reason: CloseReason, text: &str, touched: &mut Touched) -> Result<(), ConnectionError> {
        let farewell = Frame::error(0, ErrorCode::CONNECTION_ERROR, text);
        self.link.close(reason, Some(farewell), touched);
        Err(ConnectionError::Closed)
    }
}
