//! The group-commit yardstick: frames in, all that has come appended by one write and one sync, each answered.
//!
//! ```text
//!   a task for each connection: read, append to the batch ---+
//!                                                            v
//!   the disk's thread: take the batch, write, sync, write every connection's answers
//! ```
//! It takes what the thin client sends to our broker, and knows nothing of it but where a frame ends.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use clap::Args;
use tokio::net::TcpStream;

use super::Level;
use super::ours::{REQUEST_CHANNEL, delivery};
use crate::cli::bench::Failure;
use crate::cli::bench::children::{self, Child};
use crate::cli::bench::preallocated::Preallocated;
use crate::cli::bench::requests::{REQUEST_N, put_payload, put_request_n, requested};
use crate::cli::bench::wire::{self, Frame, Link};

const BUFFER: usize = 256 * 1024;
/// A record has at least so much beside what is sent: its length and a checksum, a topic, an offset, a time.
const HEADER: usize = 40;
/// In the route of a consumer.
const CONSUME: &[u8] = b"towline.Queue.consume";
/// Where a message was put; it begins as a receipt does.
const ANSWER: &[u8] = &[0x85, 0, 0, 0, 0, 0, 0, 0];

#[derive(Debug, Args)]
pub(in crate::cli::bench) struct GroupCommitArgs {
    /// Where its files are made
    #[arg(long)]
    folder: PathBuf,
    /// Answers when all is written, and never syncs
    #[arg(long)]
    no_sync: bool,
    /// Bytes of what a consumer gets
    #[arg(long, default_value_t = 128)]
    size: usize,
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// End when standard input closes
    #[arg(long)]
    die_with_stdin: bool,
}

/// One of its own process.
pub(super) async fn start(folder: &Path, level: Level, size: usize) -> Result<Child, Failure> {
    let (folder, size) = (folder.display().to_string(), size.to_string());
    let mut args = vec!["bench", "group-commit", "--die-with-stdin", "--folder", &folder, "--size", &size];
    if level == Level::Os {
        args.push("--no-sync");
    }
    Child::start("bench group-commit ready", &args).await
}

/// Serves until it is killed.
pub(in crate::cli::bench) async fn run(args: GroupCommitArgs) -> Result<(), Failure> {
    let files = Preallocated::make(&args.folder)?;
    let delivery: Arc<[u8]> = delivery(args.size).into();
    let batch = Arc::<Shared>::default();
    let (taken, is_synced) = (Arc::clone(&batch), !args.no_sync);
    std::thread::spawn(move || commit(&taken, files, is_synced));
    let listener = children::listen("group-commit", args.listen, args.die_with_stdin).await?;
    loop {
        let (stream, _) = listener.accept().await.map_err(|e| Failure::new(format!("group-commit: accept: {e}")))?;
        let (link, answers) = open(stream).map_err(|e| Failure::new(format!("group-commit: {e}")))?;
        tokio::spawn(serve(link, answers, Arc::clone(&batch), Arc::clone(&delivery)));
    }
}

#[derive(Debug, Default)]
struct Shared {
    batch: Mutex<Batch>,
    has_come: Condvar,
}

#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    /// What is written to whom when the bytes are on the disk.
    answers: Vec<(Arc<std::net::TcpStream>, Vec<u8>)>,
}

/// The connection twice: read here, and answered by the disk's thread.
fn open(stream: TcpStream) -> std::io::Result<(Link, Arc<std::net::TcpStream>)> {
    let stream = stream.into_std()?;
    let answers = stream.try_clone()?;
    Ok((Link::new(TcpStream::from_std(stream)?, BUFFER)?, Arc::new(answers)))
}

async fn serve(mut link: Link, socket: Arc<std::net::TcpStream>, shared: Arc<Shared>, delivery: Arc<[u8]>) {
    // What this connection consumes it is sent as it gives credit, and what it settles is forgotten.
    let mut is_consumer = false;
    loop {
        // A client that hangs up has all it wants.
        let Ok(()) = std::future::poll_fn(|cx| link.poll_read(cx)).await else { return };
        let Link { inbox, outbox, .. } = &mut link;
        {
            let mut batch = shared.batch.lock().unwrap_or_else(PoisonError::into_inner);
            let Batch { bytes, answers } = &mut *batch;
            let before = bytes.len();
            let mut answer = match answers.last_mut() {
                Some((last, answer)) if Arc::ptr_eq(last, &socket) => std::mem::take(answer),
                _ => Vec::new(),
            };
            while let Ok(Some(frame)) = inbox.next_frame() {
                match frame.kind {
                    wire::REQUEST_RESPONSE => wire::put_answer(&mut answer, frame.stream_id, ANSWER),
                    wire::PAYLOAD if is_consumer => continue,
                    wire::PAYLOAD => put_payload(&mut answer, frame.stream_id, wire::NEXT, ANSWER),
                    REQUEST_CHANNEL => {
                        put_request_n(outbox, frame.stream_id, u32::MAX >> 1);
                        is_consumer = frame.body.windows(CONSUME.len()).any(|part| part == CONSUME);
                        if is_consumer {
                            put_deliveries(outbox, &frame, &delivery);
                        }
                        continue;
                    }
                    REQUEST_N if is_consumer => {
                        put_deliveries(outbox, &frame, &delivery);
                        continue;
                    }
                    wire::KEEPALIVE => {
                        wire::answer_keepalive(outbox, &frame);
                        continue;
                    }
                    _ => continue,
                }
                bytes.extend_from_slice(&[0; HEADER]);
                bytes.extend_from_slice(frame.body);
            }
            match answers.last_mut() {
                Some((last, whole)) if Arc::ptr_eq(last, &socket) => *whole = answer,
                _ if !answer.is_empty() => answers.push((Arc::clone(&socket), answer)),
                _ => {}
            }
            if bytes.len() > before {
                shared.has_come.notify_one();
            }
        }
        let Ok(()) = std::future::poll_fn(|cx| link.poll_flush(cx)).await else { return };
    }
}

/// As many as a REQUEST_CHANNEL or a REQUEST_N asks for.
fn put_deliveries(out: &mut Vec<u8>, frame: &Frame<'_>, delivery: &[u8]) {
    (0..requested(frame.body)).for_each(|_| put_payload(out, frame.stream_id, wire::NEXT, delivery));
}

/// Ends with a disk that fails: who waits is told by an answer that never comes.
fn commit(shared: &Shared, mut files: Preallocated, is_synced: bool) {
    let mut taken = Batch::default();
    loop {
        {
            let batch = shared.batch.lock().unwrap_or_else(PoisonError::into_inner);
            let come = shared.has_come.wait_while(batch, |batch| batch.bytes.is_empty());
            std::mem::swap(&mut *come.unwrap_or_else(PoisonError::into_inner), &mut taken);
        }
        if let Err(error) = files.append(&taken.bytes, is_synced) {
            eprintln!("towline bench: the yardstick cannot write: {error}");
            return;
        }
        taken.bytes.clear();
        for (socket, answer) in taken.answers.drain(..) {
            // Who has gone does not want to know.
            let _ = write_all(&socket, &answer);
        }
    }
}

/// A socket that takes no more at once does so soon: what is outstanding is bounded by its client.
fn write_all(mut socket: &std::net::TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match socket.write(bytes) {
            Ok(len) => bytes = &bytes[len..],
            Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
