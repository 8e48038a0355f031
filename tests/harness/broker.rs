use super::{Peer, SOON, Setup};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, interval};
use towline::config::{Config, ListenAddress};
use towline::metrics::{Meters, recorder};

/// A broker in this process, on a port the system picked.
#[derive(Debug)]
pub(crate) struct Broker {
    inner: towline::Broker,
    pub address: String,
    meters: Arc<Meters>,
}

impl Broker {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// With a changed configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.listen.addresses = vec![ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))];
        change(&mut config);
        let meters = Arc::new(Meters::new(&recorder()));
        let inner = towline::Broker::start(config, meters.clone()).await.expect("a free port");
        let address = inner.addresses()[0].strip_prefix("tcp://").expect("a TCP listener").to_owned();
        Self { inner, address, meters }
    }

    pub(crate) async fn connect(&self) -> Peer {
        Peer::connect(&self.address).await
    }

    /// An app.
    pub(crate) async fn join(&self, setup: Setup) -> Peer {
        Peer::join(&self.address, &setup).await
    }

    /// An app that only asks.
    pub(crate) async fn client(&self) -> Peer {
        self.join(Setup::anonymous()).await
    }

    /// An app that serves this.
    pub(crate) async fn serve(&self, service: &str) -> Peer {
        self.join(Setup::anonymous().service(service)).await
    }

    /// One requester and one responder of `test.Echo`.
    pub(crate) async fn pair(&self) -> (Peer, Peer) {
        (self.client().await, self.serve("test.Echo").await)
    }

    /// The sum of a metric over its labels.
    pub(crate) fn meter(&self, name: &str) -> f64 {
        let text = self.meters.render();
        let lines =
            text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        lines.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect("a number")).sum()
    }

    /// A metric with this label value.
    pub(crate) fn labelled(&self, name: &str, value: &str) -> f64 {
        let text = self.meters.render();
        let label = format!("=\"{value}\"");
        let mut lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        let line = lines.find(|line| line.contains(&label)).expect("such a label");
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
    }

    /// Waits until a metric, which tells nobody that it changes, is so large.
    pub(crate) async fn until(&self, name: &str, at_least: f64) {
        let deadline = Instant::now() + SOON;
        let mut looks = interval(Duration::from_millis(5));
        while self.meter(name) < at_least {
            assert!(Instant::now() < deadline, "{name} stayed below {at_least}: {}", self.meter(name));
            looks.tick().await;
        }
    }

    pub(crate) async fn drain(self) {
        self.inner.drain().await;
    }
}
