//! Links that are lost, and found again by the starters' own means.

use super::harness::{Broker, Process, SOON};
use super::java::{Java, is_here};
use std::net::{Ipv4Addr, TcpListener as Listener};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, interval};

/// A second address of a broker; dropping it cuts what is connected there.
struct Detour {
    address: String,
    task: JoinHandle<()>,
}

impl Detour {
    async fn to(broker: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let task = tokio::spawn(async move {
            let mut links = JoinSet::new();
            while let Ok((mut app, _)) = listener.accept().await {
                let mut broker = TcpStream::connect(&broker).await.expect("the broker is there");
                links.spawn(async move { tokio::io::copy_bidirectional(&mut app, &mut broker).await });
            }
        });
        Self { address, task }
    }

    /// Cuts every connection and lets nobody in again.
    async fn cut(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_addresses_of_one_broker_are_two_links_and_one_may_go() {
    if !is_here("java/java.jar") {
        return;
    }
    let broker = Broker::start().await;
    let own = ["towline_links_accepted_total", "towline_instances", "towline_links_closed_total"]
        .map(|name| broker.meter(name));
    let detour = Detour::to(broker.address.clone()).await;
    let urls = format!("tcp://{},tcp://{}", broker.address, detour.address);
    let (_provider, mut asking) = tokio::join!(Java::serve(&urls, &["a"]), Java::asking(&urls));
    broker.until("towline_links_accepted_total", own[0] + 4.0).await;
    let uuid = asking.who("").await.expect("it serves").1;
    for _ in 0..20 {
        assert_eq!(asking.who("").await, Ok(("a".to_owned(), uuid.clone())));
    }
    assert_eq!(broker.meter("towline_instances"), own[1] + 2.0, "one uuid, whatever the address");
    detour.cut().await;
    broker.until("towline_links_closed_total", own[2] + 2.0).await;
    // The one call that meets the lost link fails within the starter, which means to send it again: it either removes
    // that link from the map it walks through, or sends bytes that were released.
    let mut errors = Vec::new();
    for _ in 0..40 {
        match asking.who("").await {
            Ok(who) => assert_eq!(who, ("a".to_owned(), uuid.clone())),
            Err(error) => errors.push(error),
        }
    }
    let known = ["none ConcurrentModificationException", "none IllegalReferenceCountException"];
    let is_known = |error: &String| known.iter().any(|name| error.starts_with(name));
    assert!(errors.len() <= 1 && errors.iter().all(is_known), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_missed_at_once_and_found_when_it_is_back() {
    if !is_here("java/java.jar") {
        return;
    }
    let broker = Broker::start().await;
    let url = format!("tcp://{}", broker.address);
    let (provider, mut asking) = tokio::join!(Java::serve(&url, &["first"]), Java::asking(&url));
    assert_eq!(asking.name("").await, "first");
    let closed = broker.meter("towline_links_closed_total");
    provider.kill().await;
    broker.until("towline_links_closed_total", closed + 1.0).await;
    let error = asking.who("").await.expect_err("nobody is there");
    assert!(error.starts_with("0x204 InvalidException: RST-900404: Service not found test.Who"), "{error}");
    let _provider = Java::serve(&url, &["second"]).await;
    assert_eq!(asking.name("").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn starters_come_back_to_a_broker_that_was_restarted() {
    if !is_here("java/java.jar") {
        return;
    }
    // The same address again, so not one that the system picks for the broker itself.
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let url = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    drop(listener);
    let broker = Process::on(&[&url], &[]);
    let own = broker.meter("towline_instances").await;
    let (_provider, mut asking) = tokio::join!(Java::serve(&url, &["a"]), Java::asking(&url));
    assert_eq!(asking.name("").await, "a");
    drop(broker);
    let broker = Process::on(&[&url], &[]);
    // Idle, they notice by their health check, every 15 s, and try again every 5 s.
    broker.until("towline_instances", 3 * SOON, |instances| instances == own + 2.0).await;
    let mut looks = interval(Duration::from_millis(50));
    let deadline = Instant::now() + SOON;
    while asking.who("").await.is_err() {
        assert!(Instant::now() < deadline, "a new link is used once its health check is answered");
        looks.tick().await;
    }
    assert_eq!(asking.name("").await, "a");
}
