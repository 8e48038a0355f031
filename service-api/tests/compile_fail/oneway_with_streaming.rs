use towline_service_api::{Streaming, service};

#[service]
trait Store {
    #[rpc(oneway)]
    async fn import(&self, items: Streaming<u32>);
}

fn main() {}
