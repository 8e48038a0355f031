//! RSocket 1.0: frames, metadata, transports and the connection engine of an app.
//!
//! Nothing here knows a broker: no service, no routing table, no topic. Pure types (frames, credit, stream state,
//! keepalive, fragmentation) do no IO and read no clock; the engine and the transports drive them.
//!
//! ```text
//! frame/      Frame: checked once, then infallible getters; ids and credit patched in place
//! codec       24-bit length framing over a read buffer       fragment   split and rejoin, bounded
//! block       memory read into and written from, used again
//! credit      REQUEST_N sums                                 stream     which half of a stream is open
//! keepalive   now -> probe, suspect, dead                    metadata/  composite, MIME, routing, authentication
//! transport/  TCP, TLS, Unix, WebSocket, memory        engine/    the app side of a connection
//! ```
#![warn(missing_docs)]

pub mod block;
pub mod codec;
pub mod credit;
pub mod engine;
mod error;
pub mod fragment;
pub mod frame;
pub mod keepalive;
pub mod metadata;
pub mod stream;
pub mod transport;

pub use codec::ReadBuffer;
pub use credit::Credit;
pub use engine::{CallFailure, ClientSetup, Config, Connection, Inbound, Item, Payload, Responder, Window};
pub use error::{ConnectionError, ErrorCode, FrameError, StreamError};
pub use frame::{Frame, FrameRef, FrameType, StreamId, flags};
