use towline_service_api::service;

#[service]
trait Store {
    type Item;
    const SIZE: usize;
}

fn main() {}
