//! Many connections: those that say nothing, those that all come at once, and more than there are descriptors.

mod harness;

use harness::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::interval;
use towline_rsocket::{FrameType, flags};

/// For what must happen to thousands of connections, on a busy machine too.
const LONG: Duration = Duration::from_secs(120);

/// These tests take turns: each needs most of the descriptors of this process, and the ports of this machine.
static TURN: Mutex<()> = Mutex::const_new(());

/// Whether this process may open so many descriptors; prints that it may not.
fn may_open(count: usize) -> bool {
    let may = descriptors();
    if may < count {
        println!("skipped: {may} descriptors are too few for {count} connections");
    }
    may >= count
}

/// Calls of one requester, each answered.
async fn calls(client: &mut Peer, first: u32, count: u32) {
    for nth in first..first + count {
        let stream = 1 + 2 * nth;
        client.send(call(stream, "test.Echo.call", &nth.to_be_bytes())).await;
        client.expect_item(stream, flags::NEXT | flags::COMPLETE, &nth.to_be_bytes()).await;
    }
}

/// A connection that sends this much and reads until it is closed.
async fn silent(address: String, first: &'static [u8]) {
    let mut stream = TcpStream::connect(address).await.expect("the broker accepts connections");
    stream.write_all(first).await.expect("the connection is open");
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_silent_connections_end_while_others_are_served() {
    const COUNT: usize = 5000;
    const KIB_EACH: usize = 24;
    const FIRSTS: [&[u8]; 6] = [
        b"",
        b"\0",
        b"\0\0\x40\0\0\0\0\x04",
        // A TLS ClientHello of 512 bytes, begun.
        b"\x16\x03\x01\x02\0\x01\0\x01\xFC\x03\x03",
        b"G",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: webso",
    ];
    let _turn = TURN.lock().await;
    if !may_open(COUNT + 100) {
        return;
    }
    let broker = Process::start(&[]);
    let before = broker.descriptors();
    let mut client = Peer::join(&broker.address, &Setup::anonymous()).await;
    echo(Peer::join(&broker.address, &Setup::anonymous().service("test.Echo")).await);
    calls(&mut client, 0, 10).await;
    let base = broker.peak();

    let mut crowd: JoinSet<()> =
        (0..COUNT).map(|nth| silent(broker.address.clone(), FIRSTS[nth % FIRSTS.len()])).collect();
    let mut made = 10;
    let mut is_over = false;
    while !is_over {
        is_over = crowd.is_empty();
        // Once more after the last has gone.
        calls(&mut client, made, 50).await;
        made += 50;
        while crowd.try_join_next().is_some_and(|ended| ended.is_ok()) {}
    }
    let each = (broker.peak() - base) / 1024 / COUNT;
    println!("{made} calls meanwhile; {each} KiB a silent connection");
    assert_eq!(broker.meter("towline_setups_refused_total").await, COUNT as f64);
    // The two that call.
    broker.until_descriptors(before + 2, LONG).await;
    assert!(each <= KIB_EACH, "{each} KiB each, the bound is {KIB_EACH}");
}

#[tokio::test(flavor = "multi_thread")]
async fn setups_that_never_end_hold_a_bounded_sum() {
    const COUNT: usize = 5000;
    // A SETUP of 64,000 bytes, begun.
    static BEGUN: [u8; 63_000] = {
        let mut bytes = [0; 63_000];
        (bytes[1], bytes[2], bytes[7]) = (0xFA, 0x00, 0x04);
        bytes
    };
    let _turn = TURN.lock().await;
    if !may_open(COUNT + 100) {
        return;
    }
    let broker = Process::start(&[]);
    let before = broker.descriptors();
    let mut client = Peer::join(&broker.address, &Setup::anonymous()).await;
    echo(Peer::join(&broker.address, &Setup::anonymous().service("test.Echo")).await);
    calls(&mut client, 0, 10).await;
    let base = broker.peak();
    let mut crowd: JoinSet<()> = (0..COUNT).map(|_| silent(broker.address.clone(), &BEGUN)).collect();
    while crowd.join_next().await.is_some() {}
    calls(&mut client, 10, 50).await;
    let grown = broker.peak() - base;
    println!("{} MiB for {COUNT} SETUPs that never ended", grown >> 20);
    broker.until_descriptors(before + 2, LONG).await;
    // 1,024 of them are read at one time; the others cost what a silent connection costs.
    assert!(grown <= (1024 * 64 + COUNT * 24) * 1024, "{grown} bytes");
}

/// Connects and registers a service of its own, waiting for nothing.
async fn register(address: String, nth: usize) -> (usize, Peer) {
    let mut peer = Peer::connect(&address).await;
    peer.send(Setup::app(&format!("crowd-{nth}")).service(&format!("crowd.S{nth}")).frame()).await;
    (nth, peer)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_at_once_are_all_registered_and_all_forgotten() {
    const COUNT: usize = 10_000;
    const KIB_EACH: usize = 32;
    let _turn = TURN.lock().await;
    if !may_open(COUNT + 100) {
        return;
    }
    let broker = Process::start(&[]);
    let (base, before) = (broker.resident(), broker.descriptors());
    let names = ["towline_instances", "towline_services_registered", "towline_links_open"];
    let scrape = async || {
        let text = broker.scrape().await;
        names.map(|name| sum(&text, name) as usize)
    };
    let alone = scrape().await;
    for round in 1..=2 {
        let crowd: JoinSet<_> = (0..COUNT).map(|nth| register(broker.address.clone(), nth)).collect();
        let mut crowd = crowd.join_all().await;
        broker.until("towline_links_open", LONG, |links| links as usize == alone[2] + COUNT).await;
        broker.until(names[1], LONG, |services| services as usize == alone[1] + COUNT).await;
        assert_eq!(scrape().await, alone.map(|count| count + COUNT));
        let each = (broker.resident() - base) / 1024 / COUNT;

        let mut client = Peer::join(&broker.address, &Setup::anonymous()).await;
        for (stream, (nth, peer)) in (1..).step_by(2).zip(crowd.iter_mut().step_by(COUNT / 100)) {
            client.send(call(stream, &format!("crowd.S{nth}.call"), b"there?")).await;
            let id = peer.expect(FrameType::RequestResponse).await.view().stream_id();
            peer.send(last(id, b"here")).await;
            client.expect_item(stream, flags::NEXT | flags::COMPLETE, b"here").await;
        }
        drop(crowd);
        drop(client);
        broker.until("towline_links_open", LONG, |links| links as usize == alone[2]).await;
        broker.until_descriptors(before, LONG).await;
        assert_eq!(scrape().await, alone);
        let left = (broker.resident() - base) / 1024;
        println!("round {round}: {each} KiB an app; afterwards {left} KiB more than at first");
        // The allocator may keep what it had to get, for the next crowd.
        assert!(each.max(left / COUNT) <= KIB_EACH, "{each} KiB each, {left} KiB left; the bound is {KIB_EACH} each");
    }
}

/// Connects and, once it is served, stays until it is told to leave.
async fn guest(address: String, mut leave: watch::Receiver<bool>) {
    let mut peer = Peer::connect(&address).await;
    peer.send_all([Setup::anonymous().frame(), call(1, "test.Nobody.call", b"")]).await;
    peer.next().await.expect("it is served in the end");
    leave.wait_for(|leave| *leave).await.expect("the test says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_open_connections_are_served_and_others_wait() {
    const LIMIT: usize = 128;
    const GUESTS: usize = 100;
    let _turn = TURN.lock().await;
    let broker = Process::limited(&format!("-n {LIMIT}"), &[]);
    let mut client = Peer::join(&broker.address, &Setup::anonymous()).await;
    echo(Peer::join(&broker.address, &Setup::anonymous().service("test.Echo")).await);
    let accepted = broker.meter("towline_links_accepted_total").await;
    let (tell, told) = watch::channel(false);
    let mut guests: JoinSet<()> = (0..GUESTS).map(|_| guest(broker.address.clone(), told.clone())).collect();

    // It says once that it is full.
    let mut pace = interval(Duration::from_millis(20));
    let mut made = 0;
    while broker.logged() == 0 {
        assert!(made < 1000, "{} descriptors are open and it accepts more", broker.descriptors());
        pace.tick().await;
        calls(&mut client, made, 1).await;
        made += 1;
    }
    let used = broker.ticks();
    for _ in 0..200 {
        pace.tick().await;
        calls(&mut client, made, 1).await;
        made += 1;
        // One that was accepted waits, one may be scraping.
        assert!(broker.descriptors() <= LIMIT - 32, "{} descriptors are open", broker.descriptors());
    }
    let (spent, logged) = (broker.ticks() - used, broker.logged());
    println!(
        "{} descriptors of {LIMIT} open; 200 calls took {spent} ticks, {logged} lines were logged",
        broker.descriptors()
    );
    // Four seconds of one core are 400; two cores that spin, 800.
    assert!(spent < 200, "it spins: {spent} ticks for 200 calls");
    assert!(logged <= 3, "{logged} lines were logged");
    let served = broker.meter("towline_links_accepted_total").await - accepted;
    assert!(served > 0.0 && served < GUESTS as f64, "{served} of {GUESTS} are served");

    tell.send(true).expect("the guests wait");
    while let Some(guest) = guests.join_next().await {
        guest.expect("everybody is served in the end");
    }
    assert_eq!(broker.meter("towline_links_accepted_total").await - accepted, GUESTS as f64);
    calls(&mut client, made, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_takes_all_descriptors_it_may_have() {
    let broker = Process::limited("-Sn 64", &[]);
    assert_eq!(broker.meter("towline_process_max_fds").await, descriptors() as f64);
}
