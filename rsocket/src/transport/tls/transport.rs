use super::error;
use super::records::Records;
use crate::transport::{Batch, Transport};
use bytes::{BufMut, BytesMut};
use parking_lot::Mutex;
use rustls::Connection;
use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, ErrorKind, IoSlice, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// Bytes asked of the inner transport by one read.
pub(super) const READ: usize = 64 * 1024;
/// Reads without a byte of plaintext after which the reader's task gets a rest.
const READS: usize = 16;
/// Plaintext of one record at most (RFC 8446, 5.1).
pub(super) const RECORD: usize = 16 * 1024;
/// What encryption adds to a record at most, rounded up.
const OVERHEAD: usize = 64;
/// Plaintext encrypted ahead of the socket, at most.
pub(super) const TURN: usize = 4 * RECORD;
/// Chunks encrypted together.
const SLICES: usize = 64;

thread_local! {
    /// Where ciphertext is read to: all of it goes on to the session at once, so connections need none of their own.
    static SCRATCH: Cell<BytesMut> = Cell::default();
}

/// An encrypted connection, after its handshake.
pub struct TlsTransport {
    pub(super) inner: Box<dyn Transport>,
    pub(super) session: Mutex<Connection>,
    pub(super) reading: Mutex<Reading>,
    /// Records the socket has not taken.
    pub(super) unsent: Mutex<Batch>,
    /// `unsent` or the session holds bytes to be written; changed under the session's lock.
    has_unsent: AtomicBool,
    /// There is something to read whatever the inner transport says.
    pub(super) is_ready: AtomicBool,
    /// Bytes of a record that is not complete.
    held: AtomicUsize,
}

/// What the reader knows.
#[derive(Default)]
pub(super) struct Reading {
    records: Records,
    /// Plaintext that came with the end of the handshake.
    pub(super) early: BytesMut,
    /// How the peer's stream ended.
    pub(super) end: Option<Result<(), rustls::Error>>,
}

impl TlsTransport {
    pub(super) fn new(inner: Box<dyn Transport>, mut session: Connection) -> Self {
        // One write makes one record.
        session.set_buffer_limit(Some(RECORD));
        Self {
            inner,
            has_unsent: AtomicBool::new(session.wants_write()),
            session: Mutex::new(session),
            reading: Mutex::default(),
            unsent: Mutex::default(),
            is_ready: AtomicBool::new(false),
            held: AtomicUsize::new(0),
        }
    }

    /// Gives the session what was read and appends what that says.
    pub(super) fn decrypt(&self, reading: &mut Reading, mut bytes: &[u8], into: &mut BytesMut) {
        self.held.store(reading.records.pass(bytes), Ordering::Relaxed);
        while !bytes.is_empty() && reading.end.is_none() {
            let mut session = self.session.lock();
            // Takes 4 KiB.
            let taken = session.read_tls(&mut bytes).map_err(|error| rustls::Error::General(error.to_string()));
            match taken.and_then(|_| session.process_new_packets()) {
                Ok(state) if state.peer_has_closed() => reading.end = Some(Ok(())),
                Ok(_) => {}
                Err(error) => reading.end = Some(Err(error)),
            }
            let mut plaintext = session.reader();
            while let Ok(chunk) = plaintext.fill_buf()
                && !chunk.is_empty()
            {
                into.extend_from_slice(chunk);
                let len = chunk.len();
                plaintext.consume(len);
            }
            if session.wants_write() {
                self.has_unsent.store(true, Ordering::Release);
            }
        }
    }

    /// Reads until there is plaintext, or no more.
    fn read(&self, reading: &mut Reading, scratch: &mut BytesMut, into: &mut BytesMut) -> io::Result<usize> {
        let before = into.len();
        for _ in 0..READS {
            scratch.clear();
            scratch.reserve(READ);
            match self.inner.try_read(scratch)? {
                0 => reading.end = Some(Ok(())),
                _ => self.decrypt(reading, scratch, into),
            }
            if into.len() > before {
                self.is_ready.store(reading.end.is_some(), Ordering::Release);
                return Ok(into.len() - before);
            }
            if reading.end.is_some() {
                self.is_ready.store(true, Ordering::Release);
                return reading.ended();
            }
        }
        // The inner transport has more and stays ready.
        Err(ErrorKind::WouldBlock.into())
    }

