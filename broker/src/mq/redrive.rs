//! Dead letters, looked at and sent back to where they came from.

use super::dead_letter;
use super::dispatcher::Dispatcher;
use super::message::Content;
use super::queues::Queues;
use super::topic::Topic;
use super::{names, refusal};
use crate::store::{Limits, Offset, Op, Stored};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use towline_service_api::builtin::{ConsumeOptions, Delivery, QueueError, Start};

/// The group of a dead-letter topic that has settled what was sent back.
const GROUP: &str = "redrive";
/// Read at once.
const PAGE: Limits = Limits { messages: 256, bytes: 1 << 20 };
/// Messages on their way back.
const ON_THEIR_WAY: usize = 256;

impl Queues {
    /// Dead letters of a group that were not sent back, from an offset on.
    ///
    /// # Errors
    /// `unknown-topic`, `unknown-group`, or what the store says.
    pub(crate) async fn dead(
        &self,
        topic: &str,
        group: &str,
        from: Offset,
        most: usize,
        bytes: usize,
    ) -> Result<Vec<Delivery>, QueueError> {
        self.topic(topic)?.group(group)?.buried().await;
        let Ok(dead) = self.topic(&names::dead_letter(topic, group)) else { return Ok(Vec::new()) };
        let sent_back = dead.group(GROUP).ok();
        let (mut found, mut size, mut from) = (Vec::new(), 0, from);
        loop {
            let page = dead.read_page(from, PAGE).await?;
            if page.messages.is_empty() && page.next <= from {
                return Ok(found);
            }
            from = page.next;
            for stored in page.messages {
                if sent_back.as_ref().is_some_and(|group| !group.is_open(stored.offset)) {
                    continue;
                }
                size += stored.content.len();
                found.push(Content::delivery(&stored.content, &dead.name, stored.offset, stored.timestamp));
                if found.len() >= most || size >= bytes {
                    return Ok(found);
                }
            }
        }
    }

    /// Publishes dead letters again where they came from: those at `offsets`, or all there are now. How many.
    ///
    /// # Errors
    /// `unknown-topic`, `unknown-group`, `invalid-offset` if one of the offsets is no dead letter, or what the store says.
    pub(crate) async fn redrive(
        &self,
        topic: &str,
        group: &str,
        offsets: Option<Vec<Offset>>,
        per_second: Option<u32>,
    ) -> Result<u64, QueueError> {
        let origin = self.topic(topic)?;
        origin.group(group)?.buried().await;
        let Ok(dead) = self.topic(&names::dead_letter(topic, group)) else { return Ok(0) };
        let from_the_start = ConsumeOptions { start: Some(Start::Earliest), ..ConsumeOptions::default() };
        let settled = dead.ensure_group(GROUP, &from_the_start).await?;
        let mut wanted = offsets.map(BTreeSet::from_iter);
        let (head, mut from, mut moved) = (dead.head(), settled.oldest(), 0);
        let mut pace = per_second.filter(|rate| *rate > 0).map(|rate| {
            let mut pace = tokio::time::interval(Duration::from_secs(1) / rate);
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            pace
        });
        let mut receipts = std::collections::VecDeque::new();
        while from < head && wanted.as_ref().is_none_or(|wanted| !wanted.is_empty()) {
            let page = dead.read_page(from, PAGE).await?;
            if page.messages.is_empty() && page.next <= from {
                break;
            }
            from = page.next;
            for stored in page.messages.iter().filter(|stored| stored.offset < head) {
                let is_wanted = wanted.as_mut().is_none_or(|wanted| wanted.remove(&stored.offset));
                if !is_wanted {
                    leave_out(&settled, stored)?;
                    continue;
                }
                if let Some(pace) = &mut pace {
                    pace.tick().await;
                }
                if let Some(receipt) = send_back(&origin, &dead, &settled, stored)? {
                    receipts.push_back(receipt);
                    moved += 1;
                }
                if receipts.len() >= ON_THEIR_WAY {
                    confirm(&origin, receipts.pop_front()).await?;
                }
            }
        }
        while !receipts.is_empty() {
            confirm(&origin, receipts.pop_front()).await?;
        }
        match wanted.and_then(|wanted| wanted.first().copied()) {
            Some(offset) => {
                let (topic, why) = (dead.name.to_string(), "no dead letter is there".to_owned());
                Err(QueueError::InvalidOffset { topic, offset, why })
            }
            None => Ok(moved),
        }
    }
}

fn leave_out(settled: &Arc<Dispatcher>, stored: &Stored) -> Result<(), QueueError> {
    if settled.leave_out(stored.offset) {
        return Ok(());
    }
    let why = "too many dead letters before those that are asked for: send older ones back first".to_owned();
    Err(QueueError::Rpc(towline_service_api::RpcError::rejected(why, None)))
}

/// In one batch: there again, and here no more.
fn send_back(
    origin: &Topic,
    dead: &Topic,
    settled: &Arc<Dispatcher>,
    stored: &Stored,
) -> Result<Option<crate::store::Receipt>, QueueError> {
    let body = || Content { body: stored.content.clone(), ..Content::default() };
    let content = dead_letter::revive(Content::decode(&stored.content).unwrap_or_else(body));
    let sent = origin.append_with(&content, |op: Op| settled.settle_with(stored.offset, op));
    sent.map_err(|error| refusal::of_store(&dead.name, error))
}

async fn confirm(origin: &Topic, receipt: Option<crate::store::Receipt>) -> Result<(), QueueError> {
    let Some(receipt) = receipt else { return Ok(()) };
    receipt.await.map_err(|error| refusal::of_store(&origin.name, error))?;
    origin.published();
    Ok(())
}
