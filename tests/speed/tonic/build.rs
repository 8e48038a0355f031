//! Writes the client and the server of `bench.Echo` into `$OUT_DIR/bench.Echo.rs`: what a .proto file gives, without protoc.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let echo = Method::builder()
        .name("echo")
        .route_name("Echo")
        .input_type("crate::Text")
        .output_type("crate::Text")
        .codec_path("tonic_prost::ProstCodec")
        .build();
    Builder::new().compile(&[Service::builder().name("Echo").package("bench").method(echo).build()]);
}
