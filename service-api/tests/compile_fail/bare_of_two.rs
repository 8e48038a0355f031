use towline_service_api::{RpcError, service};

#[service]
trait Store {
    #[rpc(bare)]
    async fn put(&self, id: u32, text: String) -> Result<(), RpcError>;
}

fn main() {}
