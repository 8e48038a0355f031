//! The calling side of an app: its connections to the brokers, and calls through them.
//!
//! An [`App`] keeps one connection to each broker of its list, reconnects for ever, and offers all of them as one
//! [`Caller`]. The one invariant: a request is sent a second time only if the first one provably reached no handler, or
//! if the method is idempotent and says how often.
//!
//! ```text
//! Client -> AppCaller -> Sending (deadline, Effort: which failure is tried again) -> Link -> engine ~~~ broker
//!                           | pick, wait                                              ^
//!                           Pool <---- add, remove ---- Keeper (one task per broker: dial, SETUP, back off, drain)
//! ```
//!
//! ```no_run
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use towline_requester::{App, builtin::HealthClient};
//!
//! let app = App::connect("rsocket://127.0.0.1:9999").name("shop").start().await?;
//! let health = app.client::<HealthClient>();
//! assert_eq!(health.check(None).await?.status, 1);
//! app.close().await;
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod address;
mod app;
mod backoff;
mod builder;
mod caller;
mod dial;
mod error;
mod front;
mod handling;
mod items;
mod keeper;
mod link;
mod metadata;
mod pool;
mod publish;
#[cfg(feature = "raw")]
pub mod raw;
mod request;
mod retry;
mod sending;
mod serving;
mod setup;
mod state;
mod stream;
#[cfg(test)]
mod tests;

pub use address::Addresses;
pub use app::App;
pub use backoff::{Backoff, Pace};
pub use builder::AppBuilder;
pub use caller::AppCaller;
pub use error::StartError;
pub use handling::{Handled, Handling};
pub use metadata::DEADLINE_MIME;
pub use publish::{Outcome, PublishError, Publisher, Topic};
pub use serving::Serving;
pub use state::{AppState, Phase};
pub use towline_rsocket as rsocket;
pub use towline_service_api::*;
