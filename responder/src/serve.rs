use std::fmt;
use std::sync::Arc;

use towline_requester::{AppBuilder, Serving};
use towline_rsocket::engine::Responder;
use towline_service_api::{Dispatch, Encoding, ServiceKey};

use crate::answering::Answering;
use crate::table::{Entry, Service, Table};

/// Lets an app serve: `App::connect(..).serve(UserServiceServer::new(Users))`.
pub trait Serve {
    /// Serves this, too. Two services with one key are an error when the app starts.
    fn serve(self, service: impl Dispatch) -> Self;

    /// Serves this under a name, too: it gets every request of the service as it came, whatever its method and the type
    /// of its data, and reads the routing entry itself. Metadata the broker pushes goes to every such service.
    ///
    /// Its answers are polled within the request's [`Handling`](towline_requester::Handling); a request whose deadline
    /// has passed never comes. Errors keep their code, unless that is one of a connection.
    fn serve_payloads(self, key: ServiceKey, service: impl Responder) -> Self;
}

impl Serve for AppBuilder {
    fn serve(self, service: impl Dispatch) -> Self {
        self.serving(|services: &mut Services| services.add(service))
    }

    fn serve_payloads(self, key: ServiceKey, service: impl Responder) -> Self {
        self.serving(|services: &mut Services| services.add_payloads(key, service))
    }
}

/// The services of an app, for whoever runs them over a connection of their own.
#[derive(Default)]
pub struct Services {
    all: Vec<Entry>,
}

impl Services {
    /// Adds one.
    pub fn add(&mut self, service: impl Dispatch) {
        self.all.push(Entry::calls(Arc::new(service)));
    }

    /// Adds one that takes whole payloads; see [`Serve::serve_payloads`].
    pub fn add_payloads(&mut self, key: ServiceKey, service: impl Responder) {
        self.all.push(Entry { key, service: Service::Payloads(Arc::new(service)) });
    }

    /// What answers requests for them on a connection whose data, where it does not say its type, is in this encoding.
    pub fn responder(self, default: Encoding) -> Arc<dyn Responder> {
        Arc::new(Answering::new(Table::new(self.all), default))
    }
}

impl Serving for Services {
    fn services(&self) -> Vec<ServiceKey> {
        self.all.iter().map(|entry| entry.key.clone()).collect()
    }

    fn into_responder(self: Box<Self>) -> Arc<dyn Responder> {
        // What an app says in SETUP.
        self.responder(Encoding::MessagePack)
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|entry| &entry.key)).finish()
    }
}
