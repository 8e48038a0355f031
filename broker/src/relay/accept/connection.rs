//! What happens to a connection until its read loop begins.

use super::layers::{NotOpened, first_byte};
use super::listen::Listener;
use super::room::Place;
use super::setup::{self, Accepted, Refused};
use crate::link::{Link, Terms, Touched, Watch};
use crate::metrics::{CloseReason, LinkKind, SetupRefusal};
use crate::relay::driver::{self, Read};
use crate::relay::{Relay, log_refused, routine};
use crate::routing::App;
use bytes::BytesMut;
use rsocket::frame::LENGTH;
use rsocket::transport::{Batch, Transport, readable, write_all};
use rsocket::{ErrorCode, FrameRef, FrameType, ReadBuffer};
use std::fmt::Display;
use std::future::Future;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::error::Elapsed;
use tokio::time::{timeout, timeout_at};

/// How long accepting rests after it failed, and how often it is logged that it rests.
const REST: Duration = Duration::from_millis(100);
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Time the oldest of too many connections of an app has to finish its streams.
const RETIRE: Duration = Duration::from_secs(30);

/// A SETUP above this is read only while few others are, so that those who never end theirs hold no more than a bounded sum.
const LARGE_SETUP: usize = 4 * 1024;
/// Large SETUPs read at one time.
pub(crate) const LARGE_SETUPS: usize = 1024;

/// Bytes behind a refused SETUP that are read and dropped.
const UNREAD: usize = 1024 * 1024;

/// What comes after the time is up is still taken, for so long.
const LAST_LOOK: Duration = Duration::from_millis(100);

