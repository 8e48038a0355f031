use towline_service_api::ServiceError;

#[derive(ServiceError)]
enum StoreError {
    #[service_error(cod = "unknown-key")]
    Missing,
}

fn main() {}
