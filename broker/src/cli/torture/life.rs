//! One life of a broker: publishers and consumers at work until it is killed.

use super::ledger::{GROUPS, Ledger};
use crate::cli::bench::Child;
use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;
use towline_responder::App;
use towline_service_api::builtin::{
    ConsumeOptions, Delivery, Message, QueueClient, QueueError, Settle, Start, TopicsClient,
};
use towline_service_api::{CallError, RpcError};

const TOPIC: &str = "torture";
const PUBLISHERS: usize = 2;
/// Of each group.
const MEMBERS: usize = 3;
/// How long the last life may take to consume all there is.
const DRAINED_WITHIN: Duration = Duration::from_secs(120);

/// What happens in one life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Milliseconds until the kill.
    pub(super) lives: u64,
    pub(super) in_flight: usize,
    pub(super) seed: u64,
}

async fn start(folder: &Path) -> Result<Child, String> {
    let listen = ["serve", "--listen", "tcp://127.0.0.1:0", "--http", "off", "--management", "127.0.0.1:0"];
    let mut args: Vec<&OsStr> = listen.iter().map(OsStr::new).collect();
    args.extend(["--log", "error", "--data"].map(OsStr::new));
    args.push(folder.as_os_str());
    Child::start("towline ready", &args).await.map_err(|failure| failure.to_string())
}

async fn connect(child: &Child) -> Result<App, String> {
    let app = App::connect(format!("rsocket://{}", child.address())).name("torture").start().await;
    app.map_err(|e| e.to_string())
}

/// Runs a broker on the folder, and kills it at the planned moment.
pub(super) async fn live(folder: &Path, ledger: &Arc<Ledger>, plan: Plan) -> Result<(), String> {
    let child = start(folder).await?;
    let mut tasks = JoinSet::new();
    let mut rng = fastrand::Rng::with_seed(plan.seed);
    let mut apps = Vec::new();
    let app = connect(&child).await?;
    app.client::<TopicsClient>().create(TOPIC.to_owned(), None).await.map_err(|e| e.to_string())?;
    for _ in 0..PUBLISHERS {
        let queue = app.client::<QueueClient>();
        for _ in 0..plan.in_flight {
            tasks.spawn(publish(queue.clone(), ledger.clone(), rng.u64(..)));
        }
    }
    apps.push(app);
    for group in 0..GROUPS.len() {
        for _ in 0..MEMBERS {
            let app = connect(&child).await?;
            tasks.spawn(consume(app.client(), ledger.clone(), group, rng.u64(..), false));
            apps.push(app);
        }
    }
    sleep(Duration::from_millis(plan.lives)).await;
    // The doubt counts back from when it is certain that it is dead.
    child.kill();
    let killed = Instant::now();
    // What they have in hand still, they may take for settled.
    tasks.shutdown().await;
    ledger.killed(killed);
    Ok(())
}

/// Publishes one message after the other.
async fn publish(queue: QueueClient, ledger: Arc<Ledger>, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    loop {
        let message = ledger.send(&mut rng);
        let mut body = message.id.to_be_bytes().to_vec();
        body.resize(8 + rng.usize(..400), message.id as u8);
        let mut publish = Message::new(body);
        if message.is_known {
            publish = publish.id(format!("m-{}", message.id));
        }
        match queue.publish(TOPIC.to_owned(), publish, None).await {
            Ok(confirmation) => match confirmation.offset {
                Some(offset) => ledger.confirmed(message.id, offset),
                None => ledger.fault(format!("message {} is a duplicate of what nobody knows", message.id)),
            },
            Err(CallError::Rpc(error)) if error.code == RpcError::REJECTED => ledger.refused(message.id),
            // With the broker.
            Err(_) => return std::future::pending().await,
        }
    }
}

/// The message a delivery holds, if it is whole.
fn id_of(delivery: &Delivery) -> Option<u64> {
    let (id, rest) = delivery.body.split_first_chunk::<8>()?;
    let id = u64::from_be_bytes(*id);
    rest.iter().all(|byte| *byte == id as u8).then_some(id)
}

/// Consumes as applications do: most are acked, some fail, some are rejected, some are forgotten.
async fn consume(queue: QueueClient, ledger: Arc<Ledger>, group: usize, seed: u64, is_careful: bool) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut settles, items) = mpsc::channel(0);
    let options = ConsumeOptions { start: Some(Start::Earliest), ..ConsumeOptions::default() };
    let call = queue.consume(TOPIC.to_owned(), GROUPS[group].to_owned(), Some(options), items);
    let mut deliveries = call.prefetch(32).start();
    while let Some(Ok(delivery)) = deliveries.next().await {
        let offset = delivery.offset;
        ledger.delivered(group, offset, id_of(&delivery), delivery.redelivered);
        let settle = match rng.u32(..100) {
            0..3 if !is_careful => Settle::nack(offset).after(Duration::ZERO).because("again"),
            3 if !is_careful => Settle::dead(offset).because("never"),
            4..6 if !is_careful => continue,
            _ => Settle::ack(offset),
        };
        if settle.nack.is_empty() {
            ledger.settled(group, offset, !settle.dead.is_empty());
        }
        if settles.send(settle).await.is_err() {
            return;
        }
    }
}

/// The last life: everything is consumed, and the ledger closed.
pub(super) async fn drain(folder: &Path, ledger: &Arc<Ledger>) -> Result<(), String> {
    let child = start(folder).await?;
    let app = connect(&child).await?;
    let topics = app.client::<TopicsClient>();
    let mut tasks = JoinSet::new();
    let mut apps = Vec::new();
    topics.create(TOPIC.to_owned(), None).await.map_err(|e| e.to_string())?;
    for group in 0..GROUPS.len() {
        let app = connect(&child).await?;
        tasks.spawn(consume(app.client(), ledger.clone(), group, 0, true));
        apps.push(app);
    }
    let deadline = Instant::now() + DRAINED_WITHIN;
    for group in GROUPS {
        loop {
            let status = topics.group(TOPIC.to_owned(), group.to_owned()).await;
            match status {
                Ok(status) if status.depth == 0 => break,
                // Not made yet.
                Err(CallError::App(QueueError::UnknownGroup { .. })) | Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
            if Instant::now() > deadline {
                return Err(format!("{group} has not consumed all there is in {} s", DRAINED_WITHIN.as_secs()));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
    let mut dead = [const { BTreeSet::new() }; GROUPS.len()];
    for (group, dead) in GROUPS.iter().zip(&mut dead) {
        dead_letters(&topics, group, ledger, dead).await?;
    }
    ledger.close(&dead);
    tasks.shutdown().await;
    drop(apps);
    if ledger.confirmations() == 0 {
        return Err("nothing was confirmed in all lives: let them be longer".to_owned());
    }
    Ok(())
}

/// The offsets a group has rejected, as its dead letters say them; each once.
async fn dead_letters(
    topics: &TopicsClient,
    group: &str,
    ledger: &Ledger,
    dead: &mut BTreeSet<u64>,
) -> Result<(), String> {
    let mut from = 0;
    loop {
        let call = topics.dead_letters(TOPIC.to_owned(), group.to_owned(), Some(from), Some(1000));
        let letters = call.await.map_err(|e| e.to_string())?;
        let Some(last) = letters.last() else { return Ok(()) };
        from = last.offset + 1;
        for letter in letters {
            let offset = letter.headers.get("towline-dead-offset").and_then(|offset| offset.parse().ok());
            match offset {
                Some(offset) if dead.insert(offset) => {}
                offset => ledger.fault(format!("{group} has a dead letter twice, or without its offset: {offset:?}")),
            }
        }
    }
}
