//! TLS 1.2 and 1.3 over any other transport, by rustls: bytes in, bytes out; the inner transport does the IO.
//!
//! ```text
//! try_read:   inner --ciphertext--> [session] --plaintext--> into      what TLS answers by itself (an alert) is unsent
//! try_write:  batch --plaintext--> [session] --records--> unsent --> inner
//! ```
//! The session's lock is held for one record at most. The one reader owns `reading`, the one writer `unsent`; both take the
//! session's lock second, so records leave in the order they were made.

mod config;
mod error;
mod handshake;
mod records;
#[cfg(test)]
mod tests;
mod transport;

pub use config::{ClientTls, ServerTls};
pub use error::TlsError;
pub use transport::TlsTransport;
