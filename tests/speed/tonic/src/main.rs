//! A generated gRPC client and a generated gRPC server, nothing between them: what a generated client, the broker and a
//! generated responder are compared with.
//!
//! `tonic-echo serve` prints `ready tcp://ADDR`; `tonic-echo load --to ADDR` prints what it saw as one JSON object. One
//! thread in each process, as in the ends of `towline bench`.

mod arguments;
mod load;

use std::net::Ipv4Addr;
use std::process::ExitCode;

use arguments::Arguments;
use echo_server::{Echo, EchoServer};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

include!(concat!(env!("OUT_DIR"), "/bench.Echo.rs"));

/// Why this program ends early.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The one message: what the trait of `towline bench` takes and gives.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Text {
    #[prost(string, tag = "1")]
    pub text: String,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tonic-echo: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let verb = words.next().unwrap_or_default();
    let arguments = Arguments::read(words)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match verb.as_str() {
        "serve" => runtime.block_on(serve()),
        "load" => runtime.block_on(load::run(arguments)),
        _ => Err(arguments::USAGE.into()),
    }
}

async fn serve() -> Result<(), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("ready tcp://{}", listener.local_addr()?);
    // The builder's tcp_nodelay is of the listener it makes itself.
    let accepted = tokio_stream::StreamExt::map(TcpListenerStream::new(listener), |stream| {
        stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream))
    });
    Ok(Server::builder().add_service(EchoServer::new(Echoing)).serve_with_incoming(accepted).await?)
}

struct Echoing;

#[tonic::async_trait]
impl Echo for Echoing {
    async fn echo(&self, request: Request<Text>) -> Result<Response<Text>, Status> {
        Ok(Response::new(request.into_inner()))
    }
}
