use super::{Batch, Transport};
use bytes::BytesMut;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Bytes one direction holds before its writer waits.
const CAPACITY: usize = 256 * 1024;

/// One end of a connection inside a process: chunks change hands, their bytes stay where they are.
#[derive(Debug)]
pub struct MemoryTransport {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
    name: &'static str,
}

/// Two connected ends; `name` is what each end calls its peer.
pub fn memory_pair(name: &'static str) -> (MemoryTransport, MemoryTransport) {
    let (a, b) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
    (
        MemoryTransport { incoming: a.clone(), outgoing: b.clone(), name },
        MemoryTransport { incoming: b, outgoing: a, name },
    )
}

#[derive(Debug, Default)]
struct Pipe {
    state: Mutex<PipeState>,
}

#[derive(Debug, Default)]
struct PipeState {
    chunks: VecDeque<BytesMut>,
    len: usize,
    is_closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let wakers = (state.reader.take(), state.writer.take());
        drop(state);
        wakers.0.into_iter().chain(wakers.1).for_each(Waker::wake);
    }
}

impl Transport for MemoryTransport {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.incoming.state.lock();
        if state.len > 0 || state.is_closed {
            return Poll::Ready(Ok(()));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.outgoing.state.lock();
        if state.len < CAPACITY || state.is_closed {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn try_read(&self, into: &mut BytesMut) -> io::Result<usize> {
        let mut state = self.incoming.state.lock();
        let Some(chunk) = state.chunks.pop_front() else {
            return if state.is_closed { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        };
        let len = chunk.len();
        state.len -= len;
        let writer = if state.len < CAPACITY { state.writer.take() } else { None };
        drop(state);
        writer.into_iter().for_each(Waker::wake);
        if into.is_empty() {
            *into = chunk;
        } else {
            into.unsplit(chunk);
        }
        Ok(len)
    }

    fn try_write(&self, batch: &mut Batch) -> io::Result<usize> {
        let mut state = self.outgoing.state.lock();
        if state.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut written = 0;
        while state.len < CAPACITY
            && let Some(chunk) = batch.pop()
        {
            written += chunk.len();
            state.len += chunk.len();
            state.chunks.push_back(chunk);
        }
        if written == 0 && !batch.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Ok(written)
    }

    fn shutdown(&self) {
        self.incoming.close();
        self.outgoing.close();
    }

    fn peer(&self) -> String {
        self.name.to_owned()
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        self.shutdown();
    }
}
