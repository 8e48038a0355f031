//! A caller that hands every call to a server in the same process, and the service most tests call.
#![allow(dead_code, reason = "every test takes what it needs")]

pub(crate) mod users;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::{self, BoxFuture};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use towline_service_api::{
    Accept, Answer, Call, Caller, Dispatch, Encoding, Interaction, Reply, Request, Respond, RpcError,
};

/// Calls a [`Dispatch`] directly and remembers the calls. One-way calls are run to their end.
pub(crate) struct Loopback {
    server: Box<dyn Dispatch>,
    answer_encoding: Option<Encoding>,
    calls: Mutex<Vec<Call>>,
}

impl Loopback {
    pub(crate) fn new(server: impl Dispatch) -> Arc<Self> {
        Arc::new(Self { server: Box::new(server), answer_encoding: None, calls: Mutex::default() })
    }

    /// A server that answers in an encoding of its own, and says so.
    pub(crate) fn answering_in(server: impl Dispatch, encoding: Encoding) -> Arc<Self> {
        Arc::new(Self { server: Box::new(server), answer_encoding: Some(encoding), calls: Mutex::default() })
    }

    pub(crate) fn last_call(&self) -> Call {
        self.calls.lock().expect("no test panics with it").last().expect("a call was made").clone()
    }

    pub(crate) fn was_called(&self) -> bool {
        !self.calls.lock().expect("no test panics with it").is_empty()
    }

    fn dispatch(
        &self,
        call: Call,
        interaction: Interaction,
        items: Option<BoxStream<'static, Result<Bytes, RpcError>>>,
    ) -> Result<Reply, RpcError> {
        self.calls.lock().expect("no test panics with it").push(call.clone());
        assert_eq!(call.service, self.server.contract().key);
        let accept = self.answer_encoding.into_iter().collect();
        let request = Request { encoding: call.encoding, accept, arguments: call.arguments, items };
        self.server.dispatch(&call.method, interaction, request).map_err(on_the_wire)
    }

    fn answers(reply: Result<Reply, RpcError>) -> BoxStream<'static, Result<Answer, RpcError>> {
        let answers = match reply {
            Ok(Reply::Later(begin)) => stream::once(soon(begin)).boxed(),
            Ok(Reply::Stream(answers)) => answers,
            Ok(Reply::Single(answer)) => stream::once(answer).boxed(),
            Err(error) => stream::once(future::ready(Err(error))).boxed(),
        };
        answers.map(|answer| answer.map_err(on_the_wire)).boxed()
    }
}

/// Code and text are all that travels of an error.
fn on_the_wire(error: RpcError) -> RpcError {
    RpcError::from_wire(error.code, error.message)
}

impl Caller for Loopback {
    fn unary(&self, call: Call) -> BoxFuture<'static, Result<Answer, RpcError>> {
        let mut answers = Self::answers(self.dispatch(call, Interaction::RequestResponse, None));
        async move { answers.next().await.expect("a unary reply has one answer") }.boxed()
    }

    fn oneway(&self, call: Call) -> BoxFuture<'static, Result<(), RpcError>> {
        let reply = self.dispatch(call, Interaction::FireAndForget, None);
        async move {
            if let Ok(Reply::Single(answer)) = reply {
                let _ = answer.await;
            }
            Ok(())
        }
        .boxed()
    }

    fn stream(&self, call: Call) -> BoxStream<'static, Result<Answer, RpcError>> {
        Self::answers(self.dispatch(call, Interaction::RequestStream, None))
    }

    fn channel(&self, call: Call, items: BoxStream<'static, Bytes>) -> BoxStream<'static, Result<Answer, RpcError>> {
        Self::answers(self.dispatch(call, Interaction::RequestChannel, Some(items.map(Ok).boxed())))
    }
}

/// What a server makes of raw bytes.
pub(crate) async fn call(
    server: &impl Dispatch,
    method: &str,
    interaction: Interaction,
    encoding: Encoding,
    arguments: &[u8],
) -> Result<Vec<Bytes>, RpcError> {
    let arguments = Bytes::copy_from_slice(arguments);
    let request = Request { encoding, accept: Accept::default(), arguments, items: None };
    let answers: Vec<Answer> = match server.dispatch(method, interaction, request)? {
        Reply::Later(begin) => vec![soon(begin).await?],
        Reply::Single(answer) => vec![answer.await?],
        Reply::Stream(answers) => answers.try_collect().await?,
    };
    assert!(answers.iter().all(|answer| answer.encoding.is_none()), "nothing else was asked for");
    Ok(answers.into_iter().map(|answer| answer.data).collect())
}

/// An answer that is given later, awaited.
async fn soon(begin: Box<dyn FnOnce(Respond) + Send>) -> Result<Answer, RpcError> {
    let (sender, answer) = futures::channel::oneshot::channel();
    begin(Box::new(move |outcome| drop(sender.send(outcome))));
    answer.await.expect("it is answered")
}
