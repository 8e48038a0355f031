use towline_service_api::{RpcError, service};

#[service]
trait Store {
    async fn put(&mut self, item: u32) -> Result<(), RpcError>;
    async fn take(self) -> Result<u32, RpcError>;
}

fn main() {}
