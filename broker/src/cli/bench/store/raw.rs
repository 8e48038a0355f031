//! The yardstick: what the disk gives to one who does nothing but write all that has come, sync it, and answer.

use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::load::Target;
use super::{Failure, shape::Shape};
use crate::cli::bench::preallocated::Preallocated;

/// Bytes that are written at once, at most.
const MOST: usize = 16 << 20;
/// A record has at least so much beside what is sent: its length and a checksum, a topic, an offset, a time.
const HEADER: usize = 40;

struct Record {
    content: Bytes,
    answer: oneshot::Sender<()>,
}

/// The thread and the way to it.
#[derive(Debug)]
pub(super) struct Raw {
    records: Option<SyncSender<Record>>,
    thread: Option<JoinHandle<()>>,
    content: Bytes,
}

impl Raw {
    /// Makes the files, full of zeros that are on the disk.
    pub(super) fn start(folder: &Path, shape: Shape) -> Result<Self, Failure> {
        let files = Preallocated::make(folder)?;
        let (records, taken) = sync_channel(shape.tasks * shape.in_flight);
        let thread = std::thread::spawn(move || serve(files, &taken));
        Ok(Self { records: Some(records), thread: Some(thread), content: vec![7; shape.size].into() })
    }
}

impl Target for Raw {
    type Answer = Answer;

    fn send(&self) -> Result<Answer, Failure> {
        let (answer, answered) = oneshot::channel();
        // As many fit as are ever on their way: it never waits.
        let sent = self.records.as_ref().map(|records| records.send(Record { content: self.content.clone(), answer }));
        match sent {
            Some(Ok(())) => Ok(Answer(answered)),
            _ => Err(Failure::new("the yardstick has ended: its disk has failed")),
        }
    }
}

#[derive(Debug)]
pub(super) struct Answer(oneshot::Receiver<()>);

impl Future for Answer {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(outcome.map_err(|_| Failure::new("the yardstick has ended: its disk has failed")))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.records = None;
        if let Some(thread) = self.thread.take() {
            // It has said why, if it panicked.
            let _ = thread.join();
        }
    }
}

fn serve(mut files: Preallocated, taken: &Receiver<Record>) {
    let (mut bytes, mut answers) = (Vec::with_capacity(MOST), Vec::new());
    while let Ok(first) = taken.recv() {
        let mut next = Some(first);
        while let Some(Record { content, answer }) = next {
            bytes.extend_from_slice(&[0; HEADER]);
            bytes.extend_from_slice(&content);
            answers.push(answer);
            next = (bytes.len() + content.len() < MOST).then(|| taken.try_recv().ok()).flatten();
        }
        if let Err(error) = files.append(&bytes, true) {
            // Who waits is told by its answer that never comes.
            eprintln!("towline bench: the yardstick cannot write: {error}");
            return;
        }
        bytes.clear();
        // Who has gone does not want to know.
        answers.drain(..).for_each(|answer| {
            // Who has gone does not want to know.
            let _ = answer.send(());
        });
    }
}
