use std::fmt;

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, future, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::accept::Accept;
use crate::arguments::Arguments;
use crate::caller::Answer;
use crate::contract::{Contract, Method};
use crate::dispatch::{Interaction, Reply, Request, Respond};
use crate::encoding::{Encoding, EncodingError};
use crate::error::RpcError;
use crate::outlet::{Outflow, Outlet};
use crate::service_error::ServiceError;
use crate::streaming::Streaming;

/// One request on its way to its handler: checked, read and answered by generated code.
#[derive(Debug)]
pub struct Incoming {
    contract: &'static Contract,
    method: &'static Method,
    interaction: Interaction,
    request: Request,
}

impl Incoming {
    /// Takes a request for the method at `index` of the contract. Errors: 0x204 `RST-201404` naming the right interaction.
    pub fn open(
        contract: &'static Contract,
        index: usize,
        interaction: Interaction,
        request: Request,
    ) -> Result<Self, RpcError> {
        let method = &contract.methods[index];
        if method.shape.admits(interaction) {
            Ok(Self { contract, method, interaction, request })
        } else {
            Err(RpcError::wrong_interaction(&contract.key, method, interaction))
        }
    }

    /// Splits the arguments.
    pub fn arguments<const N: usize>(&self) -> Result<Arguments<'_, N>, RpcError> {
        Arguments::read(self.contract, self.method, self.request.encoding, &self.request.arguments)
    }

    /// The inbound items, decoded one by one.
    pub fn items<T: DeserializeOwned + 'static>(&mut self) -> Streaming<T> {
        let (contract, method, encoding) = (self.contract, self.method, self.request.encoding);
        let items = self.request.items.take().unwrap_or_else(|| stream::empty().boxed());
        Streaming::new(items.enumerate().map(move |(n, item)| {
            encoding.decode_result(&item?).map_err(|why| RpcError::bad_item(&contract.key, method, n, why))
        }))
    }

    /// Answers with one value.
    pub fn unary<T, E>(self, handler: impl Future<Output = Result<T, E>> + Send + 'static) -> Reply
    where
        T: Serialize + 'static,
        E: ServiceError,
    {
        let is_stream = self.interaction == Interaction::RequestStream;
        let answer = handler.map(self.encode());
        if is_stream { Reply::Stream(stream::once(answer).boxed()) } else { Reply::Single(answer.boxed()) }
    }

    /// Answers with one value that is given later, from anywhere.
    pub fn later(self, handler: impl FnOnce(Later) + Send + 'static) -> Reply {
        let form = self.form();
        Reply::Later(Box::new(move |respond| handler(Later { respond, form })))
    }

    /// Answers, if asked, with nothing once the handler is done.
    pub fn one_way(self, handler: impl Future<Output = ()> + Send + 'static) -> Reply {
        self.unary(handler.map(Ok::<(), RpcError>))
    }

    /// Answers with what the handler puts into its outlet, until its end or its first error.
    pub fn stream<T, E, F>(self, handler: impl FnOnce(Outlet<Result<T, E>>) -> F) -> Reply
    where
        T: Serialize + Send + 'static,
        E: ServiceError,
        F: Future<Output = ()> + Send + 'static,
    {
        let answers = Outflow::new(handler).map(self.encode());
        Reply::Stream(until_error(answers).boxed())
    }

    fn encode<T: Serialize + 'static, E: ServiceError>(&self) -> impl Fn(Result<T, E>) -> Encoded + Send + use<T, E> {
        let form = self.form();
        move |answer| {
            let value = answer.map_err(E::into_rpc)?;
            form.write(|encoding| encoding.encode_result(&value))
        }
    }

    fn form(&self) -> Form {
        let Request { encoding: own, accept, .. } = self.request;
        Form { contract: self.contract, method: self.method, own, accept }
    }
}

/// How the answers of a request are written.
#[derive(Debug)]
struct Form {
    contract: &'static Contract,
    method: &'static Method,
    own: Encoding,
    accept: Accept,
}

impl Form {
    fn write(&self, value: impl Fn(Encoding) -> Result<Bytes, EncodingError>) -> Encoded {
        let Self { contract, method, own, accept } = *self;
        let wanted = accept.iter().find_map(|it| Some((it, value(it).ok()?)));
        let (encoding, data) = match wanted {
            Some(written) => written,
            None => (own, value(own).map_err(|why| unwritable(contract, method, own, why))?),
        };
        Ok(Answer { encoding: (encoding != own).then_some(encoding), data })
    }
}

/// Takes the answer of a request, from anywhere; dropped, the request fails.
pub struct Later {
    respond: Respond,
    form: Form,
}

impl Later {
    /// Answers with a value, which is not `()`, or with an error.
    pub fn answer<T: Serialize, E: ServiceError>(self, answer: Result<T, E>) {
        self.answer_as(answer, |value, encoding| encoding.encode(value));
    }

    /// The same with a value that `write` writes.
    pub fn answer_as<T, E: ServiceError>(
        self,
        answer: Result<T, E>,
        write: impl Fn(&T, Encoding) -> Result<Bytes, EncodingError>,
    ) {
        let Self { respond, form } = self;
        let encode = |value: T| form.write(|encoding| write(&value, encoding));
        respond(answer.map_err(E::into_rpc).and_then(encode));
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Later").field("form", &self.form).finish_non_exhaustive()
    }
}

fn unwritable(contract: &Contract, method: &Method, encoding: Encoding, why: EncodingError) -> RpcError {
    let (service, method) = (&contract.key.service, method.name);
    RpcError::application(format!("the answer of {service}.{method} cannot be written as {encoding}: {why}"))
}

type Encoded = Result<Answer, RpcError>;

/// The same stream, ended after its first error: an ERROR frame ends it on the wire too.
fn until_error(answers: impl Stream<Item = Encoded>) -> impl Stream<Item = Encoded> {
    answers.scan(false, |is_failed, answer| {
        future::ready((!*is_failed).then(|| {
            *is_failed = answer.is_err();
            answer
        }))
    })
}
