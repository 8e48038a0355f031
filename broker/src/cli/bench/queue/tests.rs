use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use towline_service_api::Encoding::MessagePack;
use towline_service_api::builtin::{ConsumeOptions, Delivery, Message, Receipt, Settle, Start};

use super::amqp::{self, Frame, put_method, read_frame};
use super::member::{Consume, Got};
use super::ours::{Publish, PublishMany};
use super::pack::{bytes, number, put_bytes, put_number, value_of};
use super::pull::Channel;
use super::queued::{Queued, split};
use super::rabbitmq::RabbitMq;
use super::redis::{Redis, read_answer};
use super::rocketmq::RocketMq;
use super::stage::Peer;
use super::{Level, Topics, name};
use crate::cli::bench::client::Shape;
use crate::cli::bench::requests::{REQUEST_N, put_fnf, put_payload, put_request_n};
use crate::cli::bench::talk::{Heard, Talk};
use crate::cli::bench::tests::link_with;
use crate::cli::bench::wire::{self, Frame as Rsocket};

const TOPICS: Topics = Topics { count: 1, level: Level::Disk, is_pipelined: false, backlog: 0 };
const SHAPE: Shape = Shape { topics: Some(TOPICS), ..Shape::new(1, 4, 3) };

fn frames(bytes: &[u8]) -> Vec<Rsocket<'_>> {
    let mut rest = bytes;
    let mut all = Vec::new();
    while let Some((&[a, b, c], after)) = rest.split_first_chunk() {
        let (frame, behind) = after.split_at(u32::from_be_bytes([0, a, b, c]) as usize);
        all.push(Rsocket::parse(frame).expect("a whole header"));
        rest = behind;
    }
    all
}

#[test]
fn what_is_published_is_what_the_service_reads() {
    #[derive(serde::Deserialize)]
    struct Arguments {
        topic: String,
        message: Message,
    }
    let mut talk = Publish::new(SHAPE, Topics { count: 1_200, ..TOPICS });
    let mut topics = BTreeSet::new();
    for id in 0..1_200 {
        let mut out = Vec::new();
        talk.request(&mut out, 2 * id + 1);
        let all = frames(&out);
        assert_eq!((all.len(), all[0].stream_id, all[0].kind), (1, 2 * id + 1, wire::REQUEST_RESPONSE));
        let read: Arguments = MessagePack.decode(all[0].data().unwrap()).unwrap();
        assert_eq!(read.message, Message::new(Bytes::from_static(&[0, 1, 2])));
        topics.insert(read.topic);
    }
    assert_eq!(topics, (0..1_200).map(name).collect(), "each in its turn");
}

#[tokio::test]
async fn items_wait_for_credit_and_receipts_come_in_their_order() {
    let mut talk = PublishMany::new(SHAPE, TOPICS);
    let (mut hello, mut out) = (Vec::new(), Vec::new());
    talk.hello(&mut hello);
    let (mut come, receipt) = (
        Vec::new(),
        Receipt {
            n: 0,
            offset: Some(9),
            timestamp: Some(1),
            durability: Some(Default::default()),
            duplicate: Some(false),
            due: None,
            error: None,
        },
    );
    [1, 3, 5].into_iter().for_each(|id| talk.request(&mut out, id));
    assert!(out.is_empty(), "without credit nothing is sent");
    put_request_n(&mut come, 1, 2);
    put_payload(&mut come, 1, wire::NEXT, &MessagePack.encode(&receipt).unwrap());
    let mut link = link_with(&come).await;
    assert_eq!(talk.hear(&mut link).unwrap(), Some(Heard::Other));
    let sent = frames(&link.outbox);
    assert_eq!(sent.len(), 2);
    let message: Message = MessagePack.decode(sent[1].data().unwrap()).unwrap();
    assert_eq!(message, Message::new(Bytes::from_static(&[0, 1, 2])));
    assert_eq!(talk.hear(&mut link).unwrap(), Some(Heard::Answer { id: 1, is_right: true }));
}

