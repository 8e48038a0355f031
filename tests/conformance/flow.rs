//! How much credit is passed on: never more than was asked for, and all of it in the end.

use crate::harness::*;
use towline_rsocket::{Frame, FrameType, flags};

over_all! {
    a_responder_without_end_sends_exactly_what_was_asked_for,
    all_credit_is_passed_on_in_the_end_and_never_more,
    credit_asked_for_in_small_steps_adds_up,
    the_largest_n_three_times_is_no_magic_number,
    the_reserved_bit_of_n_is_no_part_of_it,
    a_request_n_of_zero_asks_for_nothing,
    a_channel_grants_upstream_what_its_responder_asked_for,
    an_item_in_fragments_uses_one_credit,
    what_a_responder_sends_too_much_waits_until_it_is_asked_for,
    a_stream_asks_for_at_least_one_item,
}

/// A responder that sends exactly what it has credit for; what it sends are its items' numbers.
struct Obedient {
    peer: Peer,
    id: u32,
    granted: u64,
    sent: u64,
}

impl Obedient {
    async fn begin(mut peer: Peer) -> Self {
        let request = peer.recv().await;
        let view = request.view();
        assert!(matches!(view.kind(), FrameType::RequestStream | FrameType::RequestChannel), "{request:?}");
        let mut this = Self { id: view.stream_id(), granted: view.request_n().into(), sent: 0, peer };
        this.send().await;
        this
    }

    async fn send(&mut self) {
        while self.sent < self.granted {
            self.peer.send(item(self.id, &self.sent.to_be_bytes())).await;
            self.sent += 1;
        }
    }

    /// Sends until so many items are sent, as credit comes; there is none left then.
    async fn reach(&mut self, goal: u64) {
        while self.sent < goal {
            self.granted += u64::from(self.peer.expect_request_n(self.id).await);
            assert!(self.granted <= goal, "{} passed on, {goal} asked for", self.granted);
            self.send().await;
        }
        self.peer.expect_nothing().await;
        assert_eq!((self.granted, self.sent), (goal, goal));
    }
}

async fn a_responder_without_end_sends_exactly_what_was_asked_for(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    for opening in [stream(1, 3, "test.Echo.list", b""), channel(1, flags::COMPLETE, 3, "test.Echo.talk", b"")] {
        let server = broker.serve("test.Echo").await;
        client.send(opening).await;
        let mut server = Obedient::begin(server).await;
        let (mut asked, mut seen) = (3u64, 0u64);
        for more in [0, 2, 1, 5] {
            if more > 0 {
                client.send(Frame::request_n(1, more)).await;
                client.fence().await;
                asked += u64::from(more);
            }
            server.reach(asked).await;
            while seen < asked {
                client.expect_item(1, flags::NEXT, &seen.to_be_bytes()).await;
                seen += 1;
            }
            client.expect_nothing().await;
        }
        client.send(Frame::cancel(1)).await;
        server.peer.expect_cancel(server.id).await;
        server.peer.send(error(0, 0x102, "the next one serves")).await;
        server.peer.fence().await;
    }
}

async fn all_credit_is_passed_on_in_the_end_and_never_more(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    let server = produce(broker.serve("test.Echo").await, 100);
    for (id, n) in [(1, 1), (3, 7), (5, 9), (7, 1000), (9, 5000)] {
        client.send(stream(id, n, "test.Echo.list", &u64::from(n).to_be_bytes())).await;
        for nth in 1..=n {
            let frame = client.expect_payload(id).await;
            assert_eq!(frame.view().has(flags::COMPLETE), nth == n, "{nth} of {n}");
        }
    }
    broker.drain().await;
    assert_eq!(server.await.expect("it ends"), [1, 7, 9, 1000, 5000]);
}

async fn credit_asked_for_in_small_steps_adds_up(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    let server = produce(broker.serve("test.Echo").await, 3000);
    client.send(stream(1, 1, "test.Echo.list", &600u64.to_be_bytes())).await;
    let mut seen = 0;
    for step in (1..=3).cycle() {
        client.send(Frame::request_n(1, step)).await;
        for _ in 0..step {
            client.expect_payload(1).await;
            seen += 1;
        }
        if seen > 590 {
            break;
        }
    }
    client.send(Frame::request_n(1, 600 - seen - 1)).await;
    while seen < 600 {
        client.expect_payload(1).await;
        seen += 1;
    }
    broker.drain().await;
    assert_eq!(server.await.expect("it ends"), [600]);
}

