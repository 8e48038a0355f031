//! `examples/browser` in a real browser: the page is driven by `browser/driver.mjs`.

use super::api::{Greeter, GreeterError, GreeterServer, Greeting};
use super::harness::{Broker, SOON};
use super::stranger::{Missing, file, need};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, interval, timeout};
use towline_responder::{App, CallError, RpcError, Serve, Streaming, service};

/// What the page serves.
#[service(name = "demo.Page", version = "1", encoding = "json")]
trait Page {
    /// Shows a text; the page's title.
    async fn show(&self, text: String) -> Result<String, RpcError>;
    /// It does not serve this.
    async fn hide(&self) -> Result<String, RpcError>;
}

/// The page of the example, and the browser it is in, which ends with this.
#[derive(Debug)]
struct Browser {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// Where the page comes from.
    origin: String,
}

impl Browser {
    /// None, and a line that says so, if something for it is missing.
    async fn start() -> Option<Self> {
        let told = |missing: Missing| println!("skipped: the browser example: {missing}");
        needed().map_err(told).ok()?;
        let mut command = Command::new("node");
        command.arg(file("tests/examples/browser/driver.mjs")).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // The browser's profile is there.
        command.env("TMPDIR", env!("CARGO_TARGET_TMPDIR"));
        let mut child = command.spawn().expect("node is there");
        let input = child.stdin.take().expect("it is piped");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut browser = Self { child, input, lines, origin: String::new() };
        browser.origin = browser.answer("start").await.as_str().expect("its origin").to_owned();
        Some(browser)
    }

    /// Opens the page, which connects to this broker.
    async fn open(&mut self, broker: &Broker) {
        self.tell(json!(["open", url(broker)])).await;
    }

    async fn fill(&mut self, id: &str, text: &str) {
        self.tell(json!(["fill", id, text])).await;
    }

    async fn click(&mut self, id: &str) {
        self.tell(json!(["click", id])).await;
    }

    /// What a part of the page says.
    async fn text(&mut self, id: &str) -> String {
        self.tell(json!(["text", id])).await.as_str().expect("a text").to_owned()
    }

    /// Waits until a part of the page says this; all that it says then.
    async fn until(&mut self, id: &str, part: &str) -> String {
        self.tell(json!(["until", id, part])).await.as_str().expect("a text").to_owned()
    }

    /// What the browser's console shows.
    async fn console(&mut self) -> Vec<String> {
        serde_json::from_value(self.tell(json!(["console"])).await).expect("texts")
    }

    /// Closes the browser, which removes its profile.
    async fn close(mut self) {
        drop(self.input);
        let status = timeout(SOON, self.child.wait()).await.expect("the browser closes").expect("it is a child");
        assert!(status.success(), "the driver ended with {status}");
    }

    async fn tell(&mut self, what: Value) -> Value {
        self.input.write_all(format!("{what}\n").as_bytes()).await.expect("the driver runs");
        self.answer(&what.to_string()).await
    }

    async fn answer(&mut self, to: &str) -> Value {
        // The driver itself gives up before that.
        let line = timeout(3 * SOON, self.lines.next_line()).await.unwrap_or_else(|_| panic!("{to}: no answer"));
        let line = line.expect("text").unwrap_or_else(|| panic!("{to}: the driver has ended"));
        let mut answer: Value = serde_json::from_str(&line).expect("JSON");
        assert!(answer.get("ok").is_some(), "{to}: {answer}");
        answer["ok"].take()
    }
}

fn needed() -> Result<(), Missing> {
    need("Node.js", Path::new("node"))?;
    need("Chromium", Path::new("/usr/bin/chromium"))?;
    // Written last, once everything is there.
    need("rsocket-js", &file("examples/browser/node_modules/.installed"))?;
    need("playwright-core", &file("tests/examples/browser/node_modules/.installed")).map(drop)
}

fn url(broker: &Broker) -> String {
    format!("ws://{}", broker.address)
}

async fn admitting(origin: &str) -> Broker {
    Broker::with(|config| config.listen.origins = vec![origin.to_owned()]).await
}

/// The greeter of the example, which counts what it does.
#[derive(Clone, Default)]
struct Counting {
    /// Numbers of all streams.
    made: Arc<AtomicU32>,
    /// Streams in progress.
    running: Arc<AtomicU32>,
}

