use towline_service_api::{RpcError, service};

#[service]
trait Mailer {
    #[rpc(queue = "mail", max_attempts = 8)]
    async fn send(&self, mail: String) -> Result<(), RpcError>;
}

fn main() {}
