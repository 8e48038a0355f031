//! `rsocket-rust-proxy --to ADDR`: every client that connects shares one connection to ADDR, on stock rsocket_rust. What
//! the broker is compared with: the same frames over the same two hops, through the only other engine in Rust.
//!
//! Prints `ready tcp://ADDR` when it listens, and ends when the connection to ADDR does. One thread, as the broker's.

use std::net::{Ipv4Addr, SocketAddr};

use rsocket_rust::error::RSocketError;
use rsocket_rust::prelude::{Flux, Payload, RSocket, RSocketFactory};
use rsocket_rust::transport::ServerTransport;
use rsocket_rust::{Client, Result, async_trait};
use rsocket_rust_transport_tcp::TcpClientTransport;
use tokio::net::{TcpListener, TcpStream};

const COMPOSITE: &str = "message/x.rsocket.composite-metadata.v0";
const OCTET_STREAM: &str = "application/octet-stream";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let to: SocketAddr = match &arguments[..] {
        [flag, to] if flag == "--to" => to.parse()?,
        _ => return Err(RSocketError::WithDescription("usage: rsocket-rust-proxy --to ADDR".to_owned()).into()),
    };
    let upstream = connected(TcpStream::connect(to).await?)?;
    let upstream = RSocketFactory::connect().transport(upstream).mime_type(COMPOSITE, OCTET_STREAM).start().await?;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("ready tcp://{}", listener.local_addr()?);
    let shared = upstream.clone();
    let server = RSocketFactory::receive()
        .transport(Accepting(listener))
        .acceptor(Box::new(move |_setup, _client| Ok(Box::new(Forward(shared.clone())))))
        .serve();
    tokio::select! {
        ended = server => ended,
        () = upstream.wait_for_close() => {
            Err(RSocketError::WithDescription(format!("{to} closed the connection")).into())
        }
    }
}

/// A bound listener: rsocket_rust's own transport binds by itself, and does not say on which port.
struct Accepting(TcpListener);

#[async_trait]
impl ServerTransport for Accepting {
    type Item = TcpClientTransport;

    async fn start(&mut self) -> Result<()> {
        Ok(())
    }

    async fn next(&mut self) -> Option<Result<Self::Item>> {
        Some(match self.0.accept().await {
            Ok((stream, _)) => connected(stream),
            Err(e) => Err(e.into()),
        })
    }
}

/// Without Nagle's delay, which rsocket_rust leaves on: the figures shall be of its engine.
fn connected(stream: TcpStream) -> Result<TcpClientTransport> {
    stream.set_nodelay(true)?;
    Ok(TcpClientTransport::from(stream))
}

/// What one client asks for, asked of the shared connection.
struct Forward(Client);

#[async_trait]
impl RSocket for Forward {
    async fn metadata_push(&self, push: Payload) -> Result<()> {
        self.0.metadata_push(push).await
    }

    async fn fire_and_forget(&self, request: Payload) -> Result<()> {
        self.0.fire_and_forget(request).await
    }

    async fn request_response(&self, request: Payload) -> Result<Option<Payload>> {
        self.0.request_response(request).await
    }

    fn request_stream(&self, request: Payload) -> Flux<Result<Payload>> {
        self.0.request_stream(request)
    }

    fn request_channel(&self, requests: Flux<Result<Payload>>) -> Flux<Result<Payload>> {
        self.0.request_channel(requests)
    }
}
