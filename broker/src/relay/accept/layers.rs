//! What a connection speaks, told by its first bytes: TLS, then looked at again inside; WebSocket; RSocket itself.

use crate::metrics::SetupRefusal;
use bytes::BytesMut;
use rsocket::ReadBuffer;
use rsocket::transport::websocket::{Refusal, Upgrade};
use rsocket::transport::{Batch, ServerTls, TlsTransport, Transport, WebSocketTransport, readable, write_all};
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// The first byte of a TLS connection: a handshake record.
const TLS: u8 = 0x16;
/// Room for the first bytes.
const FIRST: usize = 2 * 1024;

/// What listeners agree to, beside RSocket.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// With a certificate, TLS.
    pub tls: Option<ServerTls>,
    /// Web pages that may connect; `*` is any.
    pub origins: Vec<String>,
    /// Bytes of one frame.
    pub max_frame: usize,
}

/// A connection that did not get to RSocket.
#[derive(Debug)]
pub(crate) struct NotOpened {
    pub reason: SetupRefusal,
    pub error: io::Error,
}

impl From<io::Error> for NotOpened {
    fn from(error: io::Error) -> Self {
        Self { reason: SetupRefusal::Opening, error }
    }
}

impl NotOpened {
    fn new(reason: SetupRefusal, why: &str) -> Self {
        Self { reason, error: io::Error::new(ErrorKind::Unsupported, why) }
    }
}

impl Layers {
    /// Takes off what is around RSocket; `first` has been read. Takes as long as the client does: give it a timeout.
    ///
    /// # Errors
    /// The client speaks something else, was refused, or is gone; it was told as far as its protocol allows.
    pub(crate) async fn open(
        &self,
        mut inner: Box<dyn Transport>,
        mut first: BytesMut,
        is_secure: bool,
    ) -> Result<(Arc<dyn Transport>, ReadBuffer), NotOpened> {
        let mut byte = first_byte(&*inner, &mut first).await?;
        if byte == TLS {
            let Some(tls) = &self.tls else {
                TlsTransport::refuse(&*inner).await?;
                let why = "a TLS client, and this broker has no certificate: set tls.certificate and tls.key";
                return Err(NotOpened::new(SetupRefusal::NoCertificate, why));
            };
            inner = Box::new(TlsTransport::accept(inner, tls, std::mem::take(&mut first)).await?);
            byte = first_byte(&*inner, &mut first).await?;
        } else if is_secure {
            let why = "plaintext on a listener for TLS: the client's address begins with tls:// or wss://";
            return Err(NotOpened::new(SetupRefusal::Plaintext, why));
        }
        if byte.is_ascii_uppercase() {
            let admit = |upgrade: &Upgrade<'_>| self.admit(upgrade.origin);
            let frames = WebSocketTransport::accept(inner, first, self.max_frame, admit).await?;
            return Ok((Arc::new(frames), ReadBuffer::new()));
        }
        let mut buffer = ReadBuffer::new();
        buffer.space().extend_from_slice(&first);
        Ok((Arc::from(inner), buffer))
    }

    /// A browser sends the page's origin, and any page may try to connect to any server.
    fn admit(&self, origin: Option<&str>) -> Result<(), Refusal> {
        let Some(origin) = origin else { return Ok(()) };
        if self.origins.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin)) {
            return Ok(());
        }
        Err(Refusal::new(403, "pages of this origin may not connect: add it to the broker's listen.origins"))
    }
}

/// Waits for the first byte and returns it; more may have come with it.
pub(crate) async fn first_byte(transport: &dyn Transport, first: &mut BytesMut) -> io::Result<u8> {
    loop {
        if let Some(byte) = first.first() {
            return Ok(*byte);
        }
        readable(transport).await?;
        first.reserve(FIRST);
        let read = transport.try_read(first);
        if transport.has_unsent() {
            write_all(transport, &mut Batch::default()).await?;
        }
        match read {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
