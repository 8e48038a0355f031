use towline_service_api::{RpcError, service};

#[service]
trait Store {
    #[rpc(key = user)]
    async fn put(&self, users: u32) -> Result<(), RpcError>;
    #[rpc(key = owner)]
    async fn get(&self, id: u32) -> Result<(), RpcError>;
}

fn main() {}
