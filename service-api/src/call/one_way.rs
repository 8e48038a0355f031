use futures::FutureExt;
use futures::future::{self, BoxFuture};

use super::draft::{Draft, call_options};
use crate::error::RpcError;

/// A call without an answer. Await it: it is `Ok` once handed to the connection.
#[derive(Debug)]
#[must_use = "a call is not sent before it is awaited"]
pub struct OneWayCall {
    draft: Draft,
}

impl OneWayCall {
    #[doc(hidden)]
    pub fn new(draft: Draft) -> Self {
        Self { draft }
    }

    call_options!();
}

impl IntoFuture for OneWayCall {
    type Output = Result<(), RpcError>;
    type IntoFuture = BoxFuture<'static, Result<(), RpcError>>;

    fn into_future(self) -> Self::IntoFuture {
        match self.draft.finish() {
            Ok((caller, call)) => caller.oneway(call),
            Err(error) => future::ready(Err(error)).boxed(),
        }
    }
}
