use towline_service_api::{RpcError, Streaming, service};

#[service]
trait Store {
    async fn import(&self, items: Streaming<u32>, folder: String) -> Result<u32, RpcError>;
}

fn main() {}
