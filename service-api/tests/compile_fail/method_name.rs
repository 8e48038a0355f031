use towline_service_api::{RpcError, service};

#[service]
trait Store {
    #[rpc(name = "put it")]
    async fn put(&self) -> Result<(), RpcError>;
    #[rpc(name = "a.b")]
    async fn dotted(&self) -> Result<(), RpcError>;
}

fn main() {}
