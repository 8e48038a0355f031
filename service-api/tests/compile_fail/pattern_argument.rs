use towline_service_api::{RpcError, service};

#[service]
trait Store {
    async fn put(&self, (key, value): (u32, u32)) -> Result<(), RpcError>;
}

fn main() {}
