//! Messages that came one by one and are stored together: under one lock of the store, confirmed by one receipt.

use super::Topic;
use super::accept::{Incoming, place};
use super::awaited::Awaited;
use super::intake::Intake;
use super::stored::Stored;
use crate::mq::shared::{COST, Hold, Shared};
use crate::mq::{refusal, settings};
use crate::store::{self, Op, Placed, Publish, Tickets};
use crate::touch::touch;
use parking_lot::MutexGuard;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use towline_service_api::builtin::{Durability, QueueError};

/// One message, and what whoever published it is known by.
#[derive(Debug)]
pub(crate) struct Coming<T> {
    topic: Arc<Topic>,
    message: Incoming,
    asked: Option<Durability>,
    /// What it is stored as, once that is known.
    class: store::Durability,
    whose: T,
}

impl<T> Coming<T> {
    pub(crate) fn new(topic: Arc<Topic>, message: Incoming, asked: Option<Durability>, whose: T) -> Self {
        Self { topic, message, asked, class: store::Durability::default(), whose }
    }

    /// Bytes it takes.
    pub(crate) fn weight(&self) -> usize {
        self.message.content.len() + COST
    }

    pub(crate) fn whose(self) -> T {
        self.whose
    }
}

/// Memory for what is stored; empty.
#[derive(Debug, Default)]
pub(crate) struct Spare(Vec<Op>);

impl Spare {
    /// Keeps room for so many messages.
    pub(crate) fn shrink_to(&mut self, messages: usize) {
        self.0.shrink_to(messages);
    }
}

/// A message that was not stored, and why.
type Refused<T> = (Coming<T>, QueueError);

/// Messages on their way to the disk, all to one durability. Dropped, they are stored all the same.
#[derive(Debug)]
pub(crate) struct Together<T> {
    /// Whose, the place of the topic in those of the receipt, and the place of the message in the topic.
    messages: Vec<(T, usize, Placed)>,
    timestamp: u64,
    reached: store::Durability,
    receipt: Awaited,
    _hold: Hold,
}

impl<T> Together<T> {
    /// Stores these messages and leaves none, those of a topic in their order; each is stored or refused by itself. If
    /// `is_in_line`, nothing that comes behind one that finds no room is stored either.
    pub(crate) fn store(
        coming: &mut Vec<Coming<T>>,
        spare: &mut Spare,
        is_in_line: bool,
    ) -> (Vec<Self>, Vec<Refused<T>>) {
        let Some(shared) = coming.first().map(|first| first.topic.shared.clone()) else { return Default::default() };
        touch(&*coming, |coming| coming.topic.touched_to_store());
        let mut refused = Vec::new();
        let mut holds: [Hold; 3] = std::array::from_fn(|_| Hold::none(&shared));
        take_out(coming, is_in_line, &mut refused, |coming| {
            coming.class = coming.topic.admit(coming.asked)?;
            holds[coming.class as usize].more(coming.message.content.len())
        });
        // Whoever locks several topics locks them in this order.
        coming.sort_by_key(|coming| coming.topic.id);
        for of_topic in coming.chunk_by_mut(|a, b| a.topic.id == b.topic.id) {
            // They stay in their order: what was asked of one of them is given to all.
            let class = of_topic.iter().map(|coming| coming.class).max().unwrap_or_default();
            for coming in of_topic.iter_mut().filter(|coming| coming.class != class) {
                let bytes = holds[coming.class as usize].part(coming.message.content.len());
                holds[class as usize].join(bytes);
                coming.class = class;
            }
        }
        coming.sort_by_key(|coming| coming.class);
        let mut stored = Vec::new();
        while let Some(class) = coming.first().map(|first| first.class) {
            // Most often they are all of one.
            let others = coming.split_off(coming.partition_point(|coming| coming.class == class));
            let hold = std::mem::replace(&mut holds[class as usize], Hold::none(&shared));
            stored.extend(Self::append(&shared, class, coming, &mut spare.0, hold, is_in_line, &mut refused));
            coming.extend(others);
        }
        (stored, refused)
    }

