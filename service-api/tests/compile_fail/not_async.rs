use towline_service_api::{RpcError, service};

#[service]
trait Store {
    fn put(&self, item: u32) -> Result<(), RpcError>;
}

fn main() {}
