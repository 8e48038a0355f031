use towline_service_api::{RpcError, Streaming, service};

#[service(encoding = "text")]
trait Store {
    async fn sum(&self, numbers: Streaming<u32>) -> Result<u32, RpcError>;
}

fn main() {}
