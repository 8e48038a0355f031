use towline_service_api::{RpcError, service};

#[service(encoding = "bytes")]
trait Store {
    async fn put(&self, value: Option<Vec<u8>>) -> Result<u32, RpcError>;
}

fn main() {}
