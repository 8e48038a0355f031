use std::fmt;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::accept::Accept;
use crate::caller::Answer;
use crate::contract::Contract;
use crate::encoding::Encoding;
use crate::error::RpcError;

/// How a request arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interaction {
    /// REQUEST_FNF: nobody waits for an answer.
    FireAndForget,
    /// REQUEST_RESPONSE: one answer.
    RequestResponse,
    /// REQUEST_STREAM: many answers.
    RequestStream,
    /// REQUEST_CHANNEL: many items in, one or many answers.
    RequestChannel,
}

/// One request to a service.
pub struct Request {
    /// How the arguments and the inbound items are encoded.
    pub encoding: Encoding,
    /// How the caller takes the answer, if not as the request.
    pub accept: Accept,
    /// The arguments: the data of the first frame.
    pub arguments: Bytes,
    /// The inbound items, for channels only; they end with the first error.
    pub items: Option<BoxStream<'static, Result<Bytes, RpcError>>>,
}

/// Takes the one answer of a request, from anywhere; dropped, the request fails.
pub type Respond = Box<dyn FnOnce(Result<Answer, RpcError>) + Send>;

/// What a service does with a request; dropping it stops the handler. Each answer says how it is encoded.
pub enum Reply {
    /// One answer, which the service gives later: for one that answers many requests at once, without a task for each. It is
    /// told at once whom to answer, and not told when nobody waits any more.
    Later(Box<dyn FnOnce(Respond) + Send>),
    /// One answer. Zero bytes are an answer too.
    Single(BoxFuture<'static, Result<Answer, RpcError>>),
    /// Answers until the end or the first error.
    Stream(BoxStream<'static, Result<Answer, RpcError>>),
}

/// What a generated server offers to whoever accepts requests for it.
pub trait Dispatch: Send + Sync + 'static {
    /// What the service offers.
    fn contract(&self) -> &'static Contract;

    /// Starts one request; the handler runs as the reply is polled.
    ///
    /// Errors: 0x204 `RST-201404: No service handler found: S.m` for a method, or an interaction, the service does not have;
    /// 0x204 `RST-700501: ..` for arguments that are not readable.
    fn dispatch(&self, method: &str, interaction: Interaction, request: Request) -> Result<Reply, RpcError>;
}

impl fmt::Display for Interaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FireAndForget => "REQUEST_FNF",
            Self::RequestResponse => "REQUEST_RESPONSE",
            Self::RequestStream => "REQUEST_STREAM",
            Self::RequestChannel => "REQUEST_CHANNEL",
        })
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("encoding", &self.encoding)
            .field("accept", &self.accept)
            .field("arguments", &self.arguments)
            .field("has_items", &self.items.is_some())
            .finish()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Later(_) => "Later(..)",
            Self::Single(_) => "Single(..)",
            Self::Stream(_) => "Stream(..)",
        })
    }
}
