use std::time::Duration;

use towline_rsocket::engine::Payload;
use towline_service_api::{Answer, Call, CallOptions, RpcError};

use crate::metadata;

/// What a [`Sending`](crate::sending::Sending) sends, again if need be.
pub(crate) trait Request: Send + 'static {
    /// What is made of an answer.
    type Answer: Send;

    fn options(&self) -> &CallOptions;

    /// As it goes out, to be answered within so much time. Errors: it cannot be written.
    fn write(&self, left: Option<Duration>) -> Result<Payload, RpcError>;

    /// Errors: the answer cannot be read.
    fn read(answer: Payload) -> Result<Self::Answer, RpcError>;

    /// Where it goes, for the log.
    fn target(&self) -> String;
}

impl Request for Call {
    type Answer = Answer;

    fn options(&self) -> &CallOptions {
        &self.options
    }

    fn write(&self, left: Option<Duration>) -> Result<Payload, RpcError> {
        let metadata = metadata::write(self, left)?;
        Ok(Payload { metadata: Some(metadata), data: self.arguments.clone() })
    }

    fn read(answer: Payload) -> Result<Answer, RpcError> {
        metadata::read_answer(answer)
    }

    fn target(&self) -> String {
        self.service.route(&self.method)
    }
}
