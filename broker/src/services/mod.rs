//! What the broker itself serves: ordinary responders, written with the `responder` crate, on links inside the process.
//!
//! Invariant: nothing in `relay/` knows them. Their links differ from an app's in two points: they may register reserved
//! names, and nothing bounds what waits for them but the service behind.
//!
//! ```text
//!  control   health (discovery, configuration, administration: later)
//!  queue     nothing yet: durable topics, on a link of their own so that bulk publishing delays no health probe
//! ```

mod health;

use crate::relay::{Relay, attach};
use crate::routing::Routes;
use rsocket::transport::memory_pair;
use std::sync::Arc;
use towline_responder::{App, AppBuilder, Serve, StartError};
use towline_service_api::builtin::HealthServer;

/// Mounts every service; each answers when this returns.
///
/// # Errors
/// If one cannot be mounted: a defect of this program.
pub(crate) async fn mount(relay: &Arc<Relay>, routes: &Arc<Routes>) -> Result<Vec<App>, StartError> {
    let control = link(relay, "towline.control").serve(HealthServer::new(health::Check::new(routes.clone())));
    let queue = link(relay, "towline.queue");
    Ok(vec![control.start().await?, queue.start().await?])
}

/// One end of a link inside the process, as an app.
fn link(relay: &Arc<Relay>, name: &'static str) -> AppBuilder {
    let (broker, service) = memory_pair(name);
    attach(relay, Arc::new(broker));
    App::over(Arc::new(service)).name(name)
}
