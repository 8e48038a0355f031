use super::transport::READ;
use super::{ClientTls, ServerTls, TlsTransport, error};
use crate::transport::{Batch, Transport, discard, readable, write_all};
use bytes::BytesMut;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The fatal alert handshake_failure, as every version of TLS reads it (RFC 8446, 5.1 and 6).
const NO_HANDSHAKE: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 40];

impl TlsTransport {
    /// Tells a client that has begun its handshake that there is no TLS here, in a way that it understands.
    ///
    /// # Errors
    /// If the client is gone.
    pub async fn refuse(inner: &dyn Transport) -> io::Result<()> {
        let mut alert = Batch::default();
        alert.push(NO_HANDSHAKE[..].into());
        write_all(inner, &mut alert).await?;
        discard(inner);
        Ok(())
    }

    /// Completes the server's handshake; `first` was read from `inner` already. Takes as long as the client does: give it
    /// a timeout.
    ///
    /// # Errors
    /// The client speaks no TLS (`Unsupported`), refused the certificate (`InvalidData`), or hung up (`UnexpectedEof`); it is
    /// told why if it can hear.
    pub async fn accept(inner: Box<dyn Transport>, tls: &ServerTls, first: BytesMut) -> io::Result<Self> {
        let session = ServerConnection::new(Arc::clone(&tls.0)).map_err(|error| error::broken(&error))?;
        Self::new(inner, session.into()).shake(first).await
    }

    /// Completes the client's handshake with the server called `host`: a DNS name or an IP address, without a port.
    ///
    /// # Errors
    /// The server speaks no TLS, or none that suits (`Unsupported`), it is not trusted (`InvalidData`), it hung up
    /// (`UnexpectedEof`), or `host` is no name (`InvalidInput`). The text says what to do.
    pub async fn connect(inner: Box<dyn Transport>, tls: &ClientTls, host: &str) -> io::Result<Self> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            io::Error::new(ErrorKind::InvalidInput, format!("{host:?} is no host name a certificate could be for"))
        })?;
        let session = ClientConnection::new(Arc::clone(&tls.0), name).map_err(|error| error::broken(&error))?;
        Self::new(inner, session.into()).shake(BytesMut::new()).await
    }

    async fn shake(self, mut bytes: BytesMut) -> io::Result<Self> {
        loop {
            let failure = {
                let mut reading = self.reading.lock();
                let mut early = std::mem::take(&mut reading.early);
                self.decrypt(&mut reading, &bytes, &mut early);
                self.is_ready.store(!early.is_empty() || reading.end.is_some(), Ordering::Release);
                reading.early = early;
                reading.end.clone()
            };
            let is_handshaking = self.session.lock().is_handshaking();
            match failure {
                Some(Err(error)) => {
                    // The alert: whether it is heard is the peer's affair.
                    let _ = self.push(&mut self.unsent.lock());
                    return Err(error::handshake(&error));
                }
                Some(Ok(())) if is_handshaking => return Err(error::cut_off()),
                _ => {}
            }
            write_all(&self, &mut Batch::default()).await.map_err(error::dropped)?;
            if !is_handshaking {
                return Ok(self);
            }
            bytes.clear();
            self.fetch(&mut bytes).await.map_err(error::dropped)?;
        }
    }

    async fn fetch(&self, bytes: &mut BytesMut) -> io::Result<()> {
        loop {
            bytes.reserve(READ / 8);
            match self.inner.try_read(bytes) {
                Ok(0) => return Err(error::cut_off()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => readable(&*self.inner).await?,
                read => return read.map(drop),
            }
        }
    }
}
