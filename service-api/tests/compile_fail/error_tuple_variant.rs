use towline_service_api::ServiceError;

#[derive(ServiceError)]
enum StoreError {
    Unknown(String),
}

fn main() {}
