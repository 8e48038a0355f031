use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::arguments::ArgumentWriter;
use crate::caller::{Answer, Call, CallOptions, Caller, Retry};
use crate::contract::{Contract, Method};
use crate::encoding::Encoding;
use crate::error::{CallError, RpcError};
use crate::service_error::ServiceError;

type WriteArguments = Box<dyn FnOnce(&mut ArgumentWriter) -> Result<(), RpcError> + Send>;

/// A call that is not sent yet: its arguments wait until the encoding is settled.
pub struct Draft {
    pub(super) caller: Arc<dyn Caller>,
    pub(super) target: Target,
    pub(super) options: CallOptions,
    arguments: WriteArguments,
}

/// What is called, and in which encoding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) contract: &'static Contract,
    pub(super) method: &'static Method,
    pub(super) encoding: Encoding,
}

impl Draft {
    /// A call of the method at `index` of the contract.
    pub fn new(
        caller: &Arc<dyn Caller>,
        encoding: Encoding,
        contract: &'static Contract,
        index: usize,
        arguments: impl FnOnce(&mut ArgumentWriter) -> Result<(), RpcError> + Send + 'static,
    ) -> Self {
        let method = &contract.methods[index];
        let options = CallOptions { timeout: method.timeout, idempotent: method.idempotent, ..CallOptions::default() };
        let target = Target { contract, method, encoding };
        Self { caller: Arc::clone(caller), target, options, arguments: Box::new(arguments) }
    }

    /// Sets the routing key.
    pub fn key(mut self, key: String) -> Self {
        self.options.key = Some(key);
        self
    }

    /// Sets how to try again.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.options.retry = Some(retry);
        self
    }

    /// Writes the arguments. Errors: an argument has no form in this encoding.
    pub(super) fn finish(self) -> Result<(Arc<dyn Caller>, Call), RpcError> {
        let Target { contract, method, encoding } = self.target;
        let mut writer = ArgumentWriter::new(contract, method, encoding);
        (self.arguments)(&mut writer)?;
        let call = Call {
            service: contract.key.clone(),
            method: method.name.into(),
            encoding,
            arguments: writer.finish(),
            options: self.options,
        };
        Ok((self.caller, call))
    }
}

impl Target {
    /// Reads one answer as the method's types.
    pub(super) fn read<T, E>(&self, answer: Result<Answer, RpcError>) -> Result<T, CallError<E>>
    where
        T: DeserializeOwned,
        E: ServiceError,
    {
        let Answer { encoding, data } = answer.map_err(|error| match E::from_rpc(error) {
            Ok(error) => CallError::App(error),
            Err(error) => CallError::Rpc(error),
        })?;
        let encoding = encoding.unwrap_or(self.encoding);
        encoding.decode_result(&data).map_err(|why| {
            let Self { contract, method, .. } = self;
            let (service, name, result) = (&contract.key.service, method.name, method.result);
            let why = format!("the answer of {service}.{name} is not readable as {result} in {encoding}: {why}");
            CallError::Rpc(RpcError::invalid(why))
        })
    }

    /// Writes one item of a channel.
    pub(super) fn write_item<T: serde::Serialize + 'static>(&self, item: &T) -> Result<Bytes, RpcError> {
        self.encoding.encode_result(item).map_err(|why| {
            let Self { contract, method, encoding } = self;
            let (service, name) = (&contract.key.service, method.name);
            RpcError::invalid(format!("an item for {service}.{name} cannot be written as {encoding}: {why}"))
        })
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("service", &self.target.contract.key)
            .field("method", &self.target.method.name)
            .field("encoding", &self.target.encoding)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The options every call builder has; `self.draft` is the call.
macro_rules! call_options {
    () => {
        /// Waits this long for an answer, not as long as the trait or the connection says.
        pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
            self.draft.options.timeout = Some(timeout);
            self
        }

        /// Only instances with this label.
        pub fn tag(mut self, label: impl Into<std::borrow::Cow<'static, str>>, value: impl Into<String>) -> Self {
            self.draft.options.tags.push((label.into(), value.into()));
            self
        }

        /// Only this endpoint.
        pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
            self.draft.options.endpoint = Some(endpoint.into());
            self
        }

        /// The same instance for equal keys.
        pub fn key(mut self, key: impl Into<String>) -> Self {
            self.draft.options.key = Some(key.into());
            self
        }

        /// The same instance for all such calls of this app.
        pub fn sticky(mut self) -> Self {
            self.draft.options.sticky = true;
            self
        }

        /// This call in another encoding than the client's.
        pub fn encoding(mut self, encoding: crate::Encoding) -> Self {
            self.draft.target.encoding = encoding;
            self
        }

        /// Whether this call may be sent again when it was maybe delivered.
        pub fn idempotent(mut self, idempotent: bool) -> Self {
            self.draft.options.idempotent = idempotent;
            self
        }

        /// How to try this call again.
        pub fn retry(mut self, retry: crate::Retry) -> Self {
            self.draft.options.retry = Some(retry);
            self
        }
    };
}
pub(super) use call_options;
