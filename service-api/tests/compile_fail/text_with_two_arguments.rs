use towline_service_api::{RpcError, service};

#[service(encoding = "text")]
trait Store {
    async fn look(&self, key: String) -> Result<String, RpcError>;
    async fn put(&self, key: String, value: String) -> Result<(), RpcError>;
}

fn main() {}
