use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::encoding::Encoding;
use crate::error::RpcError;
use crate::key::ServiceKey;

/// What a generated client needs of a connection. Dropping a future or a stream cancels its call.
pub trait Caller: Send + Sync + 'static {
    /// One request, one answer.
    fn unary(&self, call: Call) -> BoxFuture<'static, Result<Answer, RpcError>>;

    /// One request without an answer; `Ok` once it is handed to the connection.
    fn oneway(&self, call: Call) -> BoxFuture<'static, Result<(), RpcError>>;

    /// One request, many answers; a stream ends after its first error.
    fn stream(&self, call: Call) -> BoxStream<'static, Result<Answer, RpcError>>;

    /// Many items in, many answers (or one). The arguments go first, alone; the items are polled as the other side grants credit.
    fn channel(&self, call: Call, items: BoxStream<'static, Bytes>) -> BoxStream<'static, Result<Answer, RpcError>>;
}

/// One request, ready to be sent.
#[derive(Clone, Debug)]
pub struct Call {
    /// The service.
    pub service: ServiceKey,
    /// The method's name on the wire.
    pub method: Cow<'static, str>,
    /// How the arguments (and the items of a channel) are encoded.
    pub encoding: Encoding,
    /// The encoded arguments; zero bytes if the method has none.
    pub arguments: Bytes,
    /// How to send it.
    pub options: CallOptions,
}

/// One answer, or one item of a stream of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the answer's own 0x7A entry says; `None`: as the request.
    pub encoding: Option<Encoding>,
    /// The encoded value; zero bytes for `()`, also when the answer was a COMPLETE without a payload.
    pub data: Bytes,
}

/// How a call is to be sent: what the trait's attributes say, changed by the call's own builder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// How long to wait for the answer; `None`: what the caller's connection is configured for.
    pub timeout: Option<Duration>,
    /// Whether a request that was maybe delivered may be sent again.
    pub idempotent: bool,
    /// Whether and how often to try again; `None`: what the connection is configured for.
    pub retry: Option<Retry>,
    /// Only instances with these labels (`t.<label>=<value>`).
    pub tags: Vec<(Cow<'static, str>, String)>,
    /// Only this endpoint (`e=`).
    pub endpoint: Option<String>,
    /// Calls with equal keys go to the same instance (`key=`).
    pub key: Option<String>,
    /// Calls of this app go to the same instance (`sticky=1`).
    pub sticky: bool,
    /// How many items of a stream may be under way before they are read; `None`: what the connection is configured for.
    pub prefetch: Option<u32>,
}

/// How to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often at most, after the first try.
    pub max: u32,
    /// The pause before the first retry; it doubles each time.
    pub min_backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
}
