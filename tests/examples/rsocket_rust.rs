use super::SOON;
use super::api::{GreeterClient, GreeterError};
use super::harness::Broker;
use super::program::Program;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::timeout;
use towline_requester::{App, CallError, Encoding};

const EXAMPLE: &str = "stock-rsocket-rust";

/// Runs the calls, which print this; whoever answers goes by a name that begins so.
async fn calls(broker: &Broker, by: &str) {
    let mut calls = Program::example(EXAMPLE, &broker.address, &["call"]);
    let greeting = calls.expect(&format!(r#"greet: {{"by":"{by}"#)).await.text;
    assert!(greeting.ends_with(r#"","text":"Hello Ada!"}"#), "{greeting}");
    let refused = calls.expect("greet nobody: APPLICATION_ERROR: ").await.text;
    assert!(refused.contains("name-missing"), "{refused}");
    calls.expect("wave: sent").await;
    calls.expect("countDown: [1000,999,998]").await;
    let greeting = calls.expect(&format!(r#"greetAll: [{{"by":"{by}"#)).await.text;
    assert!(greeting.ends_with(r#"","text":"Hello Ada, Grace!"}]"#), "{greeting}");
    calls.expect(r#"chat: ["[lobby] hi","[lobby] bye"]"#).await;
    assert!(calls.ended(SOON).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_rsocket_rust_serves_itself_and_a_generated_client() {
    let broker = Broker::start().await;
    let mut serving = Program::example(EXAMPLE, &broker.address, &["serve"]);
    serving.expect("ready").await;
    calls(&broker, "stock rsocket_rust").await;
    serving.expect("waving at Ada").await;

    let app = App::connect(format!("tcp://{}", broker.address)).start().await.expect("the broker is there");
    let greeter = app.client::<GreeterClient>().with_encoding(Encoding::Json);
    let all = async {
        let greeting = greeter.greet("Ada".to_owned()).await.expect("it answers");
        assert_eq!(greeting.text, "Hello Ada!");
        let refused = greeter.greet(String::new()).await;
        assert!(matches!(refused, Err(CallError::App(GreeterError::NameMissing))), "{refused:?}");
        let numbers: Vec<u32> =
            greeter.count_down(1_000).prefetch(4).start().take(3).try_collect().await.expect("some");
        assert_eq!(numbers, [1_000, 999, 998]);
        let names = stream::iter(["Ada", "Grace"]).map(str::to_owned);
        assert_eq!(greeter.greet_all(names).await.expect("it answers").text, "Hello Ada, Grace!");
        let said = stream::iter(["hi", "bye"]).map(str::to_owned);
        let heard: Vec<String> = greeter.chat("lobby".to_owned(), said).start().try_collect().await.expect("all of it");
        assert_eq!(heard, ["[lobby] hi", "[lobby] bye"]);
    };
    timeout(SOON, all).await.expect("it answers soon");
    greeter.wave("Grace".to_owned()).await.expect("it is sent");
    serving.expect("waving at Grace").await;
    app.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_rsocket_rust_calls_a_rust_service() {
    let broker = Broker::start().await;
    let mut serving = Program::example("greeter-responder", &broker.address, &[]);
    serving.expect("ready").await;
    calls(&broker, "greeter ").await;
    serving.expect("waving at Ada").await;
}
