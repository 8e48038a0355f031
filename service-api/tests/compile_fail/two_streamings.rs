use towline_service_api::{RpcError, Streaming, service};

#[service]
trait Store {
    async fn merge(&self, left: Streaming<u32>, right: Streaming<u32>) -> Result<u32, RpcError>;
}

fn main() {}
