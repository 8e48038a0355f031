//! A closed loop: each task has so many messages on their way, and sends another one for each that is confirmed.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::FutureExt;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};

use super::Failure;
use super::shape::Shape;
use crate::cli::bench::cpu::{Processes, Reading};
use crate::cli::bench::histogram::Histogram;

/// What takes messages.
pub(super) trait Target: Send + Sync + 'static {
    /// Comes when the message is confirmed. Those of one task come in the order in which it sent.
    type Answer: Future<Output = Result<(), Failure>> + Unpin + Send;

    fn send(&self) -> Result<Self::Answer, Failure>;
}

/// What was seen in a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    /// Confirmed in the time.
    pub(super) messages: u64,
    pub(super) rate: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// Of the whole process.
    pub(super) cpu_us: f64,
    pub(super) foreign_cores: f64,
}

/// Loads `target` for a while; all is confirmed when it returns.
pub(super) async fn run<T: Target>(target: &Arc<T>, shape: Shape, time: Duration) -> Result<Sample, Failure> {
    let processes = Processes { server: std::process::id(), others: Vec::new() };
    let (begun, begin) = (Instant::now(), Reading::take(&processes)?);
    let end = begun + time;
    let mut tasks = JoinSet::new();
    for _ in 0..shape.tasks {
        tasks.spawn(keep_busy(target.clone(), shape.in_flight, end));
    }
    let mut seen = Histogram::new();
    while let Some(task) = tasks.join_next().await {
        seen.merge(&task.map_err(|e| Failure::new(format!("a task of the load: {e}")))??);
    }
    let (elapsed, usage) = (begun.elapsed().as_secs_f64(), begin.until(&Reading::take(&processes)?));
    let messages = seen.len();
    let us = |share| seen.quantile(share) as f64 / 1e3;
    Ok(Sample {
        messages,
        rate: messages as f64 / elapsed,
        p50_us: us(0.5),
        p99_us: us(0.99),
        cpu_us: usage.server_seconds * 1e6 / (messages as f64).max(1.0),
        foreign_cores: usage.foreign_cores,
    })
}

async fn keep_busy<T: Target>(target: Arc<T>, in_flight: usize, end: Instant) -> Result<Histogram, Failure> {
    let mut seen = Histogram::new();
    let mut waiting = VecDeque::<(Instant, T::Answer)>::with_capacity(in_flight);
    loop {
        let now = Instant::now();
        while waiting.len() < in_flight && now < end {
            waiting.push_back((now, target.send()?));
        }
        let Some((since, answer)) = waiting.front_mut() else { return Ok(seen) };
        answer.await?;
        let now = Instant::now();
        seen.record((now - *since).as_nanos() as u64);
        waiting.pop_front();
        // What came with it needs no waiting.
        while let Some((since, answer)) = waiting.front_mut() {
            let Some(outcome) = answer.now_or_never() else { break };
            outcome?;
            seen.record((now - *since).as_nanos() as u64);
            waiting.pop_front();
        }
    }
}
