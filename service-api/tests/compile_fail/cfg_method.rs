use towline_service_api::{RpcError, service};

#[service]
trait Store {
    #[cfg(unix)]
    async fn put(&self) -> Result<(), RpcError>;
}

fn main() {}
