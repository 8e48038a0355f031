use rustls::{AlertDescription, CertificateError, Error};
use std::io;
use thiserror::Error as ThisError;

/// Why certificates, a key or roots cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum TlsError {
    /// The PEM text has no certificate.
    #[error("there is no certificate in it: PEM has a block that begins -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// The PEM text has no private key that is not encrypted.
    #[error(
        "there is no private key in it: PEM has a block that begins -----BEGIN PRIVATE KEY----- (or RSA, or EC; an encrypted \
         one must be decrypted first)"
    )]
    NoKey,
    /// A PEM block is broken.
    #[error("it is not PEM: {0}")]
    Pem(String),
    /// The key is not the one the first certificate is for.
    #[error(
        "the key does not belong to the certificate: the server's certificate comes first, those that signed it follow"
    )]
    KeyMismatch,
    /// A certificate or key is not understood.
    #[error("it cannot be used: {0}")]
    Unusable(String),
}

impl From<Error> for TlsError {
    fn from(error: Error) -> Self {
        match error {
            Error::InconsistentKeys(_) => Self::KeyMismatch,
            error => Self::Unusable(error.to_string()),
        }
    }
}

/// The peer hung up in the middle of the handshake.
pub(super) fn cut_off() -> io::Error {
    let text = "the peer hung up during the TLS handshake: it may not speak TLS on this port";
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

/// A peer that does not understand may simply drop the connection.
pub(super) fn dropped(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => cut_off(),
        _ => error,
    }
}

/// What an error means while the two get to know each other.
pub(super) fn handshake(error: &Error) -> io::Error {
    let text = match error {
        Error::InvalidMessage(_) => {
            let text = format!("the peer does not speak TLS on this port ({error})");
            return io::Error::new(io::ErrorKind::Unsupported, text);
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the server's certificate is signed by no authority that is trusted here: give the certificate of the one that \
             signed it as a root"
                .to_owned()
        }
        Error::InvalidCertificate(_) => format!("the server's certificate was refused: {error}"),
        Error::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired),
        ) => format!("the peer refused the certificate of this side: {alert:?}"),
        // Also what our listeners say that have no certificate.
        Error::AlertReceived(alert @ AlertDescription::HandshakeFailure) => {
            let text = format!("the peer refused the TLS handshake: {alert:?}");
            return io::Error::new(io::ErrorKind::Unsupported, text);
        }
        Error::AlertReceived(alert) => format!("the peer refused the TLS handshake: {alert:?}"),
        error => format!("the TLS handshake failed: {error}"),
    };
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// What an error means on a connection that worked.
pub(super) fn broken(error: &Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("TLS failed: {error}"))
}
