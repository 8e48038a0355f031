use towline_service_api::service;

#[service(name = "towline.Store")]
trait Store {}

#[service(name = "com.alibaba.rsocket.Store")]
trait Starter {}

fn main() {}
