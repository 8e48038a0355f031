//! Text carries strings, bytes, and types that may be one of them.

use towline_service_api::{RpcError, Stream, Streaming, service};

type Line = String;

#[service(encoding = "text")]
trait Echo {
    async fn line(&self, line: Option<Line>) -> Result<u32, RpcError>;
    fn lines(&self, lines: Streaming<String>) -> impl Stream<Item = Result<Line, RpcError>>;
}

fn main() {}
