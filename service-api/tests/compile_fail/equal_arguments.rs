use towline_service_api::{RpcError, service};

#[service]
trait Store {
    async fn put(&self, user_id: u32, user__id: u32) -> Result<(), RpcError>;
}

fn main() {}
