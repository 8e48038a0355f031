//! The serving side of an app: a connected app (`towline-requester`, re-exported whole) that also answers.
//!
//! [`Serve`] adds services to an app; what answers them is one responder on all of its connections. The one invariant:
//! a handler runs only for a request that was read to its end: routed, in a known encoding, within its deadline.
//!
//! ```text
//! engine -> Answering -> Head (one walk over the metadata) -> Table (route -> service) -> Dispatch -> impl UserService
//!    ^                                                                                        |
//!    +---- Payload, StreamError <---- Handling (deadline for nested calls) <---- Reply -------+
//! ```
//!
//! ```no_run
//! use towline_responder::{App, RpcError, Serve, service};
//!
//! #[service(name = "com.acme.Echo")]
//! pub trait Echo {
//!     async fn echo(&self, text: String) -> Result<String, RpcError>;
//! }
//!
//! struct Plain;
//!
//! impl Echo for Plain {
//!     async fn echo(&self, text: String) -> Result<String, RpcError> {
//!         Ok(text)
//!     }
//! }
//!
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let app = App::connect("rsocket://127.0.0.1:9999").name("echo").serve(EchoServer::new(Plain)).start().await?;
//! let echo = app.client::<EchoClient>();
//! echo.echo("hello".to_owned()).await?;
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod answering;
mod consume;
mod head;
mod limit;
mod outcome;
#[cfg(feature = "raw")]
pub mod raw;
mod route;
mod serve;
mod table;
#[cfg(test)]
mod tests;

pub use consume::{Consume, Consumer, ConsumerBuilder, Deliveries, Nack, Unsettled};
pub use limit::{Limit, Limited};
pub use serve::{Serve, Services};
pub use towline_requester::*;
