mod broken;
mod config;
mod steady;

use super::records::Records;
use super::transport::{RECORD, TURN};
use super::*;
use crate::transport::memory_pair;
use crate::transport::tests::tcp_pair;
use crate::transport::{Batch, MemoryTransport, Transport, readable, write_all};
use bytes::BytesMut;
use parking_lot::Mutex;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::task::{Context, Poll};

pub(super) const CA: &[u8] = include_bytes!("../../../../tests/fixtures/ca.pem");
pub(super) const OTHER_CA: &[u8] = include_bytes!("../../../../tests/fixtures/other-ca.pem");
pub(super) const CERTIFICATE: &[u8] = include_bytes!("../../../../tests/fixtures/server.pem");
pub(super) const KEY: &[u8] = include_bytes!("../../../../tests/fixtures/server.key");

fn server_tls() -> ServerTls {
    ServerTls::from_pem(CERTIFICATE, KEY).unwrap()
}

fn client_tls() -> ClientTls {
    ClientTls::with_roots_pem(CA).unwrap()
}

/// A client and a server after their handshake.
async fn pair_over(client: impl Transport, server: impl Transport) -> (Arc<TlsTransport>, Arc<TlsTransport>) {
    let (client_tls, server_tls) = (client_tls(), server_tls());
    let (client, server) = tokio::join!(
        TlsTransport::connect(Box::new(client), &client_tls, "localhost"),
        TlsTransport::accept(Box::new(server), &server_tls, BytesMut::new()),
    );
    (Arc::new(client.unwrap()), Arc::new(server.unwrap()))
}

async fn pair() -> (Arc<TlsTransport>, Arc<TlsTransport>) {
    let (client, server) = memory_pair("test");
    pair_over(client, server).await
}

fn batch(bytes: &[u8]) -> Batch {
    let mut batch = Batch::default();
    batch.push(bytes.into());
    batch
}

async fn send(transport: &dyn Transport, bytes: &[u8]) {
    write_all(transport, &mut batch(bytes)).await.unwrap();
}

/// What one successful read says; empty at the end.
async fn receive(transport: &dyn Transport) -> io::Result<BytesMut> {
    let mut bytes = BytesMut::with_capacity(64 * 1024);
    loop {
        match transport.try_read(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => readable(transport).await?,
            read => return read.map(|_| bytes),
        }
    }
}

/// Hands out what it reads byte by byte, and ends after some records.
struct Gate {
    inner: MemoryTransport,
    state: Mutex<GateState>,
}

#[derive(Default)]
struct GateState {
    waiting: BytesMut,
    records: Records,
    left: usize,
}

impl Gate {
    fn new(inner: MemoryTransport, records: usize) -> Self {
        Self { inner, state: Mutex::new(GateState { left: records, ..GateState::default() }) }
    }
}

impl Transport for Gate {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = self.state.lock();
        if state.left == 0 || !state.waiting.is_empty() { Poll::Ready(Ok(())) } else { self.inner.poll_readable(cx) }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_writable(cx)
    }

    fn try_read(&self, into: &mut BytesMut) -> io::Result<usize> {
        let state = &mut *self.state.lock();
        if state.left == 0 || (state.waiting.is_empty() && self.inner.try_read(&mut state.waiting)? == 0) {
            return Ok(0);
        }
        let byte = state.waiting.split_to(1);
        into.extend_from_slice(&byte);
        state.left -= usize::from(state.records.pass(&byte) == 0);
        Ok(1)
    }

    fn try_write(&self, batch: &mut Batch) -> io::Result<usize> {
        self.inner.try_write(batch)
    }

    fn shutdown(&self) {
        self.inner.shutdown();
    }

    fn peer(&self) -> String {
        self.inner.peer()
    }
}