#[tokio::test]
async fn a_consumer_asks_for_half_and_settles_with_credit() {
    #[derive(serde::Deserialize)]
    struct Arguments {
        topic: String,
        group: String,
        options: ConsumeOptions,
    }
    let mut consumer = Channel::new("orders", 4);
    let mut hello = Vec::new();
    consumer.hello(&mut hello);
    let all = frames(&hello);
    let channel = all.last().unwrap();
    let body = channel.body.split_at(4);
    assert_eq!(body.0, [0, 0, 0, 4]);
    let read: Arguments = MessagePack.decode(Rsocket { body: body.1, ..*channel }.data().unwrap()).unwrap();
    assert_eq!((&read.topic[..], &read.group[..]), ("orders", "bench"));
    assert_eq!((read.options.start, read.options.max_in_flight), (Some(Start::Earliest), Some(4)));

    let mut come = Vec::new();
    for offset in [300, 301] {
        let headers = BTreeMap::new();
        let delivery = Delivery { topic: "orders".to_owned(), offset, attempt: 1, headers, ..Default::default() };
        put_payload(&mut come, 1, wire::NEXT, &MessagePack.encode(&delivery).unwrap());
    }
    put_request_n(&mut come, 1, 1);
    let mut link = link_with(&come).await;
    let mut heard = || consumer.hear(&mut link).unwrap();
    assert_eq!([heard(), heard()], [Some(Got::Message), Some(Got::Message)]);
    assert_eq!(heard(), Some(Got::Other));
    let said = frames(&link.outbox);
    assert_eq!(said.iter().map(|frame| frame.kind).collect::<Vec<_>>(), [REQUEST_N, wire::PAYLOAD]);
    let settle: Settle = MessagePack.decode(said[1].data().unwrap()).unwrap();
    assert_eq!(settle, Settle::ack_to(301));
}

#[test]
fn a_number_is_read_in_any_width() {
    for value in [0, 127, 128, 255, 256, 65_535, 65_536, u64::from(u32::MAX), u64::MAX] {
        let mut written = Vec::new();
        put_number(&mut written, value);
        assert_eq!(number(&written), Some(value));
        assert_eq!(number(&MessagePack.encode(&value).unwrap()), Some(value));
    }
    assert_eq!(value_of(&[0x81, 0xA1, b'a'], "b"), None, "a map that is cut is no reason to panic");
}

#[tokio::test]
async fn a_call_by_way_of_a_topic_says_where_its_answer_goes() {
    #[derive(serde::Deserialize)]
    struct Arguments {
        topic: String,
        message: Message,
    }
    let mut talk = Queued::calls(SHAPE);
    let mut out = Vec::new();
    talk.request(&mut out, 9);
    let arguments: Arguments = MessagePack.decode(frames(&out)[0].data().unwrap()).unwrap();
    let body = arguments.message.body.unwrap().0;
    let (service, answer) = split(&body).unwrap();
    assert_eq!((&arguments.topic[..], answer), ("bench-calls", &[0, 0, 0, 9, 0, 1, 2][..]));
    assert!(service.starts_with("bench.Answer"), "{service}");
    assert!((0..=service.len()).all(|cut| split(&body[..cut]).is_none()));
    let mut come = Vec::new();
    put_payload(&mut come, 9, wire::NEXT | wire::COMPLETE, b"stored");
    put_fnf(&mut come, 2, service, answer);
    let mut link = link_with(&come).await;
    assert_eq!(talk.hear(&mut link).unwrap(), Some(Heard::Other));
    assert_eq!(talk.hear(&mut link).unwrap(), Some(Heard::Answer { id: 9, is_right: true }));
}

#[test]
fn bytes_of_each_width_are_read_whole_or_not_at_all() {
    for len in [0, 1, 255, 256, 65_535, 65_536] {
        let mut wire = Vec::new();
        put_bytes(&mut wire, &vec![7; len]);
        assert_eq!(bytes(&wire).map(<[u8]>::len), Some(len));
        assert_eq!(bytes(&wire[..wire.len() - 1]), None, "{len}");
    }
    assert_eq!(bytes(&[0xA1, 0]), None, "a text");
}