    fn append(
        shared: &Arc<Shared>,
        class: store::Durability,
        coming: &mut Vec<Coming<T>>,
        ops: &mut Vec<Op>,
        hold: Hold,
        is_in_line: bool,
        refused: &mut Vec<Refused<T>>,
    ) -> Option<Self> {
        let topics: Vec<_> = coming.chunk_by(|a, b| a.topic.id == b.topic.id).map(|of| of[0].topic.clone()).collect();
        let mut intakes: Vec<_> = topics.iter().map(Arriving::at).collect();
        let place_of = |coming: &Coming<T>, mut at: usize| {
            while topics[at].id != coming.topic.id {
                at += 1;
            }
            at
        };
        let timestamp = shared.clock.now();
        let mut at = 0;
        take_out(coming, is_in_line, refused, |coming| {
            at = place_of(coming, at);
            intakes[at].take_room(&coming.message)?;
            let (content, dedup) = (std::mem::take(&mut coming.message.content), coming.message.dedup());
            ops.push(Op::Publish(Publish { topic: coming.topic.id, content, dedup }));
            Ok(())
        });
        if ops.is_empty() {
            return None;
        }
        let Tickets { placed, receipt } = shared.store.append_each(ops, timestamp, class);
        let mut messages = Vec::with_capacity(coming.len());
        let mut at = 0;
        for ((mut coming, outcome), op) in coming.drain(..).zip(placed).zip(ops.drain(..)) {
            let Op::Publish(Publish { content, .. }) = op else { unreachable!("made above") };
            match outcome {
                Ok(Some(placed)) => {
                    at = place_of(&coming, at);
                    intakes[at].stored(placed, content.len());
                    messages.push((coming.whose, at, placed));
                }
                Ok(None) => unreachable!("a message that is kept has a place"),
                Err(error) => {
                    // Whoever waits for room tries again with it.
                    coming.message.content = content;
                    let producer = coming.message.producer();
                    let error = coming.topic.refused(error, producer);
                    refused.push((coming, error));
                }
            }
        }
        drop(intakes);
        shared.store.commit();
        shared.meters.published.increment(messages.len() as u64);
        let receipt = Awaited::new(receipt, topics, messages.len());
        Some(Self { messages, timestamp, reached: class, receipt, _hold: hold })
    }

    /// Waits until all are as durable as asked.
    ///
    /// # Errors
    /// What the store says: what became of them is in doubt then.
    pub(crate) fn poll_reached(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), store::StoreError>> {
        Poll::Ready(ready!(Pin::new(&mut self.receipt).poll(cx)).map(drop))
    }

    /// Tells each what became of it, once that is known.
    pub(crate) fn tell(
        self,
        outcome: Result<(), store::StoreError>,
        mut tell: impl FnMut(T, Result<Stored<'_>, QueueError>),
    ) {
        let Self { messages, receipt, timestamp, reached, .. } = self;
        let durability = settings::shown(reached);
        for (whose, at, placed) in messages {
            let topic = &*receipt.topics()[at].name;
            let told = match &outcome {
                Ok(()) => {
                    let (offset, duplicate) = place(&placed);
                    Ok(Stored { topic, offset, timestamp, durability, duplicate })
                }
                Err(error) => Err(refusal::of_store(topic, error.clone())),
            };
            tell(whose, told);
        }
    }
}

/// Takes those out that cannot be taken; and, if they are in line, those behind them.
fn take_out<T>(
    coming: &mut Vec<Coming<T>>,
    is_in_line: bool,
    refused: &mut Vec<Refused<T>>,
    mut take: impl FnMut(&mut Coming<T>) -> Result<(), QueueError>,
) {
    let mut errors: Vec<QueueError> = Vec::new();
    let before = refused.last().map(|(_, error)| error).filter(|_| is_in_line);
    let out = coming.extract_if(.., |coming| {
        let barred = if is_in_line { errors.last().or(before) } else { None };
        let outcome = barred.map_or_else(|| take(coming), |error| Err(error.clone()));
        let is_out = outcome.is_err();
        errors.extend(outcome.err());
        is_out
    });
    let out: Vec<_> = out.collect();
    refused.extend(out.into_iter().zip(errors));
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
