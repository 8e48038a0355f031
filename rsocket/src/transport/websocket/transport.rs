use super::{Decoder, Encoder, Fault, Refusal, Role, Signal, Upgrade, handshake};
use crate::transport::{Batch, Transport};
use bytes::BytesMut;
use parking_lot::Mutex;
use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// Bytes asked of the inner transport by one read.
const READ: usize = 64 * 1024;
/// Bytes taken from a batch by one write.
const WRITE: usize = 64 * 1024;
/// The status code of an ordinary CLOSE.
const NORMAL: u16 = 1000;

thread_local! {
    /// Where wire bytes are read to be decoded at once: one block per thread, none per connection.
    static BLOCK: Cell<Option<BytesMut>> = const { Cell::new(None) };
}

/// RSocket frames as WebSocket messages over another transport.
///
/// Reading and writing are independent, except that a PING read makes a PONG to be written.
pub struct WebSocketTransport {
    inner: Box<dyn Transport>,
    reader: Mutex<Reader>,
    writer: Mutex<Writer>,
    /// Something can be read although the inner transport may have nothing: what came with the handshake, or the end.
    is_ready: AtomicBool,
    has_unsent: AtomicBool,
    held: AtomicUsize,
}

struct Reader {
    decoder: Decoder,
    /// What came together with the handshake.
    early: BytesMut,
    /// How reading ended: with CLOSE or with a fault.
    end: Option<Result<(), Fault>>,
}

struct Writer {
    encoder: Encoder,
    /// Wire bytes that the inner transport has not taken.
    unsent: Batch,
    /// The status code CLOSE will have.
    code: Option<u16>,
    is_closed: bool,
}

impl WebSocketTransport {
    /// Answers a client's opening handshake, of which `first` was read already; frames and messages of the peer are at
    /// most `max_message` bytes (no more than 16,777,215). `admit` decides by path and origin.
    ///
    /// What is no proper request to upgrade gets an HTTP response that says so, and the connection is closed. There is no
    /// time limit here.
    ///
    /// # Errors
    /// If the request was refused or the connection was lost.
    pub async fn accept(
        inner: Box<dyn Transport>,
        first: BytesMut,
        max_message: usize,
        admit: impl FnOnce(&Upgrade<'_>) -> Result<(), Refusal>,
    ) -> io::Result<Self> {
        let early = handshake::accept(&*inner, first, admit).await?;
        Ok(Self::new(inner, Role::Server, early, max_message))
    }

    /// Upgrades a connection to `host` (with its port, if it is not the default) at `path`.
    ///
    /// # Errors
    /// If the server does not agree or the connection was lost.
    pub async fn connect(inner: Box<dyn Transport>, host: &str, path: &str, max_message: usize) -> io::Result<Self> {
        let early = handshake::connect(&*inner, host, path).await?;
        Ok(Self::new(inner, Role::Client, early, max_message))
    }

    fn new(inner: Box<dyn Transport>, role: Role, early: BytesMut, max_message: usize) -> Self {
        let is_ready = AtomicBool::new(!early.is_empty());
        let reader = Reader { decoder: Decoder::new(role, max_message), early, end: None };
        let (encoder, unsent) = (Encoder::new(role), Batch::default());
        let writer = Writer { encoder, unsent, code: Some(NORMAL), is_closed: false };
        let (reader, writer) = (Mutex::new(reader), Mutex::new(writer));
        Self { inner, reader, writer, is_ready, has_unsent: AtomicBool::new(false), held: AtomicUsize::new(0) }
    }

    /// Changes what is to be written, and tells whether something is.
    fn write<T>(&self, change: impl FnOnce(&mut Writer) -> T) -> T {
        let mut writer = self.writer.lock();
        let result = change(&mut writer);
        // Under the lock, so that the last change is the one that is seen.
        self.has_unsent.store(!writer.is_closed && writer.has_unsent(), Ordering::Release);
        result
    }

    /// Decodes all of `wire`; an end shows once what came before it was handed out.
    fn decode(&self, reader: &mut Reader, mut wire: &[u8], into: &mut BytesMut) {
        while !wire.is_empty() && reader.end.is_none() {
            match reader.decoder.decode(&mut wire, into) {
                Ok(None) => {}
                Ok(Some(Signal::Ping(payload))) => self.write(|writer| writer.encoder.pong(payload)),
                Ok(Some(Signal::Close(code))) => self.end(reader, Ok(()), code),
                Err(fault) => self.end(reader, Err(fault), Some(fault.code)),
            }
        }
    }

    fn end(&self, reader: &mut Reader, end: Result<(), Fault>, code: Option<u16>) {
        reader.end = Some(end);
        self.write(|writer| writer.code = code);
    }

    /// Sends CLOSE if that is possible at once: between messages, and if the peer takes it.
    fn close(&self) {
        self.write(|writer| {
            if !writer.is_closed
                && let Some(frame) = writer.encoder.close(writer.code)
            {
                writer.unsent.push(frame);
                // The connection ends anyway.
                let _ = writer.flush(&*self.inner);
            }
            writer.is_closed = true;
            writer.unsent = Batch::default();
        });
    }

    /// Reads once from the inner transport, at most what `into` has room for, and decodes it.
    fn read(&self, reader: &mut Reader, into: &mut BytesMut) -> io::Result<usize> {
        let free = into.capacity() - into.len();
        let mut block = BLOCK.take().unwrap_or_else(|| BytesMut::with_capacity(READ));
        if (1..block.capacity()).contains(&free) {
            // More would make a buffer grow that was made for the rest of one long frame.
            drop(block.split_off(free));
        }
        let result = self.inner.try_read(&mut block);
        self.decode(reader, &block, into);
        block.clear();
        // A transport inside the process puts its own memory in place of the block.
        if block.try_reclaim(READ) && block.capacity() < 2 * READ {
            BLOCK.set(Some(block));
        }
        result
    }
}

impl Writer {
    fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() || self.encoder.has_pongs()
    }

