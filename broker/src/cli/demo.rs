//! `towline demo`: a broker, a service and a caller in one process, and the calls between them.

use super::{Failure, say};
use clap::Args;
use futures::stream::{self, Stream, StreamExt};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use towline::Broker;
use towline::config::{Config, ListenAddress};
use towline::metrics::{Meters, recorder};
use towline::shutdown::Signals;
use towline_responder::{App, RpcError, Serve, Streaming, service};

#[derive(Debug, Args)]
#[command(after_help = "\
Runs until SIGINT or SIGTERM, or for so many rounds.
Example: towline demo --rounds 3")]
pub(super) struct DemoArgs {
    /// Rounds of calls, one a second; without it they go on
    #[arg(long, value_name = "N")]
    rounds: Option<u64>,
    /// Where the broker listens; port 0 picks one
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:0")]
    listen: ListenAddress,
}

/// The service of the demo, one method for each shape of call.
#[service(name = "demo.Greeter")]
trait Greeter {
    async fn greet(&self, name: String) -> Result<String, RpcError>;
    fn count(&self, to: u32) -> impl Stream<Item = Result<u32, RpcError>>;
    async fn sum(&self, numbers: Streaming<u64>) -> Result<u64, RpcError>;
    #[rpc(oneway)]
    async fn note(&self, text: String);
}

struct Polite;

impl Greeter for Polite {
    async fn greet(&self, name: String) -> Result<String, RpcError> {
        Ok(format!("hello, {name}"))
    }

    fn count(&self, to: u32) -> impl Stream<Item = Result<u32, RpcError>> {
        stream::iter((1..=to).map(Ok))
    }

    async fn sum(&self, mut numbers: Streaming<u64>) -> Result<u64, RpcError> {
        let mut sum = 0u64;
        while let Some(number) = numbers.next().await {
            sum = sum.saturating_add(number?);
        }
        Ok(sum)
    }

    async fn note(&self, text: String) {
        say(format_args!("  service: noted {text:?}"));
    }
}

pub(super) fn run(args: &DemoArgs) -> Result<ExitCode, Failure> {
    let failed = |why: String| Failure::running("demo", why, "is another program on that port? see --listen");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| failed(e.to_string()))?;
    runtime.block_on(demo(args)).map(|()| ExitCode::SUCCESS).map_err(failed)
}

async fn demo(args: &DemoArgs) -> Result<(), String> {
    let mut signals = Signals::listen().map_err(|e| e.to_string())?;
    let mut config = Config::default();
    config.listen.addresses = vec![args.listen.clone()];
    // It has no topics, and is in nobody's way who has.
    config.data.directory = std::env::temp_dir().join(format!("towline-demo-{}", std::process::id()));
    let meters = Arc::new(Meters::new(&recorder()));
    let broker = Broker::start(config, meters.clone()).await.map_err(|e| e.to_string())?;
    let address = broker.addresses().join(",");
    say(format_args!("broker: {address}"));
    let served = App::connect(address.as_str()).name("demo-service").serve(GreeterServer::new(Polite));
    let served = served.start().await.map_err(|e| e.to_string())?;
    let caller = App::connect(address.as_str()).name("demo-caller").start().await.map_err(|e| e.to_string())?;
    let greeter = caller.client::<GreeterClient>();
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    for round in 1..=args.rounds.unwrap_or(u64::MAX) {
        tokio::select! {
            _ = seconds.tick() => {}
            _ = signals.next() => break,
        }
        if !say(format_args!("round {round}")) {
            break;
        }
        calls(&greeter, round).await.map_err(|error| error.to_string())?;
        let count = |name: &str| sum(&meters.render(), name);
        let (requests, sent) = (count("towline_requests_total"), count("towline_sent_frames_total"));
        say(format_args!("  broker: {requests} requests relayed, {sent} frames sent"));
    }
    caller.close().await;
    served.close().await;
    broker.drain().await;
    Ok(())
}

async fn calls(greeter: &GreeterClient, round: u64) -> Result<(), RpcError> {
    say(format_args!("  caller: greet -> {:?}", greeter.greet(format!("round {round}")).await.map_err(rpc)?));
    let mut numbers = greeter.count(5).prefetch(2).start();
    let mut seen = Vec::new();
    while let Some(number) = numbers.next().await {
        seen.push(number.map_err(rpc)?);
    }
    say(format_args!("  caller: count -> {seen:?}, never more than 2 on their way"));
    say(format_args!("  caller: sum of 1 to {round} -> {}", greeter.sum(stream::iter(1..=round)).await.map_err(rpc)?));
    greeter.note(format!("end of round {round}")).await
}

fn rpc(error: towline_responder::CallError<RpcError>) -> RpcError {
    match error {
        towline_responder::CallError::App(error) | towline_responder::CallError::Rpc(error) => error,
    }
}

/// The sum of a metric over its labels.
fn sum(text: &str, name: &str) -> u64 {
    let values = text.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next());
    values.filter_map(|value| value.parse::<f64>().ok()).sum::<f64>() as u64
}
