//! Durable topics under stock clients: `examples/node/topics.mjs`, `examples/python/topics.py` and `test.Topics` of
//! `tests/strangers/java`. Each command is run as a program of its own; what it said is then looked for in the broker.

use super::harness::{Broker, SOON};
use super::jvm;
use super::program::{Missing, file, need};
use super::python::python;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval, timeout};
use towline_responder::App;
use towline_service_api::builtin::{Delivery, GroupStatus, TopicsClient};

/// More than a broker asks for at once: of orders as of settles.
const COUNT: u64 = 2_500;
/// Orders, by their ids, which are from 1 on: one that the topic does not take, and one that its consumer cannot handle.
const TOO_LARGE: u64 = 1_200;
const UNFIT: u64 = 2_000;
const UNKNOWN: &str = "refused: unknown-topic: there is no topic `nowhere`; \
                       create it: `towline topic create`, or towline.Topics.create";

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A broker with a data folder of its own, an app that looks at it, and the program of a stranger.
struct Shop {
    broker: Broker,
    app: App,
    folder: Folder,
    scheme: &'static str,
    command: Vec<OsString>,
}

impl Shop {
    async fn open(scheme: &'static str, command: Vec<OsString>) -> Self {
        let name = format!("towline-strangers-{}-{:x}", std::process::id(), fastrand::u64(..));
        Self::on(Folder(std::env::temp_dir().join(name)), scheme, command).await
    }

    async fn on(folder: Folder, scheme: &'static str, command: Vec<OsString>) -> Self {
        let broker = Broker::with(|config| config.data.directory.clone_from(&folder.0)).await;
        let app = App::connect(format!("tcp://{}", broker.address)).start().await.expect("it connects");
        Self { broker, app, folder, scheme, command }
    }

    /// Stops well, and starts again on the same folder.
    async fn reopen(self) -> Self {
        let Self { broker, app, folder, scheme, command } = self;
        app.close().await;
        broker.drain().await;
        Self::on(folder, scheme, command).await
    }

