use std::io::{self, ErrorKind};
use std::sync::Arc;

use towline_rsocket::ConnectionError;
use towline_rsocket::frame::MAX_FRAME;
use towline_rsocket::transport::{ClientTls, TcpTransport, TlsTransport, Transport, WebSocketTransport};

use crate::address::{Address, Scheme};

/// Connects to a broker; the text of an error says what to do if the address may be the fault.
pub(crate) async fn dial(address: &Address, tls: &ClientTls) -> io::Result<Arc<dyn Transport>> {
    let Address { scheme, host, path, .. } = address;
    match scheme {
        Scheme::Tcp => Ok(Arc::new(TcpTransport::connect(host).await?)),
        Scheme::Tls => Ok(Arc::new(secured(address, tls).await?)),
        #[cfg(unix)]
        Scheme::Unix => Ok(Arc::new(towline_rsocket::transport::UnixTransport::connect(path).await?)),
        #[cfg(not(unix))]
        Scheme::Unix => Err(io::Error::new(ErrorKind::Unsupported, "there are no Unix sockets on this system")),
        Scheme::WebSocket => {
            let socket = Box::new(TcpTransport::connect(host).await?);
            Ok(Arc::new(WebSocketTransport::connect(socket, host, path, MAX_FRAME).await?))
        }
        Scheme::SecureWebSocket => {
            let socket = Box::new(secured(address, tls).await?);
            Ok(Arc::new(WebSocketTransport::connect(socket, host, path, MAX_FRAME).await?))
        }
    }
}

async fn secured(address: &Address, tls: &ClientTls) -> io::Result<TlsTransport> {
    let socket = TcpTransport::connect(&address.host).await?;
    let secured = TlsTransport::connect(Box::new(socket), tls, address.host_name()).await;
    secured.map_err(|error| is_it_plain(address, error))
}

fn is_it_plain(address: &Address, error: io::Error) -> io::Error {
    match error.kind() {
        kind if matches!(kind, ErrorKind::Unsupported | ErrorKind::UnexpectedEof) || is_closed_by_peer(kind) => {
            let Address { host, path, .. } = address;
            let name = if address.scheme == Scheme::Tls { "rsocket" } else { "ws" };
            let hint = format!("if the broker listens without TLS, write {name}://{host}{path}");
            io::Error::new(error.kind(), format!("{error}; {hint}"))
        }
        _ => error,
    }
}

/// What to say of a connection that ended before anything was answered.
pub(crate) fn unanswered(address: &Address, error: &ConnectionError) -> String {
    let error = match (address.scheme, error) {
        // What was sent may reach a peer that has closed: whether that shows as an end or as a reset is chance.
        (Scheme::Tcp, ConnectionError::Io(io)) if is_closed_by_peer(io.kind()) => &ConnectionError::ClosedByPeer,
        (Scheme::Tcp, ConnectionError::ClosedByPeer | ConnectionError::Io(_)) => error,
        _ => return error.to_string(),
    };
    format!("{error} before it answered; if the broker listens with TLS, write tls://{}", address.host)
}

fn is_closed_by_peer(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Addresses;

    #[test]
    fn however_a_peer_closes_before_it_answers_the_same_is_said() {
        let addresses = Addresses::from("rsocket://127.0.0.1:9999").parse().expect("an address");
        let reset = |kind: ErrorKind| ConnectionError::from(io::Error::from(kind));
        let closed = unanswered(&addresses[0], &ConnectionError::ClosedByPeer);
        assert!(closed.ends_with("write tls://127.0.0.1:9999"), "{closed}");
        for kind in [ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted, ErrorKind::BrokenPipe] {
            assert_eq!(unanswered(&addresses[0], &reset(kind)), closed, "{kind}");
        }
        assert!(unanswered(&addresses[0], &reset(ErrorKind::TimedOut)).starts_with("connection failed: timed out"));
    }
}