#[test]
fn redis_answers_are_whole_or_waited_for() {
    let wire = b"$3\r\n1-1\r\n:0\r\n-ERR no\r\n";
    assert!((0..9).all(|cut| read_answer(&wire[..cut]).unwrap().is_none()));
    assert_eq!(read_answer(wire).unwrap(), Some((b'$', 9)));
    assert_eq!(read_answer(&wire[9..]).unwrap(), Some((b':', 4)));
    assert!(read_answer(&wire[13..]).is_err());
    let mut out = Vec::new();
    Redis::publish(SHAPE, TOPICS).request(&mut out, 1);
    assert_eq!(out, b"*5\r\n$4\r\nXADD\r\n$11\r\nbench-00000\r\n$1\r\n*\r\n$1\r\nb\r\n$3\r\n\x00\x01\x02\r\n");
}

#[test]
fn rocketmq_messages_go_to_each_queue_in_turn() {
    let mut talk = RocketMq::publish(SHAPE, TOPICS);
    let mut queues = BTreeSet::new();
    for id in [1, 3, 5, 7] {
        let mut out = Vec::new();
        talk.request(&mut out, id);
        let length = |at: usize| u32::from_be_bytes(out[at..at + 4].try_into().unwrap()) as usize;
        let (header, body) = out[8..].split_at(length(4));
        assert_eq!((length(0), body), (out.len() - 4, &[0, 1, 2][..]));
        let header: serde_json::Value = serde_json::from_slice(header).unwrap();
        assert_eq!((&header["opaque"], &header["extFields"]["b"]), (&id.into(), &name(0).into()));
        queues.insert(header["extFields"]["e"].as_str().unwrap().to_owned());
    }
    assert_eq!(queues.into_iter().collect::<String>(), "0123", "each in its turn");
}

#[tokio::test]
async fn rabbitmq_confirms_one_or_all_up_to_one() {
    let mut talk = RabbitMq::publish(SHAPE, TOPICS);
    let mut out = Vec::new();
    [1, 3, 5, 7].into_iter().for_each(|id| talk.request(&mut out, id));
    assert!(out.is_empty(), "the channel is not open");
    let mut come = Vec::new();
    put_method(&mut come, amqp::CONFIRM_OK, &[]);
    let ack = |tag: u64, multiple: u8| [&tag.to_be_bytes()[..], &[multiple]].concat();
    for (tag, multiple) in [(2, 0), (3, 1), (4, 0)] {
        put_method(&mut come, amqp::ACK, &[&ack(tag, multiple)]);
    }
    let mut link = link_with(&come).await;
    let mut confirmed = Vec::new();
    while let Some(heard) = talk.hear(&mut link).unwrap() {
        if let Heard::Answer { id, is_right: true } = heard {
            confirmed.push(id);
        }
    }
    assert_eq!(confirmed, [3, 1, 5, 7]);
    let (frame, _) = read_frame(&link.outbox).unwrap().unwrap();
    assert!(matches!(frame, Frame::Method(amqp::PUBLISH, _)), "{frame:?}");
}

#[test]
fn a_frame_of_amqp_is_whole_or_waited_for() {
    let mut out = Vec::new();
    put_method(&mut out, amqp::CLOSE, &[&[1, 64], &amqp::text("bye")]);
    assert!((0..out.len()).all(|cut| read_frame(&out[..cut]).unwrap().is_none()));
    let (frame, len) = read_frame(&out).unwrap().unwrap();
    let Frame::Method(amqp::CLOSE, arguments) = frame else { panic!("{frame:?}") };
    assert_eq!((amqp::reason(arguments), len), ("bye".to_owned(), out.len()));
    *out.last_mut().unwrap() = 0;
    assert!(read_frame(&out).is_err());
}

#[test]
fn a_peer_has_name_kind_address_and_pid() {
    for right in ["redis=redis://127.0.0.1:6379?pid=7", "other=rocketmq://127.0.0.1:10911?pid=7"] {
        assert!(right.parse::<Peer>().is_ok(), "{right}");
    }
    for wrong in ["redis", "x=nats://127.0.0.1:1?pid=7", "x=redis://127.0.0.1:1", "broker=redis://127.0.0.1:1?pid=7"] {
        assert!(wrong.parse::<Peer>().is_err(), "{wrong}");
    }
}
