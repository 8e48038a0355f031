//! What strangers.rs proves in JSON, in the encodings of the starters.

use super::harness::Broker;
use super::java::{Java, is_here};
use super::probe::{self, Item, ProbeClient};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use towline_responder::{App, Encoding, RpcError, Streaming, service};

/// Runs the checks of strangers/script.rs in this encoding; those that are not `ok`.
async fn not_ok(url: &str, encoding: &str) -> Vec<String> {
    let printed = Java::lines(&["call", url, encoding]).await;
    assert_eq!(printed.len(), 14, "{encoding}: {printed:#?}");
    printed.into_iter().filter(|line| !line.starts_with("ok ")).collect()
}

const CBOR: [&str; 1] = ["lacks add: its CBOR carries one argument"];

#[tokio::test(flavor = "multi_thread")]
async fn a_starter_calls_a_starter_in_hessian_and_in_cbor() {
    if !is_here("java/java.jar") {
        return;
    }
    let broker = Broker::start().await;
    let url = format!("tcp://{}", broker.address);
    let provider = Java::serve(&url, &[]).await;
    assert_eq!(not_ok(&url, "Hessian").await, [""; 0]);
    assert_eq!(not_ok(&url, "CBOR").await, CBOR);
    provider.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_starter_calls_a_rust_app_in_cbor() {
    if !is_here("java/java.jar") {
        return;
    }
    let broker = Broker::start().await;
    let url = format!("tcp://{}", broker.address);
    let app = probe::serve(&url).await;
    assert_eq!(not_ok(&url, "CBOR").await, CBOR);
    app.close().await;
}

/// The starter reads that argument bare, and JSON has it in an array: text has no arrays.
#[tokio::test(flavor = "multi_thread")]
async fn a_rust_app_calls_a_channel_with_an_argument_of_a_starter_in_text() {
    if !is_here("java/java.jar") {
        return;
    }
    let broker = Broker::start().await;
    let url = format!("tcp://{}", broker.address);
    let provider = Java::serve(&url, &[]).await;
    let app = App::connect(url.as_str()).start().await.expect("the broker is there");
    let probe = app.client::<ProbeClient>();
    for (encoding, expected) in [(Encoding::Text, ["a: hi", "a: bye"]), (Encoding::Json, ["null: hi", "null: bye"])] {
        let said = stream::iter(["hi", "bye"]).map(str::to_owned);
        let heard = probe.chat("a".to_owned(), said).encoding(encoding).start().try_collect::<Vec<_>>().await;
        assert_eq!(heard.expect("it answers"), expected, "{encoding}");
    }
    app.close().await;
    provider.kill().await;
}

/// As a starter reads it.
#[service(name = "test.Probe", encoding = "json")]
trait Starter {
    #[rpc(bare)]
    async fn echo(&self, text: String) -> Result<String, RpcError>;
    #[rpc(bare)]
    async fn find(&self, id: u32) -> Result<Option<Item>, RpcError>;
    #[rpc(bare)]
    fn chat(&self, prefix: String, said: Streaming<String>) -> impl Stream<Item = Result<String, RpcError>>;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trait_whose_argument_is_bare_reaches_a_starters_channels_and_its_cbor() {
    if !is_here("java/java.jar") {
        return;
    }
    let broker = Broker::start().await;
    let url = format!("tcp://{}", broker.address);
    let provider = Java::serve(&url, &[]).await;
    let app = App::connect(url.as_str()).start().await.expect("the broker is there");
    let probe = app.client::<StarterClient>();
    for encoding in [Encoding::Json, Encoding::Cbor] {
        let said = stream::iter(["hi", "bye"]).map(str::to_owned);
        let heard = probe.chat("a".to_owned(), said).encoding(encoding).start().try_collect::<Vec<_>>().await;
        assert_eq!(heard.expect("it answers"), ["a: hi", "a: bye"], "{encoding}");
    }
    assert_eq!(probe.echo("hi".to_owned()).encoding(Encoding::Cbor).await, Ok("hi".to_owned()));
    let seven = Item { id: 7, name: "seven".to_owned() };
    assert_eq!(probe.find(7).encoding(Encoding::Cbor).await, Ok(Some(seven)));
    app.close().await;
    provider.kill().await;
}

/// Arguments in CBOR are an array, and the starter reads the only one bare; items and answers are alike.
#[tokio::test(flavor = "multi_thread")]
async fn a_rust_app_reaches_a_starter_in_json_and_without_arguments_in_cbor() {
    if !is_here("java/java.jar") {
        return;
    }
    let broker = Broker::start().await;
    let url = format!("tcp://{}", broker.address);
    let provider = Java::serve(&url, &[]).await;
    let app = App::connect(url.as_str()).start().await.expect("the broker is there");
    let probe = app.client::<ProbeClient>();
    for encoding in [Encoding::Json, Encoding::Cbor] {
        assert_eq!(probe.ping().encoding(encoding).await, Ok(()), "{encoding}");
        assert_eq!(probe.sum(stream::iter(1..=100)).encoding(encoding).await, Ok(5050), "{encoding}");
    }
    assert_eq!(probe.echo("hi".to_owned()).await, Ok("hi".to_owned()));
    let error = probe.echo("hi".to_owned()).encoding(Encoding::Cbor).await.expect_err("it got no argument");
    assert_eq!(error.rpc().map(|error| error.code), Some(RpcError::INVALID), "{error:?}");
    app.close().await;
    provider.kill().await;
}
