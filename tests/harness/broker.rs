use super::{Carrier, Peer, SOON, Setup};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::{Instant, interval};
use towline::config::Config;
use towline::metrics::{Meters, recorder};
use towline_rsocket::transport::MemoryTransport;

/// A broker in this process, where nobody else listens.
#[derive(Debug)]
pub(crate) struct Broker {
    inner: towline::Broker,
    /// Of a TCP listener without its scheme.
    pub address: String,
    meters: Arc<Meters>,
    _file: Option<SocketFile>,
}

/// What a Unix socket leaves behind.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // The broker may have removed it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A folder that is nobody else's, and not made yet.
pub(super) fn data_folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("towline-data-{}-{count}", std::process::id()))
}

impl Broker {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// With a changed configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on_with(Carrier::Tcp, change).await
    }

    /// One whose apps connect over this carrier.
    pub(crate) async fn on(carrier: Carrier) -> Self {
        Self::on_with(carrier, |_| ()).await
    }

    /// The same with a changed configuration.
    pub(crate) async fn on_with(carrier: Carrier, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.listen.addresses = vec![carrier.listen()];
        // Nothing is made there unless a topic is.
        config.data.directory = data_folder();
        change(&mut config);
        let meters = Arc::new(Meters::new(&recorder()));
        let inner = towline::Broker::start(config, meters.clone()).await.expect("an address of its own");
        let address = inner.addresses()[0].trim_start_matches("tcp://").to_owned();
        let file = address.strip_prefix("unix://").map(|path| SocketFile(path.into()));
        Self { inner, address, meters, _file: file }
    }

    /// Every address, as apps write it.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.inner.addresses()
    }

    pub(crate) async fn connect(&self) -> Peer {
        Peer::connect(&self.address).await
    }

    /// An app that only asks, whose kernel keeps little of what it does not read.
    pub(crate) async fn narrow_client(&self) -> Peer {
        Peer::connect_narrow(&self.address).await.introduced(&Setup::anonymous()).await
    }

    /// What is said to these first bytes before the connection is closed.
    pub(crate) async fn refusal(&self, bytes: &[u8]) -> (u32, String) {
        let mut peer = self.connect().await;
        peer.send_bytes(bytes).await;
        peer.expect_end().await
    }

    /// A connection inside this process.
    pub(crate) fn inside(&self) -> MemoryTransport {
        self.inner.connect()
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
        sum(&self.meters.render(), name)
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

/// The sum of a metric over its labels, in what a scrape brought; or of the one with these labels.
pub(crate) fn sum(text: &str, name: &str) -> f64 {
    let lines = text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
    lines.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect("a number")).sum()
}
