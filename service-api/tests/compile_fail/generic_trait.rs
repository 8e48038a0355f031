use towline_service_api::{RpcError, service};

#[service]
trait Store<T> {
    async fn put(&self, item: T) -> Result<(), RpcError>;
}

fn main() {}