    /// Encrypts from the front of the batch and returns how many bytes.
    fn encrypt(&self, batch: &mut Batch, unsent: &mut Batch) -> io::Result<usize> {
        let ahead = batch.len().min(TURN);
        let mut out = BytesMut::with_capacity(ahead + (ahead / RECORD + 1) * OVERHEAD).writer();
        let mut taken = 0;
        while taken < TURN && !batch.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = batch.slices(&mut slices);
            let mut session = self.session.lock();
            let n = session.writer().write_vectored(&slices[..filled])?;
            while session.wants_write() {
                session.write_tls(&mut out)?;
            }
            drop(session);
            if n == 0 {
                break;
            }
            batch.advance(n);
            taken += n;
        }
        unsent.push(out.into_inner());
        if taken == 0 { Err(ErrorKind::WriteZero.into()) } else { Ok(taken) }
    }

    /// Says that nothing follows.
    fn notify(&self) {
        // Somebody may be writing: then the end of the stream has to do.
        if let Some(mut unsent) = self.unsent.try_lock() {
            self.session.lock().send_close_notify();
            let _best_effort = self.push(&mut unsent);
        }
    }

    /// Writes what is unsent and what the session has to say.
    pub(super) fn push(&self, unsent: &mut Batch) -> io::Result<()> {
        loop {
            let mut session = self.session.lock();
            if session.wants_write() {
                let mut out = BytesMut::new().writer();
                while session.wants_write() {
                    session.write_tls(&mut out)?;
                }
                unsent.push(out.into_inner());
            }
            self.has_unsent.store(!unsent.is_empty(), Ordering::Release);
            drop(session);
            if unsent.is_empty() {
                return Ok(());
            }
            self.inner.try_write(unsent)?;
        }
    }
}

impl Reading {
    fn ended(&self) -> io::Result<usize> {
        match &self.end {
            Some(Err(error)) => Err(error::broken(error)),
            _ => Ok(0),
        }
    }
}

impl Transport for TlsTransport {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_ready.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        self.inner.poll_readable(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_writable(cx)
    }

    /// The end of the stream is the peer's close_notify or, without it, the inner stream's end: frames tell by themselves
    /// whether they are complete.
    fn try_read(&self, into: &mut BytesMut) -> io::Result<usize> {
        let mut reading = self.reading.lock();
        if !reading.early.is_empty() {
            let early = std::mem::take(&mut reading.early);
            into.extend_from_slice(&early);
            self.is_ready.store(reading.end.is_some(), Ordering::Release);
            return Ok(early.len());
        }
        if reading.end.is_some() {
            return reading.ended();
        }
        let mut scratch = SCRATCH.take();
        let read = self.read(&mut reading, &mut scratch, into);
        if scratch.capacity() <= 2 * READ {
            SCRATCH.set(scratch);
        }
        read
    }

    fn try_write(&self, batch: &mut Batch) -> io::Result<usize> {
        let mut unsent = self.unsent.lock();
        self.push(&mut unsent)?;
        if batch.is_empty() {
            return Ok(0);
        }
        let taken = self.encrypt(batch, &mut unsent)?;
        // Some of it may be with the peer even if this fails: it counts as taken, and the next call fails.
        let _ = self.push(&mut unsent);
        Ok(taken)
    }

    fn has_unsent(&self) -> bool {
        self.has_unsent.load(Ordering::Acquire)
    }

    fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn finish(&self) {
        self.notify();
        self.inner.finish();
    }

    fn shutdown(&self) {
        self.notify();
        self.inner.shutdown();
    }

    fn peer(&self) -> String {
        self.inner.peer()
    }

    fn local(&self) -> Option<String> {
        self.inner.local().map(|address| address.replacen("tcp://", "tls://", 1))
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTransport").field("peer", &self.peer()).finish_non_exhaustive()
    }
}