async fn the_largest_n_three_times_is_no_magic_number(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    let server = produce(broker.serve("test.Echo").await, 64);
    client.send(stream(1, MAX_N, "test.Echo.list", &2000u64.to_be_bytes())).await;
    client.send_all([Frame::request_n(1, MAX_N), Frame::request_n(1, MAX_N)]).await;
    for _ in 0..2000 {
        client.expect_payload(1).await;
    }
    client.expect_nothing().await;
    broker.drain().await;
    let granted = server.await.expect("it ends");
    assert!(granted[0] >= 2000 && granted[0] < 2000 + 4096, "no more than a window ahead: {granted:?}");
}

async fn the_reserved_bit_of_n_is_no_part_of_it(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let mut request = stream(1, 1, "test.Echo.list", b"");
    request.bytes_mut()[6] |= 0x80;
    client.send(request).await;
    assert_eq!(server.expect(FrameType::RequestStream).await.view().request_n(), 1);
    let mut more = Frame::request_n(1, 2);
    more.bytes_mut()[6] |= 0x80;
    client.send(more).await;
    server.send(item(2, b"1")).await;
    client.expect_item(1, flags::NEXT, b"1").await;
    let mut granted = 0;
    while granted < 2 {
        granted += server.expect_request_n(2).await;
    }
    assert_eq!(granted, 2);
    server.expect_nothing().await;
}

async fn a_request_n_of_zero_asks_for_nothing(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(stream(1, 1, "test.Echo.list", b"")).await;
    server.expect(FrameType::RequestStream).await;
    client.send(Frame::request_n(1, 0)).await;
    server.send(item(2, b"1")).await;
    client.expect_item(1, flags::NEXT, b"1").await;
    client.expect_nothing().await;
    server.expect_nothing().await;
}

async fn a_channel_grants_upstream_what_its_responder_asked_for(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(channel(1, 0, 1, "test.Echo.talk", b"arguments")).await;
    server.expect(FrameType::RequestChannel).await;
    client.expect_nothing().await;
    let (mut granted, mut asked, mut sent) = (0u64, 0u64, 0u64);
    for more in [1u32, 3, 2, 50, 400] {
        server.send(Frame::request_n(2, more)).await;
        asked += u64::from(more);
        while sent < asked {
            granted += u64::from(client.expect_request_n(1).await);
            assert!(granted <= asked, "{granted} passed on, {asked} asked for");
            while sent < granted {
                client.send(item(1, &sent.to_be_bytes())).await;
                server.expect_item(2, flags::NEXT, &sent.to_be_bytes()).await;
                sent += 1;
            }
        }
        client.expect_nothing().await;
        server.expect_nothing().await;
    }
}

async fn an_item_in_fragments_uses_one_credit(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(stream(1, 2, "test.Echo.list", b"")).await;
    assert_eq!(server.expect(FrameType::RequestStream).await.view().request_n(), 2);
    for nth in 0..3u8 {
        let last = |part| if part == 4 { flags::NEXT } else { flags::NEXT | flags::FOLLOWS };
        server.send_all((0..5u8).map(|part| payload(2, last(part), &[nth, part]))).await;
        if nth < 2 {
            for part in 0..5u8 {
                client.expect_item(1, last(part), &[nth, part]).await;
            }
        }
    }
    // The third is one item too many: it waits, all of its fragments, for one more credit.
    server.fence().await;
    client.expect_nothing().await;
    client.send(Frame::request_n(1, 1)).await;
    for part in 0..5u8 {
        assert_eq!(client.expect_payload(1).await.view().data(), [2, part]);
    }
    client.expect_nothing().await;
}

async fn what_a_responder_sends_too_much_waits_until_it_is_asked_for(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(stream(1, 2, "test.Echo.list", b"")).await;
    server.expect(FrameType::RequestStream).await;
    server.send_all((0..10u8).map(|n| item(2, &[n])).chain([complete(2)])).await;
    server.fence().await;
    let mut next = 0u8;
    for more in [0, 1, 3, 2] {
        if more > 0 {
            client.send(Frame::request_n(1, more)).await;
        }
        for _ in 0..if next == 0 { 2 } else { more } {
            client.expect_item(1, flags::NEXT, &[next]).await;
            next += 1;
        }
        client.expect_nothing().await;
    }
    client.send(Frame::request_n(1, MAX_N)).await;
    client.expect_item(1, flags::NEXT, &[8]).await;
    client.expect_item(1, flags::NEXT, &[9]).await;
    client.expect_item(1, flags::COMPLETE, b"").await;
    // What was parked is no credit for the responder.
    assert!(server.fence().await.is_empty());
    client.expect_nothing().await;
}

async fn a_stream_asks_for_at_least_one_item(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    for frame in [stream(1, 0, "test.Echo.list", b""), channel(3, 0, 0, "test.Echo.talk", b"")] {
        let id = frame.view().stream_id();
        client.send(frame).await;
        assert_eq!(client.expect_error(id).await.0, 0x204);
    }
    server.expect_nothing().await;
}
