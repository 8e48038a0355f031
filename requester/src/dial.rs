use std::io::{self, ErrorKind};
use std::sync::Arc;

use towline_rsocket::ConnectionError;
use towline_rsocket::transport::{ClientTls, TcpTransport, TlsTransport, Transport};

use crate::address::{Address, Scheme};

/// Connects to a broker; the text of an error says what to do if the address may be the fault.
pub(crate) async fn dial(address: &Address, tls: &ClientTls) -> io::Result<Arc<dyn Transport>> {
    match address.scheme {
        Scheme::Tcp => Ok(Arc::new(TcpTransport::connect(&address.host).await?)),
        Scheme::Tls => {
            let socket = TcpTransport::connect(&address.host).await?;
            let secured = TlsTransport::connect(Box::new(socket), tls, address.host_name()).await;
            Ok(Arc::new(secured.map_err(|error| is_it_plain(address, error))?))
        }
        #[cfg(unix)]
        Scheme::Unix => Ok(Arc::new(towline_rsocket::transport::UnixTransport::connect(&address.path).await?)),
        _ => Err(io::Error::new(ErrorKind::Unsupported, "this build cannot connect there")),
    }
}

fn is_it_plain(address: &Address, error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::Unsupported | ErrorKind::UnexpectedEof => {
            let host = &address.host;
            io::Error::new(error.kind(), format!("{error}; if the broker listens without TLS, write rsocket://{host}"))
        }
        _ => error,
    }
}

/// What to say of a connection that ended before anything was answered.
pub(crate) fn unanswered(address: &Address, error: &ConnectionError) -> String {
    match (address.scheme, error) {
        (Scheme::Tcp, ConnectionError::ClosedByPeer | ConnectionError::Io(_)) => {
            let host = &address.host;
            format!("{error} before it answered; if the broker listens with TLS, write tls://{host}")
        }
        _ => error.to_string(),
    }
}
