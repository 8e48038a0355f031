use towline_service_api::{RpcError, service};

#[service]
trait Store {
    #[rpc(oneway)]
    async fn touch(&self, id: u32) -> Result<(), RpcError>;
}

fn main() {}
