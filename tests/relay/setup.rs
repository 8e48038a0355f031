//! SETUP: what is accepted, and how a connection is refused.

use crate::harness::*;
use serde_json::json;
use towline_rsocket::metadata::{CompositeBuilder, mime};

#[tokio::test(flavor = "multi_thread")]
async fn a_uuid_has_32_to_128_characters() {
    let broker = Broker::start().await;
    for len in [1, 31, 129] {
        let (code, text) = broker.refusal(Setup::app("app").uuid(&"u".repeat(len)).frame().wire()).await;
        assert!(code == 3 && text.starts_with("RST-500410: ") && text.contains(&len.to_string()), "{code:#x} {text}");
    }
    for len in [0, 32, 128] {
        broker.join(Setup::app("app").uuid(&"u".repeat(len))).await.expect_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_behind_a_refused_setup_do_not_reset_the_connection() {
    let listen = ["tcp://127.0.0.1:0", "ws://127.0.0.1:0"].map(|address| address.parse().expect("an address"));
    let broker = Broker::with(|config| {
        config.listen.addresses = listen.into();
        config.listen.setup_timeout = 2 * SOON;
    })
    .await;
    for address in broker.addresses() {
        let mut app = Peer::connect(address.trim_start_matches("tcp://")).await;
        app.send(Setup::app("app").uuid("short").frame()).await;
        assert!(app.expect_error(0).await.1.starts_with("RST-500410"));
        if !address.starts_with("ws://") {
            app.expect_closed().await;
            // What comes late is still taken: after a reset the second write fails, and then a client reports the reset.
            for stream in [1, 3, 5] {
                app.send(call(stream, "test.Echo.call", b"late")).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_on_sending_behind_a_refused_setup_is_closed() {
    let broker = Broker::with(|config| config.listen.setup_timeout = 20 * SOON).await;
    let mut app = broker.connect().await;
    app.send(Setup::app("app").uuid("short").frame()).await;
    assert!(app.expect_error(0).await.1.starts_with("RST-500410"));
    let mut sent = 0;
    while app.try_send_bytes(&[0; 64 * 1024]).await {
        sent += 64 * 1024;
        // 1 MiB is read, the rest is in the kernel's buffers.
        assert!(sent < 256 * 1024 * 1024, "{sent} bytes were taken");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_no_json_is_rejected() {
    let broker = Broker::start().await;
    let good = json!({"uuid": uuid("app")}).to_string();
    for (app, registry) in [("{", "{}"), ("3", "{}"), (&good, "nothing"), (&good, r#"{"published":[{"version":"1"}]}"#)]
    {
        let entries = CompositeBuilder::new().entry(mime::APPLICATION, app.as_bytes());
        let metadata = entries.entry(mime::SERVICE_REGISTRY, registry.as_bytes()).finish();
        let (code, text) = broker.refusal(Setup::anonymous().frame_with(&metadata).wire()).await;
        assert!(code == 3 && text.starts_with("RST-"), "{app} {registry}: {code:#x} {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_may_stay_anonymous_unless_that_is_configured() {
    let broker = Broker::with(|config| config.relay.strict_setup = true).await;
    let (code, text) = broker.refusal(Setup::anonymous().frame().wire()).await;
    assert!(code == 3 && text.starts_with("RST-500411"), "{code:#x} {text}");
    broker.join(Setup::app("app")).await.expect_nothing().await;
}
