use towline_service_api::{RpcError, service};

#[service(nmae = "com.acme.Store")]
trait Misspelt {}

#[service(durable)]
trait Unknown {}

#[service]
trait Store {
    #[rpc(timout = "2s")]
    async fn put(&self) -> Result<(), RpcError>;
    #[rpc(retry(times = 3))]
    async fn get(&self) -> Result<(), RpcError>;
    #[rpc(idempotent, timeout = "1s", timeout = "2s")]
    async fn twice(&self) -> Result<(), RpcError>;
}

fn main() {}
