use towline_service_api::ServiceError;

#[derive(ServiceError)]
struct Failure {
    reason: String,
}

#[derive(ServiceError)]
union Bits {
    number: u32,
    bytes: [u8; 4],
}

fn main() {}
