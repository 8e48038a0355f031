use towline_service_api::{RpcError, service};

#[service]
trait Store {
    async fn put(item: u32) -> Result<(), RpcError>;
}

fn main() {}
