//! What one requester sees of a responder, frame by frame: a conformant stream, whatever the responder's library does.

use super::harness::{Broker, Peer, SOON, call, channel, complete, item, stream};
use serde_json::{Value, from_slice, json};
use tokio::time::{Instant, interval};
use towline_rsocket::{ErrorCode, Frame, FrameType, StreamId, flags};

const ONE: u16 = flags::NEXT | flags::COMPLETE;
/// The streams of [`meanwhile`].
const MEANWHILE: StreamId = 10_001;

/// Asks what serves `test.Probe` there; `exempt` are checks it cannot pass: `end`, that answers end without credit;
/// `credit obeyed`, that no more is sent than was asked for;
/// `chat`, that the argument of a channel is in an array.
pub(crate) async fn expect_conformant(broker: &Broker, exempt: &[(&str, &str)]) {
    let expects = |check: &str| !exempt.iter().any(|(name, _)| *name == check);
    let mut client = broker.client().await;
    let mut ids = (MEANWHILE..).step_by(2);
    one_answer(&mut client).await;
    if expects("fail") {
        one_error(&mut client).await;
    }
    no_more_than_asked_for(&mut client, &mut ids).await;
    if expects("cancel") {
        cancel_reaches(&mut client, &mut ids, expects("credit obeyed")).await;
    }
    let argument = if expects("chat") { &br#"["a"]"#[..] } else { br#""a""# };
    channel_with_credit(&mut client, &mut ids, argument, expects("end")).await;
    rejoined(&mut client).await;
    meanwhile(&mut client, &mut ids).await;
    client.expect_nothing().await;
}

fn value(frame: &Frame) -> Value {
    from_slice(frame.view().data()).expect("JSON")
}

/// Calls that take the same way there and back: what the responder had sent before would come before their answers.
async fn meanwhile(client: &mut Peer, ids: &mut impl Iterator<Item = StreamId>) {
    for id in ids.take(10) {
        client.send(call(id, "test.Probe.echo", br#"["meanwhile"]"#)).await;
        let answer = client.expect_payload(id).await;
        assert_eq!((answer.view().flags() & !flags::METADATA, value(&answer)), (ONE, json!("meanwhile")), "{answer:?}");
    }
}

async fn one_answer(client: &mut Peer) {
    client.send(call(1, "test.Probe.add", b"[40,2]")).await;
    let answer = client.expect_payload(1).await;
    assert_eq!((answer.view().flags() & !flags::METADATA, value(&answer)), (ONE, json!(42)), "{answer:?}");
}

async fn one_error(client: &mut Peer) {
    client.send(call(3, "test.Probe.fail", br#"["no such thing"]"#)).await;
    assert_eq!(client.expect_error(3).await, (0x201, "no such thing".to_owned()));
}

async fn no_more_than_asked_for(client: &mut Peer, ids: &mut impl Iterator<Item = StreamId>) {
    client.send(stream(5, 3, "test.Probe.count", b"[1000]")).await;
    expect_numbers(client, 5, 1..=3).await;
    meanwhile(client, ids).await;
    client.send(Frame::request_n(5, 2)).await;
    expect_numbers(client, 5, 4..=5).await;
    meanwhile(client, ids).await;
    client.send(Frame::cancel(5)).await;
    meanwhile(client, ids).await;
    // One that ends: the last item and its end, which needs no credit, and nothing behind it.
    client.send(stream(7, 20, "test.Probe.count", b"[20]")).await;
    expect_numbers(client, 7, 1..=19).await;
    let last = client.expect_payload(7).await;
    assert_eq!(value(&last), json!(20));
    if !last.view().has(flags::COMPLETE) {
        client.expect_item(7, flags::COMPLETE, b"").await;
    }
}

async fn expect_numbers(client: &mut Peer, id: StreamId, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        let frame = client.expect_payload(id).await;
        assert_eq!((frame.view().flags() & !flags::METADATA, value(&frame)), (flags::NEXT, json!(number)), "{frame:?}");
    }
}

/// Unless it is `obedient` the broker may have ended the stream before, for the items nobody asked for.
async fn cancel_reaches(client: &mut Peer, ids: &mut impl Iterator<Item = StreamId>, obedient: bool) {
    client.send(stream(9, 5, "test.Probe.count", b"[1000000000]")).await;
    expect_numbers(client, 9, 1..=5).await;
    client.send(Frame::cancel(9)).await;
    let deadline = Instant::now() + SOON;
    let mut looks = interval(std::time::Duration::from_millis(20));
    for id in ids {
        client.send(call(id, "test.Probe.running", b"")).await;
        let mut answer = client.awaiting("how many are running").await;
        if !obedient && answer.view().stream_id() == 9 {
            let (kind, code) = (answer.view().kind(), answer.view().error_code());
            assert_eq!((kind, code), (FrameType::Error, ErrorCode::CANCELED.0), "{answer:?}");
            answer = client.expect_payload(id).await;
        }
        assert_eq!(answer.view().stream_id(), id, "{answer:?}");
        let running = value(&answer);
        if running == json!(0) {
            return;
        }
        assert!(Instant::now() < deadline, "{running} streams are still in progress");
        looks.tick().await;
    }
}

/// `ends`: the channel ends with the items said, without credit.
async fn channel_with_credit(client: &mut Peer, ids: &mut impl Iterator<Item = StreamId>, argument: &[u8], ends: bool) {
    client.send(channel(11, 0, 2, "test.Probe.chat", argument)).await;
    let mut credit = 0;
    for said in 0..10 {
        // The first two are answered within the credit, each further one for a credit of its own: without that, its
        // responder may ask for no item either.
        if said >= 2 {
            client.send(Frame::request_n(11, 1)).await;
        }
        while credit == 0 {
            credit += u64::from(client.expect_request_n(11).await);
        }
        credit -= 1;
        client.send(item(11, format!("\"{said}\"").as_bytes())).await;
        loop {
            let frame = client.awaiting("an answer on the channel").await;
            assert_eq!(frame.view().stream_id(), 11, "{frame:?}");
            if frame.view().kind() == FrameType::RequestN {
                credit += u64::from(frame.view().request_n());
                continue;
            }
            assert_eq!(value(&frame), json!(format!("a: {said}")), "{frame:?}");
            break;
        }
    }
    client.send(complete(11)).await;
    if !ends {
        client.send(Frame::request_n(11, 1)).await;
    }
    loop {
        let frame = client.awaiting("the end of the channel").await;
        if frame.view().kind() != FrameType::RequestN {
            let view = frame.view();
            assert_eq!((view.kind(), view.flags(), view.data().len()), (FrameType::Payload, flags::COMPLETE, 0));
            break;
        }
    }
    meanwhile(client, ids).await;
}

/// A large answer, in one frame or in fragments.
async fn rejoined(client: &mut Peer) {
    let text = serde_json::to_vec(&["x".repeat(100_000)]).expect("text");
    client.send(call(13, "test.Probe.echo", &text)).await;
    let mut data = Vec::new();
    loop {
        let frame = client.expect_payload(13).await;
        data.extend_from_slice(frame.view().data());
        if !frame.view().has(flags::FOLLOWS) {
            assert!(frame.view().has(flags::COMPLETE), "{frame:?}");
            break;
        }
        assert!(!frame.view().has(flags::COMPLETE), "a fragment that is not the last one says that it is: {frame:?}");
    }
    assert_eq!(data, text[1..text.len() - 1]);
}
