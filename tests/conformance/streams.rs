//! Stream identifiers.

use crate::harness::*;
use towline_rsocket::{FrameType, flags};

over_all! {
    a_responder_sees_streams_2_4_6_and_so_on,
    requesters_on_the_same_stream_id_get_their_own_answers,
    an_id_may_be_used_again_once_its_stream_has_ended,
    an_even_id_of_a_client_is_refused,
    the_top_bit_of_a_stream_id_is_no_part_of_it,
    a_requester_may_use_its_ids_in_any_order_up_to_the_largest,
}

async fn a_responder_sees_streams_2_4_6_and_so_on(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let mut ids = Vec::new();
    for nth in 0..5 {
        client.send(call(1001 + 2 * nth, "test.Echo.call", b"")).await;
        ids.push(server.expect(FrameType::RequestResponse).await.view().stream_id());
    }
    assert_eq!(ids, [2, 4, 6, 8, 10]);
}

async fn requesters_on_the_same_stream_id_get_their_own_answers(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut server = broker.serve("test.Echo").await;
    let mut clients = Vec::new();
    let mut asked = Vec::new();
    for nth in 0..5u8 {
        let mut client = broker.client().await;
        client.send(call(1, "test.Echo.call", &[nth])).await;
        let request = server.expect(FrameType::RequestResponse).await;
        asked.push((request.view().stream_id(), request.view().data().to_vec()));
        clients.push(client);
    }
    for (id, data) in asked.iter().rev() {
        server.send(last(*id, data)).await;
    }
    for (nth, client) in clients.iter_mut().enumerate() {
        client.expect_item(1, flags::NEXT | flags::COMPLETE, &[nth as u8]).await;
        client.expect_nothing().await;
    }
}

async fn an_id_may_be_used_again_once_its_stream_has_ended(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    for n in 0..3u8 {
        client.send(call(1, "test.Echo.call", &[n])).await;
        let id = server.expect(FrameType::RequestResponse).await.view().stream_id();
        server.send(last(id, &[n])).await;
        client.expect_item(1, flags::NEXT | flags::COMPLETE, &[n]).await;
    }
}

async fn an_even_id_of_a_client_is_refused(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    for frame in
        [call(2, "test.Echo.call", b""), stream(4, 1, "test.Echo.list", b""), channel(6, 0, 1, "test.Echo.talk", b"")]
    {
        let id = frame.view().stream_id();
        client.send(frame).await;
        let (code, text) = client.expect_error(id).await;
        assert!(code == 0x204 && text.contains("odd"), "{code:#x} {text}");
    }
    server.expect_nothing().await;
}

async fn the_top_bit_of_a_stream_id_is_no_part_of_it(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let mut request = call(5, "test.Echo.call", b"");
    request.bytes_mut()[0] |= 0x80;
    client.send(request).await;
    server.expect(FrameType::RequestResponse).await;
    let mut answer = last(2, b"ok");
    answer.bytes_mut()[0] |= 0x80;
    server.send(answer).await;
    client.expect_item(5, flags::NEXT | flags::COMPLETE, b"ok").await;
}

async fn a_requester_may_use_its_ids_in_any_order_up_to_the_largest(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    for (nth, id) in [MAX_N, 5, 3, MAX_N, 1].into_iter().enumerate() {
        client.send(call(id, "test.Echo.call", b"")).await;
        server.expect(FrameType::RequestResponse).await;
        server.send(last(2 + 2 * nth as u32, &id.to_be_bytes())).await;
        client.expect_item(id, flags::NEXT | flags::COMPLETE, &id.to_be_bytes()).await;
    }
}