    fn flush(&mut self, inner: &dyn Transport) -> io::Result<()> {
        while !self.unsent.is_empty() || inner.has_unsent() {
            inner.try_write(&mut self.unsent)?;
        }
        Ok(())
    }

    fn write(&mut self, inner: &dyn Transport, batch: &mut Batch) -> io::Result<usize> {
        if self.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.flush(inner)?;
        let taken = self.encoder.encode(batch, WRITE, &mut self.unsent);
        match self.flush(inner) {
            // What was taken is ours: that the inner transport is full shows at the next write.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && taken > 0 => Ok(taken),
            flushed => flushed.map(|()| taken),
        }
    }
}

impl Transport for WebSocketTransport {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_ready.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        self.inner.poll_readable(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_writable(cx)
    }

    /// Returns the number of bytes read from the wire: nothing may have been appended.
    fn try_read(&self, into: &mut BytesMut) -> io::Result<usize> {
        let mut reader = self.reader.lock();
        let reader = &mut *reader;
        if reader.early.is_empty()
            && let Some(end) = reader.end
        {
            return end.map(|()| 0).map_err(io::Error::from);
        }
        let before = into.len();
        let early = std::mem::take(&mut reader.early);
        let read = if early.is_empty() {
            self.read(reader, into)?
        } else {
            self.decode(reader, &early, into);
            early.len()
        };
        self.held.store(reader.decoder.held(), Ordering::Relaxed);
        self.is_ready.store(reader.end.is_some(), Ordering::Release);
        match reader.end {
            Some(end) if into.len() == before => end.map(|()| 0).map_err(io::Error::from),
            _ => Ok(read),
        }
    }

    fn try_write(&self, batch: &mut Batch) -> io::Result<usize> {
        self.write(|writer| writer.write(&*self.inner, batch))
    }

    fn has_unsent(&self) -> bool {
        self.has_unsent.load(Ordering::Acquire) || self.inner.has_unsent()
    }

    fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed) + self.inner.held()
    }

    fn finish(&self) {
        self.close();
        self.inner.finish();
    }

    fn shutdown(&self) {
        self.close();
        self.inner.shutdown();
    }

    fn peer(&self) -> String {
        self.inner.peer()
    }

    fn local(&self) -> Option<String> {
        let address = self.inner.local()?;
        let (scheme, rest) = address.split_once("://")?;
        Some(format!("{}://{rest}", if scheme == "tls" { "wss" } else { "ws" }))
    }
}

#[cfg(test)]
impl WebSocketTransport {
    pub(super) fn server(inner: impl Transport, max_message: usize) -> Self {
        Self::new(Box::new(inner), Role::Server, BytesMut::new(), max_message)
    }

    pub(super) fn client(inner: impl Transport, max_message: usize) -> Self {
        Self::new(Box::new(inner), Role::Client, BytesMut::new(), max_message)
    }
}
