//! The same load through what users write: a generated client and a generated server, on the libraries' engine.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::task::JoinSet;
use tokio::time::sleep;
use towline_responder::{App, RpcError, Serve, service};

use super::Failure;
use super::children::{self, Child};
use super::client::{Sample, Shape, Window};
use super::cpu::{Processes, Reading};
use super::histogram::Histogram;
use super::memory::Memory;

/// The echo of the thin ends, as a trait.
#[service(name = "bench.Proxied")]
pub trait Proxied {
    async fn echo(&self, text: String) -> Result<String, RpcError>;
}

struct Echo;

impl Proxied for Echo {
    async fn echo(&self, text: String) -> Result<String, RpcError> {
        Ok(text)
    }
}

/// A responder of its own process, written with the library, registered at `broker`.
pub(super) async fn start_at(broker: SocketAddr) -> Result<Child, Failure> {
    let broker = broker.to_string();
    let args = ["bench", "responder", "--proxies", "--die-with-stdin", "--broker", &broker];
    Child::start("bench responder ready", &args).await
}

/// Serves until the broker is gone.
pub(super) async fn serve(broker: SocketAddr) -> Result<(), Failure> {
    let app =
        App::connect(format!("rsocket://{broker}").as_str()).name("bench-responder").serve(ProxiedServer::new(Echo));
    let app = app.start().await.map_err(|e| Failure::new(format!("responder at the broker {broker}: {e}")))?;
    children::announce("responder", broker);
    app.closed().await;
    Ok(())
}

/// Loads the broker for one window: an app per connection, a task per outstanding call.
pub(super) async fn measure(
    address: SocketAddr,
    shape: Shape,
    window: Window,
    processes: &Processes,
) -> Result<Sample, Failure> {
    let failed = |e: &dyn std::fmt::Display| Failure::new(format!("through the proxies: {e}"));
    let mut apps = Vec::with_capacity(shape.connections);
    for _ in 0..shape.connections {
        let app = App::connect(format!("rsocket://{address}").as_str()).name("bench-requester");
        apps.push(app.start().await.map_err(|e| failed(&e))?);
    }
    let begin = Instant::now() + window.warmup;
    let end = begin + window.measured;
    let mut calls = JoinSet::new();
    for client in apps.iter().map(App::client::<ProxiedClient>) {
        for _ in 0..shape.in_flight {
            calls.spawn(call(client.clone(), "x".repeat(shape.size), begin, end));
        }
    }
    sleep(begin - Instant::now()).await;
    let before = Reading::take(processes)?;
    sleep(end - Instant::now()).await;
    let usage = before.until(&Reading::take(processes)?);
    let mut latencies = Histogram::new();
    let (mut answered, mut wrong) = (0u64, 0);
    while let Some(done) = calls.join_next().await {
        let (seen, bad) = done.map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
        answered += seen.len();
        wrong += bad;
        latencies.merge(&seen);
    }
    for app in apps {
        app.close().await;
    }
    Ok(Sample {
        rate: answered as f64 / usage.seconds,
        p50_us: latencies.quantile(0.50) as f64 / 1e3,
        p99_us: latencies.quantile(0.99) as f64 / 1e3,
        server_cpu_us: usage.server_seconds * 1e6 / answered.max(1) as f64,
        load_cpu_us: usage.others_seconds * 1e6 / answered.max(1) as f64,
        foreign_cores: usage.foreign_cores,
        behind: 0,
        wrong,
        server_bytes: Memory::of(processes.server)?.private,
    })
}

/// One call after the other until the end; those that began and ended in the measured time count.
async fn call(client: ProxiedClient, text: String, begin: Instant, end: Instant) -> Result<(Histogram, u64), String> {
    let (mut seen, mut wrong) = (Histogram::new(), 0);
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok((seen, wrong));
        }
        let answer = client.echo(text.clone()).await.map_err(|e| e.to_string())?;
        wrong += u64::from(answer.len() != text.len());
        let now = Instant::now();
        if now >= begin && now <= end {
            seen.record((now - start).as_nanos() as u64);
        }
    }
}