/// Accepts connections until `stop` resolves; the listener is closed then.
pub(crate) async fn accept(relay: Arc<Relay>, listener: Listener, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    let mut logged: Option<Instant> = None;
    let mut log = |why: &dyn Display| {
        if logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            tracing::error!(%why, "cannot accept connections; open ones go on");
            logged = Some(Instant::now());
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => return,
        };
        match accepted {
            Ok(socket) => {
                let place = match relay.room.try_take() {
                    Some(place) => place,
                    None => {
                        log(&"too few descriptors are left: raise the limit of this process (ulimit -n)");
                        tokio::select! {
                            place = relay.room.take() => place,
                            () = &mut stop => return,
                        }
                    }
                };
                tokio::spawn(welcome(relay.clone(), socket, listener.is_secure, place));
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::NotConnected
                ) => {}
            Err(error) => {
                log(&error);
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// A connection from outside: what is around RSocket is taken off first.
async fn welcome(relay: Arc<Relay>, socket: Box<dyn Transport>, is_secure: bool, _place: Place) {
    let peer = socket.peer();
    let begun = Instant::now();
    let deadline = begun + relay.limits.setup_timeout;
    let mut first = BytesMut::new();
    let is_silent = by(deadline, first_byte(&*socket, &mut first)).await.is_err();
    if is_silent && !is_secure {
        return too_late(&relay, &*socket).await;
    }
    // Boxed, and with it gone: what opens a connection needs several times the memory of what serves it.
    let opened = Box::pin(by(deadline, relay.layers.open(socket, first, is_secure))).await;
    match opened {
        Ok(Ok((transport, buffer))) => serve(relay, transport, LinkKind::App, buffer, begun).await,
        Ok(Err(NotOpened { reason, error })) => {
            // Who only looked whether somebody listens was not refused.
            if error.kind() != ErrorKind::UnexpectedEof {
                relay.meters.setups_refused.of(reason).increment(1);
            }
            tracing::debug!(peer, %error, "a connection did not get to RSocket");
        }
        Err(_) => {
            relay.meters.setups_refused.of(SetupRefusal::Timeout).increment(1);
            tracing::debug!(peer, "nothing to go on came in time");
        }
    }
}

/// Takes a connection inside this process: to an app, or to a service of the broker itself.
pub(crate) fn attach(relay: &Arc<Relay>, transport: Arc<dyn Transport>, kind: LinkKind) {
    tokio::spawn(serve(relay.clone(), transport, kind, ReadBuffer::new(), Instant::now()));
}

/// One connection from its SETUP, of which `buffer` may hold some, to its end.
async fn serve(
    relay: Arc<Relay>,
    transport: Arc<dyn Transport>,
    kind: LinkKind,
    mut buffer: ReadBuffer,
    begun: Instant,
) {
    let Some(admitted) = Box::pin(admit(&relay, transport, kind, &mut buffer, begun)).await else { return };
    let Admitted { presence, app, count } = admitted;
    let link = presence.link.clone();
    let id = link.id;
    let error = driver::read(relay, link, buffer, app.clone(), count).await;
    drop(presence);
    tracing::info!(link = id, app = app.name, reason = %error, "app disconnected");
}

/// A link that is in force.
struct Admitted {
    presence: Presence,
    app: Arc<App>,
    count: Arc<Read>,
}

/// Reads SETUP and puts the link into the tables, or tells the client why not.
async fn admit(
    relay: &Arc<Relay>,
    transport: Arc<dyn Transport>,
    kind: LinkKind,
    buffer: &mut ReadBuffer,
    begun: Instant,
) -> Option<Admitted> {
    let peer = transport.peer();
    let reading = read_setup(relay, &*transport, buffer);
    let read = by(begun + relay.limits.setup_timeout, reading).await;
    let accepted = match read {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(Some(refused))) => {
            relay.meters.setups_refused.of(refused.reason).increment(1);
            tracing::debug!(peer, code = %refused.code, reason = refused.text, "connection refused");
            *buffer = ReadBuffer::new();
            say(relay, &*transport, &refused).await;
            return None;
        }
        Ok(Err(None)) => {
            transport.shutdown();
            return None;
        }
        Err(_) => {
            *buffer = ReadBuffer::new();
            too_late(relay, &*transport).await;
            return None;
        }
    };
    let Accepted { mut app, services, keepalive, lifetime, dialect, is_leased } = accepted;
    app.connected_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let watch = Watch::new(Instant::now(), keepalive, lifetime);
    let grant = is_leased.then_some(relay.limits.grant);
    let terms = Terms { kind, dialect, grant, watch };
    let link = Link::new(relay.next_link(), terms, transport, relay.shared.clone());
    let count = Arc::new(Read::default());
    relay.links.lock().insert(link.id, link.clone());
    let presence = Presence { relay: relay.clone(), link: link.clone() };
    relay.meters.links_accepted.increment(1);
    relay.meters.links_open.of(kind).increment(1.0);
    tracing::info!(link = link.id, peer, app = app.name, services = services.len(), "app connected");
    let app = Arc::new(app);
    if let Some(oldest) = relay.registry.join(link.clone(), app.clone()) {
        oldest.retire(Instant::now() + RETIRE);
    }
    log_refused(&link, relay.registry.expose(&link, services, kind == LinkKind::Memory));
    // Last: to whoever gets it, a LEASE says that the services are in force.
    let mut touched = Touched::default();
    link.begin_lease(&mut touched);
    touched.flush();
    let watching = routine::watch(link.clone(), count.clone());
    relay.watched.lock().insert(link.id, watching);
    Some(Admitted { presence, app, count })
}

/// A link in the tables: dropped, it is in none of them, also if its task panicked or was ended.
struct Presence {
    relay: Arc<Relay>,
    link: Arc<Link>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let Self { relay, link } = self;
        relay.watched.lock().remove(&link.id);
        relay.registry.leave(link);
        relay.links.lock().remove(&link.id);
        relay.meters.links_open.of(link.kind).decrement(1.0);
        let reason = link.closed_for().unwrap_or(CloseReason::Internal);
        relay.meters.links_closed.of(reason).increment(1);
        if link.closed_for().is_none() {
            // Its task is lost: the other sides of its streams must not wait.
            link.transport().shutdown();
            if tokio::runtime::Handle::try_current().is_ok() {
                link.close(reason, None, &mut Touched::default());
            }
        }
    }
}

/// Reads SETUP; `Err(None)` if the peer went away or is no RSocket client.
async fn read_setup(
    relay: &Relay,
    transport: &dyn Transport,
    buffer: &mut ReadBuffer,
) -> Result<Accepted, Option<Refused>> {
    let invalid = |text: &str| Some(Refused::new(SetupRefusal::Invalid, ErrorCode::INVALID_SETUP, text));
    let mut turn = None;
    loop {
        let most = relay.limits.setup_max;
        let complete = buffer.complete(most).map_err(|_| {
            let len = buffer.announced().unwrap_or_default();
            let text = format!(
                "the first frame is longer than a SETUP may be ({len} bytes, {most} at most): register services after \
                 it, by towline.Registry.expose; or this is no RSocket client"
            );
            Some(Refused::new(SetupRefusal::TooLarge, ErrorCode::INVALID_SETUP, text))
        });
        if let Some(len) = complete? {
            let wire = buffer.take(len);
            let view =
                FrameRef::parse(&wire[LENGTH..]).map_err(|error| invalid(&format!("the first frame: {error}")))?;
            return match view.kind() {
                FrameType::Setup if view.stream_id() != 0 => {
                    Err(invalid("SETUP is on another stream: send it on stream 0"))
                }
                FrameType::Setup if relay.is_draining() => Err(Some(Refused::new(
                    SetupRefusal::Draining,
                    ErrorCode::CONNECTION_ERROR,
                    "this broker is shutting down: connect to another one, or to this one again soon",
                ))),
                FrameType::Setup => setup::read(view.setup(), relay.limits.strict_setup, fresh_uuid).map_err(Some),
                FrameType::Resume => {
                    let text = "resumption is not supported: connect with SETUP";
                    Err(Some(Refused::new(SetupRefusal::Unsupported, ErrorCode::REJECTED_RESUME, text)))
                }
                kind => Err(invalid(&format!("the first frame is {kind:?}: send SETUP before it, on stream 0"))),
            };
        }
        buffer.shrink();
        if turn.is_none() && buffer.announced().is_some_and(|len| len > LARGE_SETUP) {
            turn = Some(relay.large_setups.acquire().await.expect("nobody closes the semaphore"));
        }
        readable(transport).await.map_err(|_| None)?;
        let read = transport.try_read(buffer.space());
        if transport.has_unsent() {
            write_all(transport, &mut Batch::default()).await.map_err(|_| None)?;
        }
        match read {
            Ok(0) => return Err(None),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Err(None),
        }
    }
}

fn fresh_uuid() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// What comes of it by then. After a pause of this process the time may be up before it sees what came meanwhile: it looks
/// once more.
async fn by<T>(deadline: Instant, coming: impl Future<Output = T>) -> Result<T, Elapsed> {
    tokio::pin!(coming);
    match timeout_at(deadline.into(), &mut coming).await {
        Err(_) => timeout(LAST_LOOK, coming).await,
        came => came,
    }
}

async fn too_late(relay: &Relay, transport: &dyn Transport) {
    relay.meters.setups_refused.of(SetupRefusal::Timeout).increment(1);
    tracing::debug!(peer = transport.peer(), "no SETUP came in time");
    let refused = Refused::new(
        SetupRefusal::Timeout,
        ErrorCode::INVALID_SETUP,
        "no SETUP came in time: send it at once after connecting",
    );
    say(relay, transport, &refused).await;
}

/// Sends a refusal and ends the connection. Requests may be on their way behind SETUP: a socket that is closed with them
/// unread resets the connection, and many a client then forgets what it was told and reports the reset. So the other end
/// is waited for, no longer than for a SETUP.
async fn say(relay: &Relay, transport: &dyn Transport, refused: &Refused) {
    let mut batch = Batch::default();
    batch.push(refused.frame().into_wire());
    // Whoever does not take one frame in a second does not get it.
    if matches!(timeout(Duration::from_secs(1), write_all(transport, &mut batch)).await, Ok(Ok(()))) {
        transport.finish();
        // That time is up: what comes later is the client's loss.
        let _ = timeout(relay.limits.setup_timeout, ended(transport)).await;
    }
    transport.shutdown();
}

/// Reads until the client has ended its side too, or has sent more than could be on its way.
async fn ended(transport: &dyn Transport) {
    let mut unread = BytesMut::new();
    let mut left = UNREAD;
    while left > 0 && readable(transport).await.is_ok() {
        unread.clear();
        unread.reserve(4 * 1024);
        match transport.try_read(&mut unread) {
            Ok(1..) => left = left.saturating_sub(unread.len().max(1)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
}
