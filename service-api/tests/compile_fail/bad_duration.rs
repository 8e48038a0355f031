use towline_service_api::{RpcError, service};

#[service]
trait Store {
    #[rpc(timeout = "2 seconds")]
    async fn put(&self) -> Result<(), RpcError>;
    #[rpc(retry(max = 3, backoff = "1s"))]
    async fn get(&self) -> Result<(), RpcError>;
    #[rpc(retry(max = 3, backoff = "1s..20ms"))]
    async fn list(&self) -> Result<(), RpcError>;
    #[rpc(retry(max = 3))]
    async fn pause(&self) -> Result<(), RpcError>;
}

fn main() {}
