use towline_service_api::service;

#[service]
trait Store {
    async fn size(&self) -> u32;
    async fn clear(&self);
    async fn one_type(&self) -> std::io::Result<u32>;
}

fn main() {}
