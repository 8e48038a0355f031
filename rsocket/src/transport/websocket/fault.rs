use std::io;

/// What a peer did against RFC 6455, or against what RSocket takes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("WebSocket: {text}")]
pub struct Fault {
    /// The status code of the CLOSE frame that tells it (RFC 6455, 7.4.1).
    pub code: u16,
    /// What was wrong, for people.
    pub text: &'static str,
}

impl Fault {
    pub(super) const fn protocol(text: &'static str) -> Self {
        Self { code: 1002, text }
    }

    pub(super) const TEXT: Self = Self { code: 1003, text: "a text message: RSocket frames are binary messages" };
    pub(super) const TOO_LONG: Self = Self { code: 1009, text: "a message longer than a frame may be" };
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::new(io::ErrorKind::InvalidData, fault)
    }
}