struct Running(Arc<AtomicU32>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Greeter for Counting {
    async fn greet(&self, name: String) -> Result<Greeting, GreeterError> {
        if name.is_empty() {
            return Err(GreeterError::NameMissing);
        }
        Ok(Greeting { text: format!("Hello {name}!"), by: "Rust".to_owned() })
    }

    async fn wave(&self, _name: String) {}

    fn count_down(&self, from: u32) -> impl Stream<Item = Result<u32, GreeterError>> {
        self.running.fetch_add(1, Ordering::SeqCst);
        let (running, made) = (Running(self.running.clone()), self.made.clone());
        stream::iter((1..=from).rev()).map(move |number| {
            let _ = &running;
            made.fetch_add(1, Ordering::SeqCst);
            Ok(number)
        })
    }

    async fn greet_all(&self, names: Streaming<String>) -> Result<Greeting, GreeterError> {
        let names: Vec<_> = names.try_collect().await.map_err(|_| GreeterError::NameMissing)?;
        self.greet(names.join(", ")).await
    }

    fn chat(&self, _room: String, said: Streaming<String>) -> impl Stream<Item = Result<String, GreeterError>> {
        said.map(|text| text.map_err(|error| GreeterError::BrokenOff { why: error.message }))
    }
}

async fn greeter(broker: &Broker, greeter: &Counting) -> App {
    let app = App::connect(format!("tcp://{}", broker.address)).name("greeter");
    app.serve(GreeterServer::new(greeter.clone())).start().await.expect("the broker is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_calls_and_shows_the_errors_of_a_method() {
    let Some(mut page) = Browser::start().await else { return };
    let broker = admitting(&page.origin).await;
    let app = greeter(&broker, &Counting::default()).await;
    page.open(&broker).await;
    page.until("#status", "connected as ").await;
    page.fill("#name", "Zoë").await;
    page.click("#greet").await;
    assert_eq!(page.until("#greeting", "Hello").await, "Hello Zoë! (by Rust)");
    page.fill("#name", "").await;
    page.click("#greet").await;
    assert_eq!(page.until("#greeting", "refused").await, "refused: who is to be greeted?");
    app.close().await;
    page.click("#greet").await;
    page.until("#greeting", "refused: RST-900404").await;
    assert_eq!(page.console().await, Vec::<String>::new());
    page.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_gets_no_more_of_a_stream_than_it_asked_for() {
    let Some(mut page) = Browser::start().await else { return };
    let broker = admitting(&page.origin).await;
    let counting = Counting::default();
    let app = greeter(&broker, &counting).await;
    page.open(&broker).await;
    page.until("#status", "connected as ").await;
    for (button, numbers) in [("#count", "1000 999 998"), ("#more", "1000 999 998 997 996 995")] {
        page.click(button).await;
        page.until("#numbers", numbers).await;
        // A call the same way there and back: what was sent before it came before its answer.
        page.click("#greet").await;
        page.until("#greeting", "Hello").await;
        assert_eq!(page.text("#numbers").await, numbers);
        let asked_for = numbers.split(' ').count() as u32;
        assert_eq!(counting.made.load(Ordering::SeqCst), asked_for, "made for {button}");
    }
    page.click("#stop").await;
    let deadline = Instant::now() + SOON;
    let mut looks = interval(std::time::Duration::from_millis(20));
    while counting.running.load(Ordering::SeqCst) > 0 {
        assert!(Instant::now() < deadline, "the stream goes on though the page has cancelled it");
        looks.tick().await;
    }
    page.fill("#from", "2").await;
    page.click("#count").await;
    assert_eq!(page.until("#numbers", "done").await, "2 1 done");
    app.close().await;
    page.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_serves_other_apps_again_after_it_lost_its_broker() {
    let Some(mut page) = Browser::start().await else { return };
    let broker = admitting(&page.origin).await;
    page.open(&broker).await;
    let connected = page.until("#status", "connected as ").await;
    broker.drain().await;
    page.until("#status", "disconnected: ").await;

    let broker = admitting(&page.origin).await;
    page.fill("#broker", &url(&broker)).await;
    page.click("#connect").await;
    assert_eq!(page.until("#status", "connected as ").await, connected, "the same instance");
    let app = App::connect(format!("tcp://{}", broker.address)).start().await.expect("the broker is there");
    let title = app.client::<PageClient>().show("hëllo <b>page</b>".to_owned()).await;
    assert_eq!(title, Ok("Towline in a browser".to_owned()));
    assert_eq!(page.text("#shown").await, "hëllo <b>page</b>");
    let refused = app.client::<PageClient>().hide().await;
    let Err(CallError::Rpc(error)) = refused else { panic!("{refused:?}") };
    assert_eq!((error.code, error.message.as_str()), (0x204, "RST-201404: No service handler found: demo.Page.hide"));
    app.close().await;
    page.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_an_origin_that_is_not_named_is_refused_and_says_what_to_do() {
    let Some(mut page) = Browser::start().await else { return };
    let broker = Broker::start().await;
    page.open(&broker).await;
    let said = page.until("#status", "no connection").await;
    let (broker, origin) = (url(&broker), &page.origin);
    assert_eq!(said, format!("no connection: is a broker at {broker}, and does its listen.origins name {origin}?"));
    // The page itself is told no reason; the console is.
    let console = page.console().await;
    assert!(console.iter().any(|line| line.contains(&broker) && line.contains("403")), "{console:?}");
    page.close().await;
}
