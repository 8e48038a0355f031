//! Durable topics from the command line.

use super::{Broker, output, refused, towline};
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

/// A broker on a data folder of its own.
struct Scene {
    broker: Broker,
    address: String,
    data: PathBuf,
}

impl Scene {
    fn new(name: &str) -> Self {
        let data = std::env::temp_dir().join(format!("towline-cli-{name}-{}", std::process::id()));
        let broker = Broker::start(&["--data", data.to_str().expect("text")]);
        let address = format!("rsocket://{}", broker.address());
        Self { broker, address, data }
    }

    /// The same with a topic `orders`.
    fn with_topic(name: &str) -> Self {
        let scene = Self::new(name);
        scene.says(&["topic", "create", "orders"]);
        scene
    }

    /// Standard output of a command that ends well.
    fn says(&self, args: &[&str]) -> String {
        let output = output(&[args, &["--broker", &self.address]].concat());
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn json(&self, args: &[&str]) -> Value {
        let text = self.says(&[args, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Each line of standard output is JSON of its own.
    fn lines(&self, args: &[&str]) -> Vec<Value> {
        let text = self.says(&[args, &["-o", "json"]].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    fn refuses(&self, args: &[&str]) -> (Option<i32>, String) {
        refused(&[args, &["--broker", &self.address]].concat())
    }

    /// The same of a command that reads this.
    fn reads(&self, args: &[&str], text: &[u8]) -> (Option<i32>, String, String) {
        let mut command = towline(&[args, &["--broker", &self.address]].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        child.stdin.take().expect("it is piped").write_all(text).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.broker.process.kill();
        let _ = self.broker.process.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

#[test]
fn a_topic_is_created_shown_paused_emptied_and_removed() {
    let scene = Scene::new("topic");
    let create = ["topic", "create", "orders", "--durability", "os", "--retention", "24h", "--max-message", "1KiB"];
    assert_eq!(scene.says(&create), "topic orders is there, durability os\n");
    scene.says(&create);
    let (code, error) = scene.refuses(&["topic", "create", "orders", "--durability", "disk"]);
    assert_eq!(code, Some(1));
    assert!(error.starts_with("towline: orders: there is a topic `orders` already, with another "), "{error}");

    scene.says(&["topic", "create", "other"]);
    let names = |all: Value| -> Vec<String> {
        all.as_array().expect("a list").iter().map(|topic| topic["topic"].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(names(scene.json(&["topic", "ls"])), ["orders", "other"]);
    assert_eq!(names(scene.json(&["topic", "ls", "ord"])), ["orders"]);
    let table = scene.says(&["topic", "ls"]);
    assert!(table.starts_with("TOPIC   DEPTH  BYTES  NEXT OFFSET  "), "{table}");
    let info = scene.json(&["topic", "info", "orders"]);
    assert_eq!(
        (&info["config"]["retentionMs"], &info["config"]["maxMessageBytes"]),
        (&json!(86_400_000), &json!(1024))
    );
    assert!(scene.says(&["topic", "info", "orders"]).contains("  retentionMs = 86400000\n"));

    assert_eq!(scene.says(&["topic", "pause", "orders"]), "topic orders is paused: consuming goes on\n");
    let (code, error) = scene.refuses(&["publish", "orders", "--text", "a"]);
    assert_eq!((code, &*error), (Some(1), "towline: orders: topic `orders` is paused; towline.Topics.resume\n"));
    scene.says(&["topic", "resume", "orders"]);
    scene.says(&["publish", "orders", "--text", "a"]);

    let (code, error) = scene.refuses(&["topic", "purge", "orders", "--confirm", "order"]);
    assert_eq!((code, error.contains("nothing was removed")), (Some(1), true), "{error}");
    assert_eq!(scene.json(&["topic", "purge", "orders", "--confirm", "orders"])["removed"], 1);
    assert_eq!(scene.refuses(&["topic", "rm", "orders"]).0, Some(2));
    assert_eq!(scene.refuses(&["topic", "rm", "orders", "--confirm", "x"]).0, Some(1));
    scene.says(&["topic", "rm", "orders", "--confirm", "orders"]);
    let (code, error) = scene.refuses(&["topic", "info", "orders"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        error,
        "towline: orders: there is no topic `orders`; create it: `towline topic create`, or towline.Topics.create\n"
    );
}

#[test]
fn what_is_published_is_peeked_and_consumed() {
    let scene = Scene::with_topic("publish");
    assert_eq!(
        scene.says(&[
            "publish",
            "orders",
            "-d",
            r#"{"id": 7.10}"#,
            "--key",
            "c42",
            "--tag",
            "paid",
            "--header",
            "a=b=c"
        ]),
        "stored in topic orders at offset 0 (disk)\n"
    );
    let published = scene.json(&["publish", "orders", "--text", "zwei", "--id", "two"]);
    assert_eq!((&published["offset"], &published["durability"]), (&json!(1), &json!("disk")));
    assert_eq!(
        scene.says(&["publish", "orders", "--text", "zwei", "--id", "two"]),
        "was stored before in topic orders at offset 1: nothing was added\n"
    );
    let (code, out, _) =
        scene.reads(&["publish", "orders", "--body-file", "-", "--content-type", "image/png"], b"\xff");
    assert_eq!((code, &*out), (Some(0), "stored in topic orders at offset 2 (disk)\n"));
    let scheduled = scene.json(&["publish", "orders", "--text", "late", "--delay", "1h"]);
    assert!(scheduled["offset"].is_null() && scheduled["due"].is_u64(), "{scheduled}");

    let peeked = scene.lines(&["peek", "orders"]);
    assert_eq!(peeked.len(), 3);
    let (json, key, tag) = (&peeked[0]["json"], &peeked[0]["key"], &peeked[0]["tag"]);
    assert_eq!((json, key, tag), (&json!({ "id": 7.10 }), &json!("c42"), &json!("paid")));
    assert_eq!((&peeked[0]["headers"]["a"], &peeked[2]["body"]), (&json!("b=c"), &json!("/w==")));
    assert_eq!(scene.lines(&["peek", "orders", "--from", "1", "--max", "1"])[0]["text"], "zwei");
    let table = scene.says(&["peek", "orders"]);
    assert!(table.contains(r#"{"id": 7.10}"#) && table.contains("1 bytes"), "{table}");

    let consume = ["consume", "orders", "billing", "--start", "earliest", "--take"];
    let consumed = scene.says(&[&consume[..], &["2"]].concat());
    assert_eq!(consumed, "0 key=c42 tag=paid: {\"id\": 7.10}\n1: zwei\n");
    let rest = scene.lines(&["consume", "orders", "billing", "--take", "1"]);
    assert_eq!((&rest[0]["offset"], rest.len()), (&json!(2), 1));
    assert_eq!(scene.says(&["consume", "orders", "billing", "--idle", "10ms"]), "");
}

#[test]
fn lines_are_published_in_order_and_the_bad_ones_are_told() {
    let scene = Scene::new("lines");
    scene.says(&["topic", "create", "orders", "--max-message", "100B"]);
    let text: String = (0..2_000).map(|n| format!("line {n}\n")).collect();
    let (code, out, error) = scene.reads(&["publish", "orders", "--lines", "--in-flight", "64"], text.as_bytes());
    assert_eq!((code, &*out), (Some(0), "2000 messages are stored in topic orders, offsets 0 to 1999\n"), "{error}");
    assert_eq!(scene.lines(&["peek", "orders", "--from", "1999"])[0]["text"], "line 1999");
    let long = "x".repeat(1_000);
    let (code, out, error) =
        scene.reads(&["publish", "orders", "--lines", "-o", "json"], format!("a\n{long}\nb\n").as_bytes());
    let out: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &out["stored"], &out["failed"]), (Some(1), &json!(2), &json!(1)));
    assert!(error.starts_with("towline: line 2: not stored: a message of 1"), "{error}");
    assert!(error.contains("towline: orders: 1 lines are not stored, or nobody knows; "), "{error}");
}

#[test]
fn what_a_consumer_refuses_is_a_dead_letter_and_can_be_sent_back() {
    let scene = Scene::with_topic("dlq");
    scene.says(&["publish", "orders", "--text", "bad"]);
    let consume = ["consume", "orders", "billing", "--start", "earliest", "--max-attempts", "2", "--take", "1"];
    let nack = [&consume[..], &["--nack", "no card", "--delay", "0s"]].concat();
    assert_eq!(scene.says(&nack), "0: bad\n");
    assert_eq!(scene.says(&nack), "0 (attempt 2): bad\n");
    let dead = scene.lines(&["dlq", "ls", "orders", "billing"]);
    assert_eq!((dead.len(), &dead[0]["headers"]["towline-dead-error"]), (1, &json!("no card")));
    let moved = scene.says(&["dlq", "redrive", "orders", "billing", "--offset", "0"]);
    assert_eq!(moved, "1 messages are published again to topic orders\n");
    assert_eq!(scene.says(&consume), "1: bad\n");
    assert!(scene.lines(&["dlq", "ls", "orders", "billing"]).is_empty());
}

#[test]
fn groups_are_shown_moved_and_removed() {
    let scene = Scene::with_topic("group");
    for text in ["a", "b", "c"] {
        scene.says(&["publish", "orders", "--text", text]);
    }
    let consume = ["consume", "orders", "billing", "--start", "offset:1", "--take", "2"];
    assert_eq!(scene.says(&consume), "1: b\n2: c\n");
    let groups = scene.json(&["group", "ls", "orders"]);
    assert_eq!(
        (&groups[0]["group"], &groups[0]["next"], &groups[0]["depth"]),
        (&json!("billing"), &json!(3), &json!(0))
    );
    assert!(scene.says(&["topic", "info", "orders"]).contains("billing  shared"));
    let info = scene.says(&["group", "info", "orders", "billing"]);
    assert!(info.contains("  maxAttempts = 16\n") && info.ends_with("  dead letters: orders.billing.dlq\n"), "{info}");
    assert_eq!(scene.json(&["group", "seek", "orders", "billing", "--to", "earliest"])["next"], 0);
    assert_eq!(scene.says(&["consume", "orders", "billing", "--take", "1"]), "0: a\n");
    let (code, error) = scene.refuses(&["group", "seek", "orders", "billing", "--to", "yesterday"]);
    assert_eq!((code, error.contains("latest|earliest|offset:N|time:MS|copy:GROUP")), (Some(2), true), "{error}");
    assert_eq!(scene.says(&["group", "rm", "orders", "billing"]), "group billing of topic orders is removed\n");
    let (code, error) = scene.refuses(&["group", "info", "orders", "billing"]);
    assert_eq!((code, error.contains("has no group `billing`")), (Some(1), true), "{error}");
}

#[test]
fn a_consumer_ends_well_on_a_signal_and_gives_back_what_it_has_not_printed() {
    use std::io::{BufRead, BufReader};
    let scene = Scene::with_topic("signal");
    scene.says(&["publish", "orders", "--text", "a"]);
    let args = ["consume", "orders", "billing", "--start", "earliest", "--broker", &scene.address];
    let mut consumer = towline(&args).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut line = String::new();
    BufReader::new(consumer.stdout.take().expect("it is piped")).read_line(&mut line).expect("text");
    assert_eq!(line, "0: a\n");
    let sent = std::process::Command::new("kill").args(["-s", "TERM", &consumer.id().to_string()]).status();
    assert!(sent.expect("kill starts").success());
    assert!(consumer.wait().expect("it ends").success());
    assert_eq!(scene.json(&["group", "info", "orders", "billing"])["depth"], 0);
}

#[test]
fn without_a_broker_the_address_is_told() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it is bound");
    let (code, error) = refused(&["topic", "ls", "--broker", &format!("rsocket://{address}")]);
    assert_eq!(code, Some(1));
    assert!(
        error.contains(&address.to_string()) && error.ends_with("; is a broker running there? see --broker\n"),
        "{error}"
    );
    let (code, error) = refused(&["topic", "ls", "--broker", "ftp://nowhere"]);
    assert_eq!(code, Some(2), "{error}");
    assert_eq!(refused(&["publish", "orders"]).0, Some(2));
    assert_eq!(refused(&["publish", "orders", "-d", "{", "--broker", "rsocket://127.0.0.1:1"]).0, Some(2));
}

#[test]
fn every_command_has_an_example_in_its_help() {
    let topic = ["create", "ls", "info", "pause", "resume", "purge", "rm"].map(|verb| vec!["topic", verb]);
    let group = ["ls", "info", "seek", "rm"].map(|verb| vec!["group", verb]);
    let dlq = ["ls", "redrive"].map(|verb| vec!["dlq", verb]);
    let others = ["topic", "group", "dlq", "publish", "consume", "peek"].map(|verb| vec![verb]);
    for command in [&topic[..], &group, &dlq, &others].concat() {
        let help = output(&[&command[..], &["--help"]].concat());
        let text = String::from_utf8(help.stdout).expect("text");
        let example = format!("Example: towline {}", command.join(" "));
        assert!(text.contains(&example), "{command:?}: {text}");
    }
}
