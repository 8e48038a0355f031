//! Calls of `publish` that came together, stored together.

use crate::link::{Answers, Ticket};
use crate::mq::{Coming, Folder, Incoming, Queues, Spare, Stored, Together, Topic};
use parking_lot::Mutex;
use rsocket::ErrorCode;
use std::future::poll_fn;
use std::sync::Arc;
use tokio::runtime::Handle;
use towline_service_api::__private::Later;
use towline_service_api::builtin::{Confirmation, Durability, Message, QueueError};
use towline_service_api::{Encoding, RpcError, ServiceError};

/// Calls for which memory is kept while nothing is published.
const KEPT: usize = 256;
/// Bytes that wait to be stored, and what they cost beside, above which calls come over the link: there what waits counts
/// against the relay's budget.
const WAITING: usize = 8 << 20;

/// Whoever hears of what became of one message.
pub(super) enum Done {
    /// A call over the desk.
    Ticket(Ticket),
    /// A call over the link.
    Call(Later),
    /// Anybody else.
    Other(Box<dyn FnOnce(Result<Confirmation, QueueError>) + Send>),
}

impl Done {
    fn stored(self, outcome: Result<Stored<'_>, QueueError>, answers: &mut Answers) {
        match self {
            Self::Ticket(ticket) => answer(ticket, outcome, Stored::write, answers),
            Self::Call(later) => later.answer_as(outcome, Stored::encode),
            Self::Other(tell) => tell(outcome.map(Into::into)),
        }
    }

    fn tell(self, outcome: Result<Confirmation, QueueError>) {
        match self {
            Self::Ticket(ticket) => {
                let write = |told: &Confirmation, out: &mut Vec<u8>| {
                    // It has a form.
                    out.extend_from_slice(&Encoding::MessagePack.encode(told).unwrap_or_default());
                };
                answer(ticket, outcome, write, &mut Answers::default());
            }
            Self::Call(later) => later.answer(outcome),
            Self::Other(tell) => tell(outcome),
        }
    }

    pub(super) fn refuse(self, error: QueueError) {
        self.stored(Err(error), &mut Answers::default());
    }
}

fn answer<T>(
    ticket: Ticket,
    outcome: Result<T, QueueError>,
    write: impl FnOnce(&T, &mut Vec<u8>),
    answers: &mut Answers,
) {
    match outcome {
        Ok(value) => answers.payload(ticket, |out| write(&value, out)),
        Err(error) => {
            let RpcError { code, message, .. } = error.into_rpc();
            answers.fail(ticket, ErrorCode(code), &message);
        }
    }
}

/// See the module.
///
/// What came with one read of a connection is stored together, with what others brought meanwhile, and before whatever else is
/// published.
pub(super) struct Batcher {
    folder: Arc<Folder>,
    /// Where what waits is stored.
    runtime: Handle,
    waiting: Mutex<Waiting>,
    /// Held by whoever stores what waits: the order of the calls is that of the messages.
    turn: Mutex<Turn>,
}

#[derive(Default)]
struct Waiting {
    calls: Vec<Coming<Done>>,
    /// Of their messages.
    bytes: usize,
    /// Somebody will store them.
    is_due: bool,
}

/// Memory for what waits next, and for what is stored; all of it empty.
#[derive(Default)]
struct Turn {
    waiting: Vec<Coming<Done>>,
    spare: Spare,
}

impl Batcher {
    pub(super) fn new(folder: Arc<Folder>, runtime: Handle) -> Self {
        Self { folder, runtime, waiting: Mutex::default(), turn: Mutex::default() }
    }

    /// Stores a message, and tells what became of it.
    pub(super) fn publish(
        self: &Arc<Self>,
        topic: Result<Arc<Topic>, QueueError>,
        message: Message,
        durability: Option<Durability>,
        done: Done,
    ) {
        let topic = match topic {
            Ok(topic) => topic,
            Err(error) => return done.refuse(error),
        };
        let producer = message.producer.clone().zip(message.sequence);
        match topic.read(message) {
            Ok(message) if message.due().is_some() => {
                let later = schedule(self.folder.queues().cloned(), topic, message);
                tokio::spawn(async move { done.tell(later.await) });
            }
            Ok(message) => self.take(Coming::new(topic, message, durability, done)),
            Err(error) => {
                if let Some((producer, sequence)) = producer {
                    self.flush();
                    topic.skip(&producer, sequence);
                }
                done.refuse(error);
            }
        }
    }

    /// Stores a message that was read and is due.
    fn take(self: &Arc<Self>, coming: Coming<Done>) {
        self.waiting.lock().push(coming);
        self.wake();
    }

    /// The same for a call over the desk, once [`Self::wake`] is called.
    ///
    /// # Errors
    /// Too much waits already.
    pub(super) fn take_if_room(&self, topic: Arc<Topic>, message: Incoming, ticket: Ticket) -> Result<(), Ticket> {
        let mut waiting = self.waiting.lock();
        if waiting.bytes > WAITING {
            return Err(ticket);
        }
        waiting.push(Coming::new(topic, message, None, Done::Ticket(ticket)));
        drop(waiting);
        self.folder.meters().direct.increment(1);
        Ok(())
    }

