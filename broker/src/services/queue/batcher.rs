//! Calls of `publish` that came together, stored together.

use crate::link::{Answers, Ticket};
use crate::mq::{Coming, Content, Folder, Incoming, Queues, Spare, Stored, Together, Topic};
use bytes::BytesMut;
use parking_lot::Mutex;
use rsocket::ErrorCode;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::runtime::Handle;
use towline_service_api::__private::Later;
use towline_service_api::builtin::{Confirmation, Durability, Message, QueueError};
use towline_service_api::{RpcError, ServiceError};

/// Calls for which memory is kept while nothing is published.
const KEPT: usize = 256;
/// Bytes that wait to be stored, and what they cost beside, above which calls come over the link: there what waits counts
/// against the relay's budget.
const WAITING: usize = 8 << 20;

/// Whoever hears of what became of one message.
pub(super) enum Done {
    /// A call over the desk.
    Ticket(Ticket),
    Asked(Asked),
}

/// Whoever came another way.
pub(super) enum Asked {
    /// A call over the link.
    Call(Later),
    /// Anybody else.
    Other(Box<dyn FnOnce(Result<Confirmation, QueueError>) + Send>),
}

impl Done {
    fn stored(self, outcome: Result<Stored<'_>, QueueError>, answers: &mut Answers) {
        match (self, outcome) {
            (Self::Ticket(ticket), Ok(stored)) => answers.payload(ticket, |out| stored.write(out)),
            (Self::Ticket(ticket), Err(error)) => {
                let RpcError { code, message, .. } = error.into_rpc();
                answers.fail(ticket, ErrorCode(code), &message);
            }
            (Self::Asked(Asked::Call(later)), outcome) => later.answer_as(outcome, Stored::encode),
            (Self::Asked(Asked::Other(tell)), outcome) => tell(outcome.map(Into::into)),
        }
    }
}

impl Asked {
    fn tell(self, outcome: Result<Confirmation, QueueError>) {
        match self {
            Self::Call(later) => later.answer(outcome),
            Self::Other(tell) => tell(outcome),
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
        asked: Asked,
    ) {
        let topic = match topic {
            Ok(topic) => topic,
            Err(error) => return asked.tell(Err(error)),
        };
        let producer = message.producer.clone().zip(message.sequence);
        match topic.read(message) {
            Ok(message) if message.due().is_some() => {
                let later = schedule(self.folder.queues().cloned(), topic, message);
                tokio::spawn(async move { asked.tell(later.await) });
            }
            Ok(message) => self.take(Coming::new(topic, message, durability, Done::Asked(asked))),
            Err(error) => {
                if let Some((producer, sequence)) = producer {
                    self.flush();
                    topic.skip(&producer, sequence);
                }
                asked.tell(Err(error));
            }
        }
    }

    /// Stores a message that was read and is due.
    fn take(self: &Arc<Self>, coming: Coming<Done>) {
        let mut waiting = self.waiting.lock();
        waiting.push(coming);
        let is_new = !std::mem::replace(&mut waiting.is_due, true);
        drop(waiting);
        if is_new {
            self.wake();
        }
    }

    /// Takes calls over the desk, by their topics and bodies, up to one that is refused, or for which there is no room.
    /// Returns how many.
    pub(super) fn take_if_room(
        self: &Arc<Self>,
        calls: &[(&str, &[u8])],
        ticket: &mut dyn FnMut(usize) -> Ticket,
    ) -> usize {
        let topics = self.folder.topics(calls.iter().map(|(topic, _)| *topic));
        let mut buffer = BytesMut::with_capacity(calls.iter().map(|(_, body)| Content::body_len(body.len())).sum());
        let coming = topics.into_iter().zip(calls).enumerate().map_while(|(nth, (topic, (_, body)))| {
            let message = topic.read_body(body, &mut buffer).ok()?;
            Some((nth, topic, message))
        });
        let coming: Vec<_> = coming.collect();
        let mut waiting = self.waiting.lock();
        let mut taken = 0;
        for (nth, topic, message) in coming {
            if waiting.bytes > WAITING {
                break;
            }
            waiting.push(Coming::new(topic, message, None, Done::Ticket(ticket(nth))));
            taken += 1;
        }
        let is_new = taken > 0 && !std::mem::replace(&mut waiting.is_due, true);
        drop(waiting);
        if taken > 0 {
            self.folder.meters().direct.increment(taken as u64);
        }
        if is_new {
            self.wake();
        }
        taken
    }

    /// Lets what waits be stored.
    fn wake(self: &Arc<Self>) {
        let batcher = self.clone();
        self.runtime.spawn(async move { batcher.flush() });
    }

    /// Stores what waits: what is published now is behind it.
    pub(super) fn flush(&self) {
        let mut turn = self.turn.lock();
        {
            let mut waiting = self.waiting.lock();
            std::mem::swap(&mut turn.waiting, &mut waiting.calls);
            (waiting.bytes, waiting.is_due) = (0, false);
        }
        let Turn { waiting, spare } = &mut *turn;
        let (stored, refused) = Together::store(waiting, spare, false);
        waiting.shrink_to(KEPT);
        spare.shrink_to(KEPT);
        drop(turn);
        let mut answers = Answers::default();
        stored.into_iter().for_each(|together| tell(together, &mut answers));
        refused.into_iter().for_each(|(coming, error)| coming.whose().stored(Err(error), &mut answers));
    }
}

/// Tells what became of messages once that is known: most often it is.
fn tell(mut together: Together<Done>, answers: &mut Answers) {
    if let Poll::Ready(outcome) = together.poll_reached(&mut Context::from_waker(Waker::noop())) {
        return together.tell(outcome, |done, told| done.stored(told, answers));
    }
    tokio::spawn(async move {
        let outcome = poll_fn(|cx| together.poll_reached(cx)).await;
        let mut answers = Answers::default();
        together.tell(outcome, |done, told| done.stored(told, &mut answers));
    });
}

impl Waiting {
    fn push(&mut self, coming: Coming<Done>) {
        self.bytes += coming.weight();
        self.calls.push(coming);
    }
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
    use crate::link::{Begin, Link, Step, Touched, tests_support};
    use crate::metrics::{QueueMeters, recorder};
    use rsocket::frame::PayloadParts;
    use rsocket::{Frame, FrameType, StreamId};
    use std::path::PathBuf;
    use towline_service_api::builtin::TopicConfig;

