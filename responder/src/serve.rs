use std::fmt;
use std::sync::Arc;

use towline_requester::{AppBuilder, Serving};
use towline_rsocket::engine::Responder;
use towline_service_api::{Dispatch, Encoding, ServiceKey};

use crate::answering::Answering;
use crate::table::Table;

/// Lets an app serve: `App::connect(..).serve(UserServiceServer::new(Users))`.
pub trait Serve {
    /// Serves this, too. Two services with one key are an error when the app starts.
    fn serve(self, service: impl Dispatch) -> Self;
}

impl Serve for AppBuilder {
    fn serve(self, service: impl Dispatch) -> Self {
        self.serving(|services: &mut Services| services.add(service))
    }
}

/// The services of an app, for whoever runs them over a connection of their own.
#[derive(Default)]
pub struct Services {
    all: Vec<Arc<dyn Dispatch>>,
}

impl Services {
    /// Adds one.
    pub fn add(&mut self, service: impl Dispatch) {
        self.all.push(Arc::new(service));
    }

    /// What answers requests for them on a connection whose data, where it does not say its type, is in this encoding.
    pub fn responder(self, default: Encoding) -> Arc<dyn Responder> {
        Arc::new(Answering::new(Table::new(self.all), default))
    }
}

impl Serving for Services {
    fn services(&self) -> Vec<ServiceKey> {
        self.all.iter().map(|service| service.contract().key.clone()).collect()
    }

    fn into_responder(self: Box<Self>) -> Arc<dyn Responder> {
        // What an app says in SETUP.
        self.responder(Encoding::MessagePack)
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|service| &service.contract().key)).finish()
    }
}
