//! RSocket over WebSocket (RFC 6455): one binary message is one frame, without the 24-bit length.
//!
//! A layer over another transport. Here frames have their length before them, on the wire they are messages:
//! ```text
//!  owner   [length][frame][length][frame]...      Batch ---------> ReadBuffer
//!                                                   | Encoder         ^ Decoder
//!  inner   [header][frame][header][frame]...      try_write         try_read
//! ```
//! The codec keeps no more than part of a header, part of a control frame and a message in continuation frames: what was
//! read is decoded to its last byte. No extension is negotiated, so nothing is compressed.

mod decoder;
mod encoder;
mod fault;
mod handshake;
mod http;
mod mask;
mod transport;

pub use decoder::{Decoder, Signal};
pub use encoder::Encoder;
pub use fault::Fault;
pub use handshake::{Refusal, Upgrade};
pub use transport::WebSocketTransport;

/// Which end of the connection the codec serves: a client masks what it sends, a server does not (RFC 6455, 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Connected.
    Client,
    /// Was connected to.
    Server,
}

mod opcode {
    pub(super) const CONTINUATION: u8 = 0;
    pub(super) const TEXT: u8 = 1;
    pub(super) const BINARY: u8 = 2;
    pub(super) const CLOSE: u8 = 8;
    pub(super) const PING: u8 = 9;
    pub(super) const PONG: u8 = 10;
}

/// Bytes a control frame may carry (RFC 6455, 5.5).
const MAX_CONTROL: usize = 125;
/// The longest header: 2 bytes, a 64-bit length, a mask.
const MAX_HEADER: usize = 14;

#[cfg(test)]
mod tests;
