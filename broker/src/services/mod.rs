//! What the broker itself serves: ordinary responders, written with the `responder` crate, on links inside the process.
//!
//! Invariant: nothing in `relay/` knows them. Their links differ from an app's in three points: they may register reserved
//! names, nothing bounds what waits for them but the service behind, and they may have a desk.
//!
//! ```text
//!  control   health, registry, topics (discovery, configuration: later)
//!  starter   what the Java starters call on their broker, in Hessian
//!  queue     durable topics, on a link and a thread of their own so that bulk publishing delays nobody else
//! ```

mod caller;
mod health;
mod queue;
mod registry;
mod starter;
mod topics;

/// Arguments of a call in Hessian.
pub fn hessian(bytes: &[u8]) {
    let _ = starter::hessian::arguments(bytes);
}

use crate::metrics::LinkKind;
use crate::mq::Folder;
use crate::relay::{Relay, attach};
use crate::routing::RouteKey;
use rsocket::engine::{Connection, Payload};
use rsocket::transport::memory_pair;
use std::sync::Arc;
use tokio::runtime::{Handle, Runtime};
use towline_responder::{App, AppBuilder, Serve, StartError};
use towline_service_api::builtin::{HealthServer, QueueServer, RegistryServer, TopicsServer};

/// The broker's own services.
#[derive(Debug)]
pub(crate) struct Services {
    apps: Vec<App>,
    starter: Connection,
    topics: Arc<Folder>,
    _thread: Thread,
}

/// Where topics are served: beside the threads that relay, so that neither waits for the other.
#[derive(Debug)]
pub(crate) struct Thread(Option<Runtime>);

impl Thread {
    /// # Errors
    /// What the system says.
    pub(crate) fn start() -> std::io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Ok(Self(Some(builder.worker_threads(1).thread_name("towline-queue").enable_all().build()?)))
    }

    pub(crate) fn handle(&self) -> Handle {
        self.runtime().handle().clone()
    }

    async fn run<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> T {
        match self.runtime().spawn(task).await {
            Ok(outcome) => outcome,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Services {
    /// Ends what would last for ever: consumers get nothing more, and may settle what they have.
    pub(crate) fn finish(&self) {
        self.topics.finish();
    }

    /// Ends them, once nobody is left to call.
    pub(crate) async fn close(&self) {
        for app in &self.apps {
            app.close().await;
        }
        self.starter.close(None);
        self.topics.close().await;
    }
}

/// Mounts every service; each answers when this returns. `advertised`: where apps find the brokers, if the operator says it.
///
/// # Errors
/// If one cannot be mounted: a defect of this program.
pub(crate) async fn mount(
    relay: &Arc<Relay>,
    advertised: &[String],
    topics: Arc<Folder>,
    thread: Thread,
) -> Result<Services, StartError> {
    let (broker, starter) = memory_pair("towline.starter");
    attach(relay, Arc::new(broker), LinkKind::Memory);
    let starter = starter::mount(Arc::new(starter), relay, advertised);
    // Any answer will do: it comes behind SETUP.
    let _refusal = starter.request_response(Payload::default()).await;
    let control = link(relay, "towline.control")
        .serve(HealthServer::new(health::Check::new(relay.registry.routes().clone())))
        .serve(RegistryServer::new(registry::Register::new(relay.clone())))
        .serve(TopicsServer::new(topics::Administration::new(topics.clone())));
    let queues = queue::Topics::new(topics.clone(), thread.handle());
    let desk = queues.desk();
    let queue = link(relay, "towline.queue").serve(queue::Publishing::new(queues));
    let apps = vec![control.start().await?, thread.run(queue.start()).await?];
    let key = RouteKey { service: &QueueServer::<queue::Topics>::CONTRACT.key.service, ..RouteKey::default() };
    let served = relay.registry.routes().load().find(&key).and_then(|all| all.list.first()).map(|at| at.link.clone());
    if let Some(link) = served {
        link.open_desk(desk);
    }
    Ok(Services { apps, starter, topics, _thread: thread })
}

/// One end of a link inside the process, as an app.
fn link(relay: &Arc<Relay>, name: &'static str) -> AppBuilder {
    let (broker, service) = memory_pair(name);
    attach(relay, Arc::new(broker), LinkKind::Memory);
    App::over(Arc::new(service)).name(name)
}
