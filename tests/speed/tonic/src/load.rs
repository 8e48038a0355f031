//! The load: every connection keeps a fixed number of calls outstanding.

use std::time::Instant;

use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};

use crate::arguments::{Arguments, USAGE};
use crate::echo_client::EchoClient;
use crate::{Failure, Text};

/// USER_HZ: what /proc counts in, 100 on every Linux this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Loads the server for one window and prints the figures.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let to = arguments.to.ok_or(USAGE)?;
    let mut channels = Vec::with_capacity(arguments.connections);
    for _ in 0..arguments.connections {
        channels.push(Endpoint::from_shared(format!("http://{to}"))?.connect().await?);
    }
    let begin = Instant::now() + arguments.warmup;
    let end = begin + arguments.measured;
    let mut calls = JoinSet::new();
    for channel in channels {
        for _ in 0..arguments.in_flight {
            calls.spawn(call(EchoClient::new(channel.clone()), "x".repeat(arguments.size), begin, end));
        }
    }
    sleep(begin - Instant::now()).await;
    let (since, before) = (Instant::now(), cpu_seconds(arguments.server_pid)?);
    sleep(end - Instant::now()).await;
    let (seconds, after) = (since.elapsed().as_secs_f64(), cpu_seconds(arguments.server_pid)?);
    let mut nanos = Vec::new();
    let mut wrong = 0;
    while let Some(done) = calls.join_next().await {
        let (seen, bad) = done??;
        nanos.extend(seen);
        wrong += bad;
    }
    nanos.sort_unstable();
    let quantile =
        |share: f64| nanos.get((nanos.len() as f64 * share) as usize).map_or(0.0, |&nanos| f64::from(nanos) / 1e3);
    let (rate, p50, p99) = (nanos.len() as f64 / seconds, quantile(0.50), quantile(0.99));
    let cpu = (after - before) * 1e6 / nanos.len().max(1) as f64;
    let cpu = if arguments.server_pid.is_some() { format!("{cpu:.3}") } else { "null".to_owned() };
    println!(r#"{{"rate":{rate:.1},"p50_us":{p50:.2},"p99_us":{p99:.2},"server_cpu_us":{cpu},"wrong":{wrong}}}"#);
    Ok(())
}

/// One call after the other until the end; those that ended in the measured time count.
async fn call(
    mut client: EchoClient<Channel>,
    text: String,
    begin: Instant,
    end: Instant,
) -> Result<(Vec<u32>, u64), Failure> {
    let (mut seen, mut wrong) = (Vec::new(), 0);
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok((seen, wrong));
        }
        let answer = client.echo(Text { text: text.clone() }).await?.into_inner();
        wrong += u64::from(answer.text.len() != text.len());
        let now = Instant::now();
        if now >= begin && now <= end {
            seen.push(u32::try_from((now - start).as_nanos()).unwrap_or(u32::MAX));
        }
    }
}

/// User and system time of a process so far; 0 of none.
fn cpu_seconds(pid: Option<u32>) -> Result<f64, Failure> {
    let Some(pid) = pid else { return Ok(0.0) };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold anything; utime and stime are the 12th and 13th field behind it.
    let (_, fields) = stat.rsplit_once(')').ok_or("no `)` in /proc/PID/stat")?;
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}
