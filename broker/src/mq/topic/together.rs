//! Messages that came one by one and are stored together: under one lock of the store, confirmed by one receipt.

use super::Topic;
use super::accept::{Incoming, place};
use super::awaited::Awaited;
use super::intake::Intake;
use crate::mq::shared::{Hold, Shared};
use crate::mq::{refusal, settings};
use crate::store::{self, Op, Placed, Publish, Tickets};
use parking_lot::MutexGuard;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use towline_service_api::builtin::{Confirmation, Durability, QueueError};

/// One message, and what whoever published it is known by.
#[derive(Debug)]
pub(crate) struct Coming<T> {
    pub(crate) topic: Arc<Topic>,
    pub(crate) message: Incoming,
    pub(crate) durability: Option<Durability>,
    pub(crate) whose: T,
}

/// A message that was not stored, and why.
type Refused<T> = (Coming<T>, QueueError);

/// Messages on their way to the disk, all to one durability. Dropped, they are stored all the same.
#[derive(Debug)]
pub(crate) struct Together<T> {
    /// Whose, the place of the topic in `topics`, and the place of the message in the topic.
    messages: Vec<(T, usize, Placed)>,
    topics: Vec<Arc<Topic>>,
    timestamp: u64,
    reached: store::Durability,
    receipt: Awaited,
    _hold: Hold,
}

impl<T> Together<T> {
    /// Stores these messages and leaves none, those of a topic in their order; each is stored or refused by itself. If
    /// `is_in_line`, nothing that comes behind one that finds no room is stored either.
    pub(crate) fn store(coming: &mut Vec<Coming<T>>, is_in_line: bool) -> (Vec<Self>, Vec<Refused<T>>) {
        let Some(shared) = coming.first().map(|first| first.topic.shared.clone()) else { return Default::default() };
        let mut refused = Vec::new();
        let mut classes: [(Hold, Vec<Coming<T>>); 3] = std::array::from_fn(|_| (Hold::none(&shared), Vec::new()));
        let count = coming.len();
        for coming in coming.drain(..) {
            let is_barred = is_in_line && !refused.is_empty();
            let outcome = if is_barred { Err(barred(&refused)) } else { coming.admit(&mut classes) };
            match outcome {
                Ok(class) => {
                    let of_class = &mut classes[class as usize].1;
                    // Most often they are all of one.
                    if of_class.is_empty() {
                        of_class.reserve(count);
                    }
                    of_class.push(coming);
                }
                Err(error) => refused.push((coming, error)),
            }
        }
        let classes =
            [store::Durability::Memory, store::Durability::Os, store::Durability::Disk].into_iter().zip(classes);
        let stored = classes.filter_map(|(class, (hold, coming))| {
            if coming.is_empty() { None } else { Self::append(&shared, class, coming, hold, is_in_line, &mut refused) }
        });
        let stored = stored.collect();
        (stored, refused)
    }

