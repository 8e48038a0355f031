use towline_service_api::service;

#[service(name = "com.acme::Store")]
trait Colons {}

#[service(name = "com.acme/Store")]
trait Slash {}

#[service(name = "com.acme.My Store")]
trait Space {}

#[service(name = "com.acme.Store?")]
trait Question {}

#[service(name = "shop!Store")]
trait Group {}

#[service(name = "com..Store")]
trait Dots {}

#[service(version = "1:2")]
trait Version {}

fn main() {}
