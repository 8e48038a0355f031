use towline_service_api::{RpcError, service};

#[service]
trait Store {
    async fn new(&self) -> Result<(), RpcError>;
}

fn main() {}
