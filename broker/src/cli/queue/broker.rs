//! The broker a command speaks to, and what it says when it refuses.

use crate::cli::Failure;
use crate::cli::form::Form;
use clap::Args;
use std::time::Duration;
use towline::config::Problem;
use towline_requester::builtin::{QueueError, TopicsClient};
use towline_requester::{App, CallError, PublishError, ServiceError, StartError, TypedError};

/// How long a command waits for the broker to answer at all.
const CONNECT: Duration = Duration::from_secs(5);
/// How long it waits for what is under way when it ends.
const GRACE: Duration = Duration::from_secs(2);
/// What to do about an error that does not say it.
const NEXT: &str = "`towline topic ls` shows what is there";

#[derive(Debug, Args)]
pub(super) struct BrokerArgs {
    /// Address of the broker, as apps write it
    #[arg(long, value_name = "ADDRESS", default_value = "rsocket://127.0.0.1:9999")]
    broker: String,
    /// Form of the output
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    pub(super) output: Form,
}

impl BrokerArgs {
    /// Connects, does this, and leaves.
    pub(super) fn with<T>(&self, act: impl AsyncFnOnce(&App) -> Result<T, Failure>) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::running("runtime", error.to_string(), "see ulimit -a"))?;
        runtime.block_on(async {
            let app = App::connect(self.broker.as_str()).name("towline-cli").connect_timeout(CONNECT).grace(GRACE);
            let app = app.start().await.map_err(|error| self.unreachable(&error))?;
            let outcome = act(&app).await;
            app.close().await;
            outcome
        })
    }

    /// The same with what administers topics.
    pub(super) fn topics<T>(&self, act: impl AsyncFnOnce(TopicsClient) -> Result<T, Failure>) -> Result<T, Failure> {
        self.with(async |app| act(app.client()).await)
    }

    fn unreachable(&self, error: &StartError) -> Failure {
        let code = if matches!(error, StartError::Address { .. }) { 2 } else { 1 };
        let next = "is a broker running there? see --broker";
        Failure { code, problems: vec![Problem::new(&self.broker, error.to_string(), next)] }
    }
}

/// What a command was about was refused.
pub(super) fn refused(what: impl Into<String>, error: CallError<QueueError>) -> Failure {
    let typed = match &error {
        CallError::App(error) => error.clone().into_rpc().typed(),
        CallError::Rpc(error) => error.typed(),
    };
    match typed {
        Some(TypedError { message, next, .. }) => Failure::running(what, message, next.unwrap_or_else(|| NEXT.into())),
        None => Failure::running(what, error.to_string(), "is this broker of the same version? see `towline version`"),
    }
}

/// A message is not stored, or nobody knows.
pub(super) fn unpublished(what: impl Into<String>, error: PublishError) -> Failure {
    match error {
        PublishError::Refused(TypedError { message, next, .. }) => {
            Failure::running(what, message, next.unwrap_or_else(|| NEXT.into()))
        }
        error => Failure::running(what, error.to_string(), "with --id it can be sent again without being stored twice"),
    }
}
