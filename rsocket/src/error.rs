use std::fmt;
use std::sync::Arc;

/// The code of an ERROR frame (Protocol.md, "Error Codes").
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// Stream 0: the SETUP frame is malformed or a frame came before it.
    pub const INVALID_SETUP: Self = Self(0x001);
    /// Stream 0: a parameter of SETUP (the version) is not supported.
    pub const UNSUPPORTED_SETUP: Self = Self(0x002);
    /// Stream 0: the server refuses this client.
    pub const REJECTED_SETUP: Self = Self(0x003);
    /// Stream 0: the session cannot be resumed.
    pub const REJECTED_RESUME: Self = Self(0x004);
    /// Stream 0: the connection is broken and closes at once.
    pub const CONNECTION_ERROR: Self = Self(0x101);
    /// Stream 0: the connection closes once its streams have ended.
    pub const CONNECTION_CLOSE: Self = Self(0x102);
    /// The responder's application failed.
    pub const APPLICATION_ERROR: Self = Self(0x201);
    /// Not processed; may be sent again.
    pub const REJECTED: Self = Self(0x202);
    /// Ended by the responder; may have been processed.
    pub const CANCELED: Self = Self(0x203);
    /// The request is wrong.
    pub const INVALID: Self = Self(0x204);

    /// True for the codes that belong on stream 0.
    pub const fn is_connection(self) -> bool {
        self.0 <= 0x1FF
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::INVALID_SETUP => "INVALID_SETUP",
            Self::UNSUPPORTED_SETUP => "UNSUPPORTED_SETUP",
            Self::REJECTED_SETUP => "REJECTED_SETUP",
            Self::REJECTED_RESUME => "REJECTED_RESUME",
            Self::CONNECTION_ERROR => "CONNECTION_ERROR",
            Self::CONNECTION_CLOSE => "CONNECTION_CLOSE",
            Self::APPLICATION_ERROR => "APPLICATION_ERROR",
            Self::REJECTED => "REJECTED",
            Self::CANCELED => "CANCELED",
            Self::INVALID => "INVALID",
            Self(code) => return write!(f, "{code:#05x}"),
        };
        f.write_str(name)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What ended one stream: an ERROR frame of that stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct StreamError {
    /// The frame's code.
    pub code: ErrorCode,
    /// The frame's data, read as UTF-8.
    pub message: String,
}

impl StreamError {
    /// An error with this code and text.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Why a connection is gone; every call on it ends with this.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The peer closed the socket.
    #[error("the peer closed the connection")]
    ClosedByPeer,
    /// This side closed it.
    #[error("the connection was closed")]
    Closed,
    /// The peer sent ERROR on stream 0.
    #[error("the peer ended the connection: {code}: {message}")]
    Refused {
        /// The frame's code.
        code: ErrorCode,
        /// The frame's text.
        message: String,
    },
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(FrameError),
    /// No byte arrived for the lifetime given in SETUP.
    #[error("the peer was silent for longer than {0:?}")]
    KeepaliveTimeout(std::time::Duration),
    /// Reading or writing the socket failed.
    #[error("connection failed: {0}")]
    Io(Arc<std::io::Error>),
}

impl From<std::io::Error> for ConnectionError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

/// What is wrong with the bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Shorter than its type needs.
    #[error("frame of {len} bytes is too short, its type needs {needed}")]
    Short {
        /// Bytes of the frame.
        len: usize,
        /// Bytes its type needs at least.
        needed: usize,
    },
    /// Longer than this connection takes.
    #[error("frame of {len} bytes is over the limit of {max}")]
    TooLong {
        /// Bytes the length field announced.
        len: usize,
        /// The limit in force.
        max: usize,
    },
    /// A type that RSocket 1.0 does not define.
    #[error("unknown frame type {0:#04x}")]
    UnknownType(u8),
    /// The metadata length points past the end.
    #[error("metadata length {length} does not fit a frame with {left} bytes left")]
    MetadataLength {
        /// Bytes the length field announced.
        length: usize,
        /// Bytes there are.
        left: usize,
    },
    /// A MIME type or a token of SETUP points past the end.
    #[error("SETUP is cut short")]
    Setup,
    /// The peer speaks another protocol: the first bytes are how that begins.
    #[error("what came first looks like {0}, not like RSocket")]
    Foreign(&'static str),
    /// A valid frame where the protocol allows none of its type.
    #[error("unexpected {0:?} frame")]
    Unexpected(crate::frame::FrameType),
}
