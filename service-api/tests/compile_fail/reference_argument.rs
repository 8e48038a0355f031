use towline_service_api::{RpcError, service};

#[service]
trait Store {
    async fn put(&self, key: &str) -> Result<(), RpcError>;
    async fn show(&self, key: impl std::fmt::Display) -> Result<(), RpcError>;
}

fn main() {}
