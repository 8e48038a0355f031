use super::config::Config;
use super::connection::Connection;
use super::driver::discard;
use super::ids::Ids;
use super::responder::Responder;
use crate::codec::ReadBuffer;
use crate::error::{ConnectionError, ErrorCode, FrameError, StreamError};
use crate::frame::{Frame, FrameRef, FrameType, LENGTH};
use crate::keepalive::Timing;
use crate::transport::{Batch, Transport, readable, write_all};
use bytes::Bytes;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long writing a refusal may take.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes SETUP may have, its length excluded.
const MAX_SETUP: usize = 64 * 1024;
/// How TLS begins: a handshake record.
const TLS: u8 = 0x16;

/// What a client said in SETUP.
#[derive(Clone, Debug)]
pub struct AcceptedSetup {
    /// Time between the client's KEEPALIVE frames.
    pub keepalive: Duration,
    /// Silence after which the client gives the connection up.
    pub lifetime: Duration,
    /// The client asks for leases, and gives them.
    pub is_leased: bool,
    /// MIME type of all metadata, as sent.
    pub metadata_mime: Bytes,
    /// MIME type of all data, as sent.
    pub data_mime: Bytes,
    /// The set-up payload's metadata.
    pub metadata: Option<Bytes>,
    /// The set-up payload's data.
    pub data: Bytes,
}

/// Opens the server's side: reads SETUP and asks `acceptor`, which returns what answers this client, or the error that
/// refuses it (REJECTED_SETUP, or another code of stream 0). Requests that came meanwhile are handled afterwards.
///
/// # Errors
/// If the client is refused, by `acceptor` or for its SETUP, which is over 64 KiB or not fit (it is told why and the
/// socket is shut down), says nothing for [`Config::setup_timeout`], speaks TLS or HTTP, or is gone.
pub async fn accept<A, F>(
    transport: Arc<dyn Transport>,
    mut config: Config,
    acceptor: A,
) -> Result<Connection, ConnectionError>
where
    A: FnOnce(AcceptedSetup) -> F,
    F: Future<Output = Result<Arc<dyn Responder>, StreamError>>,
{
    let mut buffer = ReadBuffer::new();
    let setup = match timeout(config.setup_timeout, read_setup(&*transport, &mut buffer)).await {
        Ok(Ok(setup)) => setup,
        Ok(Err(Unfit::Gone(error))) => {
            transport.shutdown();
            return Err(error);
        }
        Ok(Err(Unfit::Refused(error))) => return Err(refuse(&*transport, error).await),
        Err(_elapsed) => {
            let error = StreamError::new(ErrorCode::INVALID_SETUP, "no SETUP came in time");
            return Err(refuse(&*transport, error).await);
        }
    };
    let within = |own: Duration, theirs: Duration| if theirs.is_zero() { own } else { own.min(theirs) };
    let lifetime = within(config.lifetime, setup.lifetime);
    let timing = Timing { interval: within(config.keepalive, setup.keepalive), suspect: lifetime, lifetime };
    config.lease = setup.is_leased.then(|| config.lease.unwrap_or_default());
    match acceptor(setup).await {
        Ok(responder) => {
            let connection = Connection::new(transport, config, Ids::server());
            connection.spawn(responder, buffer, timing, true);
            Ok(connection)
        }
        Err(mut error) => {
            if !error.code.is_connection() {
                error.code = ErrorCode::REJECTED_SETUP;
            }
            Err(refuse(&*transport, error).await)
        }
    }
}

enum Unfit {
    Gone(ConnectionError),
    Refused(StreamError),
}

async fn read_setup(transport: &dyn Transport, buffer: &mut ReadBuffer) -> Result<AcceptedSetup, Unfit> {
    loop {
        match buffer.complete(MAX_SETUP) {
            Ok(None) => {}
            Ok(Some(len)) => {
                let setup = check_setup(buffer.range(LENGTH..len)).map_err(Unfit::Refused)?;
                buffer.consume(len);
                return Ok(setup);
            }
            Err(error) => return Err(unfit_length(buffer, error)),
        }
        let read = transport.try_read(buffer.space());
        if transport.has_unsent() {
            write_all(transport, &mut Batch::default()).await.map_err(|error| Unfit::Gone(error.into()))?;
        }
        match read {
            Ok(0) => return Err(Unfit::Gone(ConnectionError::ClosedByPeer)),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                readable(transport).await.map_err(|error| Unfit::Gone(error.into()))?;
            }
            Err(error) => return Err(Unfit::Gone(error.into())),
        }
    }
}

/// A length that SETUP cannot have: too much of it, or not RSocket at all, which no frame would be an answer to.
fn unfit_length(buffer: &mut ReadBuffer, error: FrameError) -> Unfit {
    match buffer.range(0..1)[0] {
        TLS => Unfit::Gone(ConnectionError::Protocol(FrameError::Foreign("TLS"))),
        b'A'..=b'Z' => Unfit::Gone(ConnectionError::Protocol(FrameError::Foreign("HTTP"))),
        _ => Unfit::Refused(StreamError::new(ErrorCode::INVALID_SETUP, error.to_string())),
    }
}

fn check_setup(wire: &[u8]) -> Result<AcceptedSetup, StreamError> {
    let refused = |code, message: String| Err(StreamError::new(code, message));
    let frame = match FrameRef::parse(wire) {
        Ok(frame) => frame,
        Err(error) => return refused(ErrorCode::INVALID_SETUP, error.to_string()),
    };
    let kind = frame.kind();
    if kind == FrameType::Resume {
        return refused(ErrorCode::REJECTED_RESUME, "nothing can be resumed here".to_owned());
    }
    if kind != FrameType::Setup || frame.stream_id() != 0 {
        return refused(ErrorCode::INVALID_SETUP, FrameError::Unexpected(kind).to_string());
    }
    let setup = frame.setup();
    let (major, minor) = setup.version;
    if (major, minor) != (1, 0) {
        return refused(ErrorCode::UNSUPPORTED_SETUP, format!("version {major}.{minor} is not supported, 1.0 is"));
    }
    if setup.resume_token.is_some() {
        return refused(ErrorCode::REJECTED_SETUP, "resume is not supported".to_owned());
    }
    Ok(AcceptedSetup {
        keepalive: setup.keepalive,
        lifetime: setup.lifetime,
        is_leased: setup.is_leased,
        metadata_mime: Bytes::copy_from_slice(setup.metadata_mime),
        data_mime: Bytes::copy_from_slice(setup.data_mime),
        metadata: setup.metadata.map(Bytes::copy_from_slice),
        data: Bytes::copy_from_slice(setup.data),
    })
}

/// Tells the client why, shuts the socket down and returns the reason.
async fn refuse(transport: &dyn Transport, error: StreamError) -> ConnectionError {
    let mut batch = Batch::default();
    batch.push(Frame::error(0, error.code, &error.message).into_wire());
    // The client is refused whether or not it hears of it.
    let _told = timeout(LINGER, write_all(transport, &mut batch)).await;
    transport.shutdown();
    discard(transport);
    ConnectionError::Refused { code: error.code, message: error.message }
}
