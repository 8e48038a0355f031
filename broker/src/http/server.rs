//! The accept loop of the management port.

use super::router;
use crate::metrics::Meters;
use crate::shutdown::{Phase, PhaseWatch, Tasks};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rsocket::{ErrorCode, Frame};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, error};

/// Between two attempts to accept, when the process is out of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
const HEAD_BYTES: usize = 16 * 1024;

/// What clients may hold, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections served at a time; more wait in the kernel.
    pub connections: usize,
    /// For the whole head of a request, and between two requests.
    pub head: Duration,
    /// After this a connection takes no further request.
    pub lifetime: Duration,
    /// For the answer that is under way when a connection ends.
    pub finish: Duration,
}

const LIMITS: Limits = Limits {
    connections: 64,
    head: Duration::from_secs(5),
    lifetime: Duration::from_secs(60),
    finish: Duration::from_secs(1),
};

/// The management port, bound; dropped, it is closed.
#[derive(Debug)]
pub struct Management {
    listener: TcpListener,
    address: SocketAddr,
}

impl Management {
    /// Binds; port 0 picks one.
    ///
    /// # Errors
    /// If the address is taken or not this machine's.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// With the port that was picked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until [`Phase::Stopped`], then gives answers under way a second to end.
    pub async fn serve(self, meters: Arc<Meters>, phases: PhaseWatch) {
        self.serve_within(LIMITS, meters, phases).await;
    }

    pub(super) async fn serve_within(self, limits: Limits, meters: Arc<Meters>, phases: PhaseWatch) {
        let router = router(meters, phases.clone());
        let connections = Tasks::default();
        let mut stopped = phases.clone();
        tokio::select! {
            () = accept(&self.listener, limits, &router, &phases, &connections) => {}
            () = stopped.reached(Phase::Stopped) => {}
        }
        drop(self.listener);
        connections.finish(Instant::now() + limits.finish).await;
    }
}

async fn accept(listener: &TcpListener, limits: Limits, router: &Router, phases: &PhaseWatch, connections: &Tasks) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    loop {
        let slot = slots.clone().acquire_owned().await.expect("nobody closes the semaphore");
        match listener.accept().await {
            Ok((stream, _)) => connections.spawn(converse(stream, limits, router.clone(), phases.clone(), slot)),
            Err(failure) => {
                error!(%failure, "the management port cannot accept");
                sleep(PAUSE).await;
            }
        }
    }
}

/// What an RSocket client is told that connects here.
const NOT_RSOCKET: &str =
    "this is the management port, which speaks HTTP: connect to a listener of the broker (listen.addresses)";

/// Whether the first byte is none of HTTP, but of RSocket: of the length of a SETUP.
async fn is_rsocket(stream: &TcpStream) -> bool {
    let mut first = [0];
    matches!(stream.peek(&mut first).await, Ok(1)) && first == [0]
}

/// Answers in the client's own protocol, so that it need not guess.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(Frame::error(0, ErrorCode::REJECTED_SETUP, NOT_RSOCKET).wire()).await?;
    stream.shutdown().await?;
    // Closing a socket with unread bytes would take back what was written.
    let mut unread = [0; HEAD_BYTES];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

async fn converse(
    stream: TcpStream,
    limits: Limits,
    router: Router,
    mut phases: PhaseWatch,
    _slot: OwnedSemaphorePermit,
) {
    let seen = tokio::select! {
        seen = timeout(limits.head, is_rsocket(&stream)) => seen,
        () = phases.reached(Phase::Stopped) => return,
    };
    match seen {
        Ok(false) => {}
        Ok(true) => {
            debug!("an RSocket client is at the management port");
            // Whoever does not go in that time is gone then.
            let _ = timeout(limits.finish, refuse(stream)).await;
            return;
        }
        Err(_elapsed) => return,
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = sleep(limits.lifetime) => None,
        () = phases.reached(Phase::Stopped) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            timeout(limits.finish, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(failure) = ended {
        debug!(%failure, "a management connection ended");
    }
}
