//! Frames of a few kilobytes that were read one after the other and go to one connection are passed on as they stand.

use crate::harness::*;
use towline_rsocket::frame::PayloadParts;
use towline_rsocket::metadata::{CompositeBuilder, mime, routing};
use towline_rsocket::{Frame, FrameType, flags};

/// Calls of one read.
const CALLS: u32 = 120;

/// Bytes that only this call has, more and less of them.
fn data(call: u32) -> Vec<u8> {
    let len = [10, 900, 3_000, 5_000, 7_000][call as usize % 5] + call as usize;
    (0..len).map(|at| (at as u32 * 31 + call) as u8).collect()
}

fn typed(stream: u32, service: &str, data: &[u8]) -> Frame {
    let tags = routing::write_tags([format!("{service}.call").as_str()]).expect("a short tag");
    let metadata = CompositeBuilder::new().entry(mime::ROUTING, &tags).message_mime(mime::OCTET_STREAM).finish();
    let parts = PayloadParts { metadata: Some(&metadata), data };
    Frame::request(FrameType::RequestResponse, stream, 0, 0, parts)
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_reach_their_connections_whole_and_in_order() {
    let broker = Broker::start().await;
    let mut clients = [broker.client().await, broker.client().await];
    let mut servers = [broker.serve("test.A").await, broker.serve("test.B").await];
    // Turns of one, of a few and of many calls for one server.
    let server_of = |call: u32| if call < 20 { call % 2 } else { call / 17 % 2 };
    for round in 0..3 {
        for (nth, client) in clients.iter_mut().enumerate() {
            let calls = (0..CALLS).map(|call| {
                let service = ["test.A", "test.B"][server_of(call) as usize];
                typed(2 * (round * CALLS + call) + 1, service, &data(call + nth as u32))
            });
            let bytes = calls.flat_map(|frame| frame.wire().to_vec()).collect::<Vec<u8>>();
            // In the middle a stream that is open already: that frame alone goes nowhere.
            let again = typed(2 * round * CALLS + 1, "test.A", &data(4));
            client.send_bytes(&[&bytes[..], again.wire()].concat()).await;
        }
        for (nth, server) in servers.iter_mut().enumerate() {
            let mut answers = Vec::new();
            let mut next = [0, 0];
            for _ in 0..2 * (0..CALLS).filter(|call| server_of(*call) as usize == nth).count() {
                let request = server.expect(FrameType::RequestResponse).await;
                let view = request.view();
                // Whose it is and which one it is, by its bytes; those of one client come in order.
                let client = (0..2).find(|client| {
                    let call = (next[*client]..CALLS).find(|call| server_of(*call) as usize == nth);
                    call.is_some_and(|call| view.data() == data(call + *client as u32))
                });
                let client = client.expect("a request as it was sent, in its turn");
                let call = (next[client]..CALLS).find(|call| server_of(*call) as usize == nth).expect("found above");
                next[client] = call + 1;
                answers.push(last(view.stream_id(), view.data()));
            }
            let bytes = answers.iter().flat_map(|frame| frame.wire().to_vec()).collect::<Vec<u8>>();
            server.send_bytes(&bytes).await;
        }
        for (nth, client) in clients.iter_mut().enumerate() {
            let mut left: Vec<u32> = (0..CALLS).collect();
            while !left.is_empty() {
                let answer = client.expect(FrameType::Payload).await;
                let view = answer.view();
                let call = (view.stream_id() - 1) / 2 - round * CALLS;
                assert!(view.has(flags::NEXT | flags::COMPLETE) && view.data() == data(call + nth as u32), "{call}");
                left.retain(|of| *of != call);
            }
            client.expect_nothing().await;
        }
    }
}
