use towline_service_api::{RpcError, service};

#[service]
trait Store {
    async fn put<T>(&self, item: T) -> Result<(), RpcError>;
}

fn main() {}