    fn append(
        shared: &Arc<Shared>,
        class: store::Durability,
        mut coming: Vec<Coming<T>>,
        hold: Hold,
        is_in_line: bool,
        refused: &mut Vec<Refused<T>>,
    ) -> Option<Self> {
        // Whoever locks several locks them in this order.
        coming.sort_by_key(|coming| coming.topic.id);
        let topics: Vec<_> = coming.chunk_by(|a, b| a.topic.id == b.topic.id).map(|of| of[0].topic.clone()).collect();
        let mut intakes: Vec<_> = topics.iter().map(Arriving::at).collect();
        let timestamp = shared.clock.now();
        let (mut kept, mut ops, mut at) = (Vec::with_capacity(coming.len()), Vec::with_capacity(coming.len()), 0);
        for mut coming in coming {
            while topics[at].id != coming.topic.id {
                at += 1;
            }
            let is_barred = is_in_line && !refused.is_empty();
            let room = if is_barred { Err(barred(refused)) } else { intakes[at].take_room(&coming.message) };
            match room {
                Ok(()) => {
                    let (content, dedup) = (std::mem::take(&mut coming.message.content), coming.message.dedup);
                    ops.push(Op::Publish(Publish { topic: coming.topic.id, content, dedup }));
                    kept.push((coming, at));
                }
                Err(error) => refused.push((coming, error)),
            }
        }
        if ops.is_empty() {
            return None;
        }
        let Tickets { placed, receipt } = shared.store.append_each(&ops, timestamp, class);
        let mut messages = Vec::with_capacity(kept.len());
        for (((mut coming, at), outcome), op) in kept.into_iter().zip(placed).zip(ops) {
            let Op::Publish(Publish { content, .. }) = op else { unreachable!("made above") };
            match outcome {
                Ok(Some(placed)) => {
                    intakes[at].stored(placed, content.len());
                    messages.push((coming.whose, at, placed));
                }
                Ok(None) => unreachable!("a message that is kept has a place"),
                Err(error) => {
                    // Whoever waits for room tries again with it.
                    coming.message.content = content;
                    let producer = coming.message.producer.clone();
                    let error = coming.topic.refused(error, producer);
                    refused.push((coming, error));
                }
            }
        }
        drop(intakes);
        shared.meters.published.increment(messages.len() as u64);
        let receipt = Awaited::new(receipt, topics.clone(), messages.len());
        Some(Self { messages, topics, timestamp, reached: class, receipt, _hold: hold })
    }

    /// Waits until all are as durable as asked.
    ///
    /// # Errors
    /// What the store says: what became of them is in doubt then.
    pub(crate) fn poll_reached(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), store::StoreError>> {
        Poll::Ready(ready!(Pin::new(&mut self.receipt).poll(cx)).map(drop))
    }

    /// What each is told, once that is known.
    pub(crate) fn told(
        self,
        outcome: Result<(), store::StoreError>,
    ) -> impl Iterator<Item = (T, Result<Confirmation, QueueError>)> {
        let Self { messages, topics, timestamp, reached, .. } = self;
        let durability = settings::shown(reached);
        messages.into_iter().map(move |(whose, at, placed)| {
            let name = &topics[at].name;
            let told = match &outcome {
                Ok(()) => {
                    let (offset, duplicate) = place(&placed);
                    Ok(Confirmation { topic: name.to_string(), offset, timestamp, durability, duplicate, due: None })
                }
                Err(error) => Err(refusal::of_store(name, error.clone())),
            };
            (whose, told)
        })
    }
}

impl<T> Coming<T> {
    /// Takes room for it in what waits for its durability, which is told.
    fn admit(&self, classes: &mut [(Hold, Vec<Self>); 3]) -> Result<store::Durability, QueueError> {
        let class = self.topic.admit(self.durability)?;
        classes[class as usize].0.more(self.message.content.len())?;
        Ok(class)
    }
}

/// Why what is behind the last one that was refused is refused too.
fn barred<T>(refused: &[Refused<T>]) -> QueueError {
    refused.last().expect("one was refused").1.clone()
}

/// A topic that is locked while messages come.
struct Arriving<'a> {
    topic: &'a Arc<Topic>,
    intake: MutexGuard<'a, Intake>,
    /// Messages and bytes that have room.
    coming: (u64, u64),
    /// The first one that was stored, how many were, and their bytes.
    stored: Option<(u64, u64, u64)>,
}

impl<'a> Arriving<'a> {
    fn at(topic: &'a Arc<Topic>) -> Self {
        Self { topic, intake: topic.intake.lock(), coming: (0, 0), stored: None }
    }

    fn take_room(&mut self, message: &Incoming) -> Result<(), QueueError> {
        let (messages, bytes) = (self.coming.0 + 1, self.coming.1 + message.content.len() as u64);
        self.topic.check_depth(&mut self.intake, messages, bytes)?;
        self.coming = (messages, bytes);
        Ok(())
    }

    fn stored(&mut self, placed: Placed, bytes: usize) {
        if let Placed::At(offset) = placed {
            let (_, count, total) = self.stored.get_or_insert((offset, 0, 0));
            *count += 1;
            *total += bytes as u64;
        }
    }
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        if let Some((first, messages, bytes)) = self.stored {
            self.topic.add(&mut self.intake, first, messages, bytes);
        }
    }
}
