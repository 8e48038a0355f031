use towline_service_api::ServiceError;

#[derive(ServiceError)]
enum StoreError {
    UnknownKey,
    #[service_error(code = "unknown-key")]
    Missing,
}

fn main() {}