    /// Nobody stores what waits while the test does not wait.
    struct Run {
        directory: PathBuf,
        folder: Arc<Folder>,
        link: Arc<Link>,
        next: StreamId,
    }

    impl Run {
        async fn new(name: &str) -> Self {
            let directory = std::env::temp_dir().join(format!("towline-batcher-{name}-{}", std::process::id()));
            let data = Data { directory: directory.clone(), ..Data::default() };
            let meters = Arc::new(QueueMeters::new(&recorder()));
            let folder = Arc::new(Folder::new(&data, 1 << 30, meters, Handle::current()));
            let queues = folder.made().await.expect("a folder is made").clone();
            let config = TopicConfig { max_message_bytes: Some(1 << 20), ..TopicConfig::default() };
            queues.create("orders", &config).await.expect("it is made");
            Self { directory, folder, link: tests_support::link(1), next: 1 }
        }

        fn batcher(&self) -> Arc<Batcher> {
            Arc::new(Batcher::new(self.folder.clone(), Handle::current()))
        }

        /// How many of these calls are taken; each of their streams is cancelled at once: that bounds nothing.
        fn take(&mut self, batcher: &Arc<Batcher>, calls: &[(&str, &[u8])]) -> usize {
            let Self { link, next, .. } = self;
            batcher.take_if_room(calls, &mut |_| {
                let stream = *next;
                *next += 2;
                let frame = Frame::request(FrameType::RequestResponse, stream, 0, 0, PayloadParts::default());
                let step = Step::read(frame.view().bytes());
                let begun = link.with(&mut Touched::default(), |state| {
                    let begun = state.begin(stream, step);
                    drop(state.depart(stream, &mut Step::read(Frame::cancel(stream).view().bytes())));
                    begun
                });
                let Begin::Started { serial, .. } = begun else { panic!("{begun:?}") };
                Ticket::new(link.clone(), stream, serial)
            })
        }

        async fn end(self) {
            self.folder.close().await;
            let _ = std::fs::remove_dir_all(self.directory);
        }
    }

    #[tokio::test]
    async fn what_waits_to_be_looked_at_is_bounded_by_its_bytes_and_by_its_number() {
        let mut run = Run::new("bounds").await;
        for (body, most) in [(vec![7; 256 << 10], 33), (Vec::new(), WAITING / 256 + 1)] {
            for together in [1, 60] {
                let batcher = run.batcher();
                let calls = vec![("orders", &body[..]); together];
                let mut taken = 0;
                while let full @ 1.. = run.take(&batcher, &calls) {
                    taken += full;
                    assert!(taken <= most, "{taken} of {} bytes", body.len());
                }
                assert!(taken > most / 2, "{taken} of {} bytes", body.len());
                batcher.flush();
                assert_eq!(run.take(&batcher, &[("orders", b"x")]), 1, "once they are stored there is room again");
                batcher.flush();
            }
        }
        run.end().await;
    }

    #[tokio::test]
    async fn nothing_is_taken_behind_what_is_refused() {
        let mut run = Run::new("refused").await;
        let large = vec![7; 2 << 20];
        for refused in [("nowhere", &b"x"[..]), ("towline.own", b"x"), ("orders", &large)] {
            let batcher = run.batcher();
            let calls = [("orders", &b"1"[..]), ("orders", b"2"), refused, ("orders", b"4")];
            assert_eq!(run.take(&batcher, &calls), 2, "{}", refused.0);
            assert_eq!(run.take(&batcher, &calls[2..]), 0, "{}", refused.0);
            batcher.flush();
        }
        let topic = run.folder.topic("orders").expect("it is there");
        assert_eq!(topic.head(), 6);
        run.end().await;
    }
}
