use towline_service_api::{RpcError, Stream, service};

#[service]
trait Store {
    async fn watch(&self) -> impl Stream<Item = Result<u32, RpcError>>;
}

fn main() {}
