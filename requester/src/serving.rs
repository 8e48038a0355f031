use std::any::Any;
use std::sync::Arc;

use towline_rsocket::engine::Responder;
use towline_service_api::ServiceKey;

/// What an app answers with: gathered while it is built, by the crate `towline-responder`.
pub trait Serving: Any + Send {
    /// The services to register, in the order served.
    fn services(&self) -> Vec<ServiceKey>;

    /// What answers requests, on every connection of the app.
    fn into_responder(self: Box<Self>) -> Arc<dyn Responder>;
}
