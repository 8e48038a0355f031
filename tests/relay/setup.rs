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
