//! `examples/java`, by Maven.

use super::harness::{Broker, SOON};
use super::stranger::{Missing, file, need};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use towline_responder::{App, RpcError, Serve, Streaming, service};

#[service(name = "demo.Greeter", encoding = "json")]
trait Greeter {
    async fn greet(&self, name: String) -> Result<Greeting, RpcError>;
    fn count_down(&self, from: u32) -> impl Stream<Item = Result<u32, RpcError>>;
    async fn greet_all(&self, names: Streaming<String>) -> Result<Greeting, RpcError>;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Greeting {
    text: String,
    by: String,
}

struct Rust;

impl Greeter for Rust {
    async fn greet(&self, name: String) -> Result<Greeting, RpcError> {
        if name.is_empty() {
            return Err(RpcError::application("who is to be greeted?"));
        }
        Ok(Greeting { text: format!("Hello {name}!"), by: "rust".to_owned() })
    }

    fn count_down(&self, from: u32) -> impl Stream<Item = Result<u32, RpcError>> {
        stream::iter((1..=from).rev().map(Ok))
    }

    async fn greet_all(&self, names: Streaming<String>) -> Result<Greeting, RpcError> {
        let names: Vec<_> = names.try_collect().await?;
        self.greet(names.join(", ")).await
    }
}

fn is_here() -> Result<(), Missing> {
    need("Maven", Path::new("mvn"))?;
    need("the example in Java", &file("examples/java/target/installed")).map(drop)
}

/// What the header of its pom.xml says.
fn run(class: &str, url: &str) -> Child {
    let mut maven = Command::new("mvn");
    maven.args([
        "-q",
        "compile",
        "exec:java",
        &format!("-Dexec.mainClass=demo.{class}"),
        &format!("-Dexec.args={url}"),
    ]);
    maven.current_dir(file("examples/java")).env("MAVEN_OPTS", "-Xmx256m -XX:TieredStopAtLevel=1");
    maven.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    maven.spawn().expect("there is Maven")
}

/// What the consumer prints, and who it says greeted it.
async fn consumed(url: &str) -> (Vec<String>, String) {
    let output = timeout(4 * SOON, run("Consumer", url).wait_with_output()).await.expect("it ends");
    let text = String::from_utf8(output.expect("it ran").stdout).expect("its output is text");
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let by = lines.first().and_then(|line| line.strip_suffix(')')?.split_once(" (by ")).map(|(_, by)| by.to_owned());
    lines.iter_mut().take(1).for_each(|line| line.truncate("Hello world!".len()));
    (lines, by.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_in_java_calls_itself_and_rust_and_is_called_by_rust() {
    if let Err(missing) = is_here() {
        return println!("skipped: the example in Java: {missing}");
    }
    let broker = Broker::start().await;
    let url = format!("tcp://{}", broker.address);
    let [services, closed] =
        ["towline_services_registered", "towline_links_closed_total"].map(|name| broker.meter(name));
    let mut provider = run("Provider", &url);
    broker.until("towline_services_registered", services + 1.0).await;

    let printed = ["Hello world!", "3", "2", "1", "Hello Ada, Bob!", "refused: who is to be greeted?"];
    let (lines, by) = consumed(&url).await;
    assert_eq!(lines.iter().take(6).collect::<Vec<_>>(), printed);
    assert!(by.starts_with("java "), "{by}");

    let app = App::connect(url.as_str()).start().await.expect("the broker is there");
    let greeter = app.client::<GreeterClient>();
    assert_eq!(greeter.greet("Rust".to_owned()).await, Ok(Greeting { text: "Hello Rust!".to_owned(), by: by.clone() }));
    let counted: Vec<_> = greeter.count_down(300).prefetch(7).start().try_collect().await.expect("it counts");
    assert_eq!(counted, (1..=300).rev().collect::<Vec<_>>());
    let names = stream::iter(["a", "b"]).map(str::to_owned);
    assert_eq!(greeter.greet_all(names).await, Ok(Greeting { text: "Hello a, b!".to_owned(), by }));
    let error = greeter.greet(String::new()).await.expect_err("nobody is to be greeted");
    assert_eq!(error.rpc().map(|error| error.message.as_str()), Some("who is to be greeted?"));

    // The consumer has left before, in order or not.
    provider.kill().await.expect("it runs");
    broker.until("towline_links_closed_total", closed + 2.0).await;
    let served = App::connect(url.as_str()).serve(GreeterServer::new(Rust)).start().await.expect("the broker is there");
    let (lines, by) = consumed(&url).await;
    assert_eq!((lines.iter().take(6).map(String::as_str).collect::<Vec<_>>(), by.as_str()), (printed.to_vec(), "rust"));
    served.close().await;
    app.close().await;
}
