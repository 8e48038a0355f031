//! Which instance a starter's call reaches: all it can ask for, by its builder of clients.

use super::harness::Broker;
use super::java::{Java, is_here};
use towline_responder::{App, RpcError, Serve, service};

const MANY: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_and_sticky_choose_the_instance() {
    if !is_here("java/java.jar") {
        return;
    }
    let broker = Broker::start().await;
    let url = format!("tcp://{}", broker.address);
    let (a, b, mut asking) = tokio::join!(
        Java::serve(&url, &["a", "192.0.2.1"]),
        Java::serve(&url, &["b", "192.0.2.2"]),
        Java::asking(&url)
    );
    // Plain calls reach both.
    let mut uuids = [None, None];
    for _ in 0..1000 {
        let (name, uuid) = asking.who("").await.expect("both serve");
        uuids[usize::from(name == "b")] = Some(uuid);
        if uuids.iter().all(Option::is_some) {
            break;
        }
    }
    let [Some(uuid_of_a), Some(uuid_of_b)] = uuids else { panic!("one of them was never called") };
    for (endpoint, name) in [
        ("ip:192.0.2.1".to_owned(), "a"),
        ("ip:192.0.2.2".to_owned(), "b"),
        (format!("id:{uuid_of_a}"), "a"),
        (format!("id:{uuid_of_b}"), "b"),
    ] {
        for _ in 0..MANY {
            assert_eq!(asking.name(&format!("endpoint={endpoint}")).await, name, "{endpoint}");
        }
    }
    let error = asking.who("endpoint=ip:192.0.2.3").await.expect_err("nobody is there");
    assert!(error.starts_with("0x204 InvalidException: RST-900405"), "{error}");
    let first = asking.name("sticky").await;
    for _ in 0..MANY {
        assert_eq!(asking.name("sticky").await, first);
    }
    // The one it stuck to goes; it sticks to the other.
    let (gone, stays, left) = if first == "a" { (a, b, "b") } else { (b, a, "a") };
    let closed = broker.meter("towline_links_closed_total");
    gone.kill().await;
    broker.until("towline_links_closed_total", closed + 1.0).await;
    assert_eq!(asking.name("sticky").await, left);
    stays.kill().await;
}

#[service(name = "test.Who", group = "g1", version = "1.0.0", encoding = "json")]
trait Who {
    async fn who(&self) -> Result<String, RpcError>;
}

struct Rust;

impl Who for Rust {
    async fn who(&self) -> Result<String, RpcError> {
        Ok("rust g1:1.0.0".to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn group_and_version_are_part_of_the_name() {
    if !is_here("java/java.jar") {
        return;
    }
    let broker = Broker::start().await;
    let url = format!("tcp://{}", broker.address);
    let app = App::connect(url.as_str()).serve(WhoServer::new(Rust)).start().await.expect("the broker is there");
    let (java, mut asking) = tokio::join!(Java::serve(&url, &["java"]), Java::asking(&url));
    for _ in 0..MANY {
        assert_eq!(asking.name("group=g1 version=1.0.0").await, "rust");
        assert_eq!(asking.name("").await, "java");
    }
    for options in ["group=g1", "version=1.0.0", "group=g1 version=2", "group=g2 version=1.0.0"] {
        let error = asking.who(options).await.expect_err(options);
        assert!(error.starts_with("0x204 InvalidException: RST-900404"), "{options}: {error}");
    }
    app.close().await;
    java.kill().await;
}
