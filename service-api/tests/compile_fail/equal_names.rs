use towline_service_api::{RpcError, service};

#[service]
trait Store {
    async fn find_by_id(&self, id: u32) -> Result<(), RpcError>;
    #[allow(non_snake_case)]
    async fn findById(&self, id: u32) -> Result<(), RpcError>;
}

fn main() {}
