use towline_service_api::{Stream, service};

#[service]
trait Store {
    fn watch(&self) -> impl Stream<Item = u32>;
    fn watch_any(&self) -> impl Stream;
}

fn main() {}