    fn topics(&self) -> TopicsClient {
        self.app.client()
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let address = format!("{}://{}", self.scheme, self.broker.address);
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).arg(address).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.command))
    }

    /// Runs a command with this as its input; all it prints, and whether it says that it did well.
    async fn ran(&self, arguments: &[&str], input: String) -> (Vec<String>, bool) {
        let mut child = self.start(arguments);
        let mut stdin = child.stdin.take().expect("it is piped");
        let write = tokio::spawn(async move {
            // It may not read it.
            let _ = stdin.write_all(input.as_bytes()).await;
        });
        let output = timeout(4 * SOON, child.wait_with_output()).await;
        let Output { status, stdout, .. } =
            output.unwrap_or_else(|_| panic!("{arguments:?} does not end")).expect("it runs");
        write.await.expect("it does not panic");
        let stdout = String::from_utf8(stdout).expect("its output is text");
        (stdout.lines().map(str::to_owned).collect(), status.success())
    }

    /// The same of one that does well.
    async fn run(&self, arguments: &[&str], input: String) -> Vec<String> {
        let (lines, is_well) = self.ran(arguments, input).await;
        assert!(is_well, "{arguments:?} fails: {lines:#?}");
        lines
    }

    /// Runs one that has no input and prints one line.
    async fn says(&self, arguments: &[&str]) -> String {
        self.run(arguments, String::new()).await.join("\n")
    }

    /// All that is kept of a topic.
    async fn stored(&self, topic: &str) -> Vec<Delivery> {
        let mut stored: Vec<Delivery> = Vec::new();
        loop {
            let from = stored.last().map(|last| last.offset + 1);
            let page = self.topics().peek(topic.to_owned(), from, Some(1_000)).await.expect("it is there");
            if page.is_empty() {
                return stored;
            }
            stored.extend(page);
        }
    }

    async fn letters(&self) -> Vec<Delivery> {
        self.topics().dead_letters("orders".to_owned(), "billing".to_owned(), None, None).await.expect("it is there")
    }

    /// Once this is so of a group.
    async fn until(&self, group: &str, is_so: impl Fn(&GroupStatus) -> bool) -> GroupStatus {
        let deadline = Instant::now() + SOON;
        let mut looks = interval(Duration::from_millis(10));
        loop {
            let status = self.topics().group("orders".to_owned(), group.to_owned()).await.expect("it is there");
            if is_so(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{status:?}");
            looks.tick().await;
        }
    }

    /// Once it has settled all there is and its members are gone.
    async fn done(&self, group: &str) -> GroupStatus {
        let status = self.until(group, |is| (is.depth, is.members) == (0, 0)).await;
        assert_eq!((status.in_flight, status.waiting), (0, 0), "{status:?}");
        status
    }

    async fn refuses_a_topic_that_is_not_there(&self) {
        let order = order(1).to_string();
        for arguments in
            [&["publish", "nowhere", &order][..], &["publish-many", "nowhere"], &["consume", "nowhere", "billing", "1"]]
        {
            let said = self.ran(arguments, format!("{order}\n")).await;
            assert_eq!(said, (vec![UNKNOWN.to_owned()], false), "{arguments:?}");
        }
        assert_eq!(self.topics().list(None).await.expect("answered"), [], "no use creates a topic");
    }

    async fn creates(&self) {
        let config = r#"{"maxMessageBytes":1024}"#;
        for _ in 0..2 {
            assert_eq!(self.says(&["create", "orders", config]).await, "created orders");
        }
        let created = self.topics().get("orders".to_owned()).await.expect("it is there");
        assert_eq!((created.config.max_message_bytes, created.head), (Some(1024), 0));
        let (said, is_well) = self.ran(&["create", "orders", r#"{"maxMessageBytes":1025}"#], String::new()).await;
        assert!(!is_well && said[0].starts_with("refused: topic-exists: "), "{said:?}");
    }

    async fn publishes(&self) {
        let first = order(1).to_string();
        assert_eq!(self.says(&["publish", "orders", &first]).await, "stored 0");
        assert_eq!(self.says(&["publish", "orders", &first]).await, "stored 0, as before");
        let stored = self.stored("orders").await;
        assert_eq!(stored.len(), 1);
        expect_order(&stored[0], 1);
    }

    /// The first of them is there already.
    async fn publishes_many(&self) {
        let lines: String = (1..=COUNT).map(|id| format!("{}\n", order(id))).collect();
        let receipts = self.run(&["publish-many", "orders"], lines).await;
        let expected = (1..=COUNT).map(|id| match id {
            TOO_LARGE => format!("{}: refused too-large", id - 1),
            _ => format!("{}: stored {}", id - 1, offset(id)),
        });
        assert_eq!(receipts, expected.collect::<Vec<_>>());
        let stored = self.stored("orders").await;
        assert_eq!(stored.len(), ids().count());
        for (delivery, id) in stored.iter().zip(ids()) {
            assert_eq!(delivery.offset, offset(id));
            expect_order(delivery, id);
        }
    }

    async fn consumes(&self) {
        // The unfit one comes three times.
        let count = (ids().count() + 2).to_string();
        let mut got = self.run(&["consume", "orders", "billing", &count, &UNFIT.to_string()], String::new()).await;
        let mut expected: Vec<_> = ids().map(|id| format!("got {id}, attempt 1")).collect();
        let first_attempts: Vec<_> = got.iter().filter(|line| line.ends_with(" 1")).cloned().collect();
        assert_eq!(first_attempts, expected, "in their order");
        expected.extend([2, 3].map(|attempt| format!("got {UNFIT}, attempt {attempt}")));
        got.sort_unstable();
        expected.sort_unstable();
        assert_eq!(got, expected);
        let status = self.done("billing").await;
        assert_eq!((status.next, status.dead, status.options.max_attempts), (COUNT - 1, 1, Some(3)));
    }

    async fn sends_dead_letters_back(&self) {
        let letters = self.letters().await;
        assert_eq!(letters.len(), 1);
        expect_order(&letters[0], UNFIT);
        let headers = &letters[0].headers;
        let origin =
            ["topic", "offset", "group", "attempts", "error"].map(|name| &*headers[&format!("towline-dead-{name}")]);
        assert_eq!(origin, ["orders", &offset(UNFIT).to_string(), "billing", "3", "cannot handle it"]);
        let said = self.says(&["dead-letters", "orders", "billing"]).await;
        assert_eq!(said, format!("0: {UNFIT} after 3 attempts: cannot handle it"));
        assert_eq!(self.says(&["redrive", "orders", "billing"]).await, "moved 1");
        assert_eq!(self.letters().await, []);
        let again = self.stored("orders").await.pop().expect("it is there");
        assert_eq!((again.offset, &*again.headers["towline-redriven"]), (COUNT - 1, "1"));
        expect_order(&again, UNFIT);
        assert_eq!(self.until("billing", |_| true).await.depth, 1);
        // Somebody has mended the consumer.
        assert_eq!(self.says(&["consume", "orders", "billing", "1"]).await, format!("got {UNFIT}, attempt 1"));
        assert_eq!(self.done("billing").await.next, COUNT);
    }

    /// What a killed consumer had and did not settle is the next one's.
    async fn dies_and_another_goes_on(&self) {
        let mut child = self.start(&["consume", "orders", "audit", "1000000"]);
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut got = Vec::new();
        while got.len() < 100 {
            let line = timeout(SOON, lines.next_line()).await.expect("more comes").expect("it is text");
            got.push(line.expect("it goes on"));
        }
        child.kill().await.expect("it runs");
        while let Ok(Some(line)) = lines.next_line().await {
            got.push(line);
        }
        let left = self.until("audit", |is| (is.members, is.in_flight) == (0, 0)).await.depth;
        let more = self.run(&["consume", "orders", "audit", &left.to_string()], String::new()).await;
        assert_eq!(more.len() as u64, left);
        got.extend(more);
        // The last may have been cut when it was killed.
        let got: BTreeSet<u64> =
            got.iter().filter_map(|line| line.split_once(',')?.0.strip_prefix("got ")?.parse().ok()).collect();
        assert_eq!(got, ids().collect());
        assert_eq!(self.done("audit").await.next, COUNT);
    }

    /// In the memory of the broker as on its disk.
    async fn restarted(self) -> Self {
        let kept = |status: GroupStatus| (status.options, status.next, status.depth, status.waiting);
        let (groups, stored) = (["billing", "audit"], self.stored("orders").await);
        let before = [kept(self.done(groups[0]).await), kept(self.done(groups[1]).await)];
        let shop = self.reopen().await;
        assert_eq!([kept(shop.done(groups[0]).await), kept(shop.done(groups[1]).await)], before);
        assert_eq!((shop.stored("orders").await, shop.letters().await), (stored, vec![]));
        shop
    }
}

/// The orders that the topic takes.
fn ids() -> impl Iterator<Item = u64> {
    (1..=COUNT).filter(|id| *id != TOO_LARGE)
}

/// Where the order is stored.
fn offset(id: u64) -> u64 {
    id - 1 - u64::from(id > TOO_LARGE)
}

fn order(id: u64) -> Value {
    let note = if id == TOO_LARGE { "x".repeat(2_000) } else { format!("for Zoë, \"{id}\"") };
    json!({ "id": id, "note": note })
}

#[track_caller]
fn expect_order(delivery: &Delivery, id: u64) {
    assert_eq!(delivery.json::<Value>().expect("it is JSON"), order(id));
    assert_eq!(delivery.content_type.as_deref(), Some("application/json"));
    assert_eq!(delivery.id, Some(format!("order-{id}")));
}

/// All of it, with a program that is here.
async fn uses_topics(client: &str, scheme: &'static str, command: Result<Vec<OsString>, Missing>) -> Option<Shop> {
    let command = command.inspect_err(|missing| println!("skipped: topics by {client}: {missing}")).ok()?;
    let shop = Shop::open(scheme, command).await;
    shop.refuses_a_topic_that_is_not_there().await;
    shop.creates().await;
    shop.publishes().await;
    shop.publishes_many().await;
    shop.consumes().await;
    shop.sends_dead_letters_back().await;
    shop.dies_and_another_goes_on().await;
    Some(shop.restarted().await)
}

fn in_node() -> Result<Vec<OsString>, Missing> {
    let node = need("node", Path::new("node"))?;
    need("rsocket-js 1", &file("examples/node/node_modules/.installed"))?;
    Ok(vec![node.into(), file("examples/node/topics.mjs").into()])
}

fn in_python() -> Result<Vec<OsString>, Missing> {
    Ok(vec![python()?.into(), file("examples/python/topics.py").into()])
}

/// Without the starter, which has a class of rsocket-java of its own: the library's comes first.
fn in_java() -> Result<Vec<OsString>, Missing> {
    let mut command = jvm::program("java/java.jar")?;
    let jar = command.pop().expect("it is the last");
    command.pop();
    let library = file("target/strangers/java/lib/rsocket-core-1.1.4.jar").into();
    let path = std::env::join_paths([library, jar]).expect("they are paths");
    command.extend(["-cp".into(), path, "test.Topics".into()]);
    Ok(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn rsocket_js_over_tcp_uses_topics() {
    uses_topics("rsocket-js 1", "rsocket", in_node()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rsocket_py_over_tcp_uses_topics() {
    uses_topics("rsocket-py", "tcp", in_python()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rsocket_py_over_ws_uses_topics() {
    uses_topics("rsocket-py", "ws", in_python()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rsocket_java_over_tcp_uses_topics_in_json_and_in_cbor() {
    let Some(shop) = uses_topics("rsocket-java", "tcp", in_java()).await else { return };
    assert_eq!(shop.says(&["create", "bytes"]).await, "created bytes");
    assert_eq!(shop.says(&["publish-bytes", "bytes", "héllo"]).await, "stored 0");
    let stored = shop.stored("bytes").await;
    let stored: Vec<_> = stored.iter().map(|it| (it.text(), it.content_type.as_deref())).collect();
    assert_eq!(stored, [(Some("héllo"), None)]);
    let (said, is_well) = shop.ran(&["publish-bytes", "nowhere", "héllo"], String::new()).await;
    assert_eq!((said, is_well), (vec![UNKNOWN.to_owned()], false), "an error is JSON in any encoding");
}

#[test]
fn what_clients_md_shows_is_in_the_programs() {
    let text = std::fs::read_to_string(file("docs/clients.md")).expect("the document");
    let (_, topics) = text.split_once("\n## Topics\n").expect("the section");
    let mut shown = 0;
    for block in topics.split("\n```").skip(1).step_by(2) {
        let (language, lines) = block.split_once('\n').expect("a block has lines");
        let program = match language {
            "js" => "examples/node/topics.mjs",
            "python" => "examples/python/topics.py",
            "java" => "tests/strangers/java/src/main/java/test/Topics.java",
            other => panic!("no program in {other:?}"),
        };
        let program = std::fs::read_to_string(file(program)).expect("the program");
        let trimmed = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
        assert!(trimmed(&program).contains(&trimmed(lines)), "this is not in the program in {language}:\n{lines}");
        shown += 1;
    }
    assert!(shown >= 3, "{shown} snippets");
}
