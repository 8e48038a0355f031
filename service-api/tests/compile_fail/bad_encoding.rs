use towline_service_api::service;

#[service(encoding = "xml")]
trait Store {}

fn main() {}
