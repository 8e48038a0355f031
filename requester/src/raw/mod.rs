//! The raw API: calls, whole payloads, in the vocabulary of the crate `rsocket_rust`, through an app's own connections.
//!
//! Only the vocabulary is that crate's (its trait `RSocket`, `Payload`, `Flux`, `RSocketError`): frames, credit and
//! connections are this app's. Behind the feature `raw`.
//!
//! ```
//! use rsocket_rust::prelude::{Payload, RSocket};
//! use towline_requester::App;
//!
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let app = App::connect("rsocket://127.0.0.1:9999").name("shop").start().await?;
//! let greet = app.raw_to("com.acme.Greeter.greet").with_data_mime("application/json");
//! let answer = greet.request_response(Payload::from(r#"["world"]"#)).await?;
//! println!("{:?}", answer.as_ref().and_then(Payload::data_utf8));
//! # Ok(())
//! # }
//! ```

mod handle;
mod translate;

pub use handle::Raw;
pub use translate::{from_raw, raw_error, result_from_raw, to_raw};