    /// Lets what waits be stored.
    pub(super) fn wake(self: &Arc<Self>) {
        let mut waiting = self.waiting.lock();
        let is_due = std::mem::replace(&mut waiting.is_due, true);
        drop(waiting);
        if !is_due {
            let batcher = self.clone();
            self.runtime.spawn(async move { batcher.flush() });
        }
    }

    /// The topic of a name: most often that of the message before.
    pub(super) fn topic(&self, name: &str) -> Result<Arc<Topic>, QueueError> {
        let last = self.waiting.lock().calls.last().map(Coming::topic).filter(|topic| *topic.name == *name).cloned();
        match last {
            Some(topic) => Ok(topic),
            None => self.folder.queues_for(name)?.topic(name),
        }
    }

    /// Stores what waits: what is published now is behind it.
    pub(super) fn flush(&self) {
        let mut turn = self.turn.lock();
        {
            let mut waiting = self.waiting.lock();
            std::mem::swap(&mut turn.waiting, &mut waiting.calls);
            (waiting.bytes, waiting.is_due) = (0, false);
        }
        let refused = store(&mut turn);
        turn.waiting.shrink_to(KEPT);
        turn.spare.shrink_to(KEPT);
        drop(turn);
        let mut answers = Answers::default();
        refused.into_iter().for_each(|(coming, error)| coming.whose().stored(Err(error), &mut answers));
    }
}

impl Waiting {
    fn push(&mut self, coming: Coming<Done>) {
        self.bytes += coming.weight();
        self.calls.push(coming);
    }
}

/// Stores what is in turn; what is not taken comes back.
fn store(turn: &mut Turn) -> Vec<(Coming<Done>, QueueError)> {
    let (stored, refused) = Together::store(&mut turn.waiting, &mut turn.spare, false);
    for mut together in stored {
        tokio::spawn(async move {
            let outcome = poll_fn(|cx| together.poll_reached(cx)).await;
            let mut answers = Answers::default();
            together.tell(outcome, |done, told| done.stored(told, &mut answers));
        });
    }
    refused
}

/// Keeps a message until it is due.
pub(super) async fn schedule(
    queues: Option<Arc<Queues>>,
    topic: Arc<Topic>,
    message: Incoming,
) -> Result<Confirmation, QueueError> {
    let gone = || QueueError::UnknownTopic { topic: topic.name.to_string() };
    let due = message.due().unwrap_or_default();
    queues.ok_or_else(gone)?.schedule(&topic, message, due).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Data;
    use crate::link::{Begin, Step, Touched, tests_support};
    use crate::metrics::{QueueMeters, recorder};
    use rsocket::frame::PayloadParts;
    use rsocket::{Frame, FrameType};
    use towline_service_api::builtin::TopicConfig;

    #[tokio::test]
    async fn what_waits_to_be_looked_at_is_bounded_by_its_bytes_and_by_its_number() {
        let directory = std::env::temp_dir().join(format!("towline-batcher-{}", std::process::id()));
        let data = Data { directory: directory.clone(), ..Data::default() };
        let meters = Arc::new(QueueMeters::new(&recorder()));
        let folder = Arc::new(Folder::new(&data, 1 << 30, meters, Handle::current()));
        let queues = folder.made().await.expect("a folder is made").clone();
        let topic = queues.create("orders", &TopicConfig::default()).await.expect("it is made");
        let link = tests_support::link(1);
        let mut streams = (0..).map(|nth| 2 * nth + 1);
        let mut take = |batcher: &Batcher, body: &[u8]| {
            let stream = streams.next().expect("there is another one");
            let frame = Frame::request(FrameType::RequestResponse, stream, 0, 0, PayloadParts::default());
            let step = Step::read(frame.view().bytes());
            let begun = link.with(&mut Touched::default(), |state| {
                let begun = state.begin(stream, step);
                // Taken back at once: that bounds nothing.
                drop(state.depart(stream, &mut Step::read(Frame::cancel(stream).view().bytes())));
                begun
            });
            let Begin::Started { serial, .. } = begun else { panic!("{begun:?}") };
            let message = topic.read_body(body).expect("it is small");
            let taken = batcher.take_if_room(topic.clone(), message, Ticket::new(link.clone(), stream, serial));
            taken.map_err(Ticket::give_back).is_ok()
        };
        for (body, most) in [(vec![7; 256 << 10], 33), (Vec::new(), WAITING / 256 + 1)] {
            // Nobody stores what waits, as nobody is woken.
            let batcher = Batcher::new(folder.clone(), Handle::current());
            let taken = (0..=most).take_while(|_| take(&batcher, &body)).count();
            assert!(taken <= most && taken > most / 2, "{taken} of {} bytes", body.len());
            batcher.flush();
            assert!(take(&batcher, b"x"), "once they are stored there is room again");
            batcher.flush();
        }
        queues.close().await;
        let _ = std::fs::remove_dir_all(directory);
    }
}
