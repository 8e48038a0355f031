//! A broker that is killed, and what its topics and groups know afterwards.

use crate::harness::Process;
use crate::world::{Consumer, Folder, earliest};
use towline_requester::App;
use towline_service_api::builtin::{Message, QueueClient, Settle, TopicConfig, TopicsClient};

async fn start(folder: &Folder) -> (Process, App) {
    let process = Process::start(&[("TOWLINE_DATA__DIRECTORY", &folder.0.display().to_string())]);
    let app = App::connect(format!("rsocket://{}", process.address)).name("test").start().await.expect("it connects");
    (process, app)
}

#[tokio::test]
async fn after_a_kill_messages_are_counted_and_flagged_as_perhaps_redelivered() {
    let folder = Folder::new();
    let (process, app) = start(&folder).await;
    let config = TopicConfig { max_depth_messages: Some(10), ..TopicConfig::default() };
    app.client::<TopicsClient>().create("orders".to_owned(), Some(config)).await.expect("created");
    let publish = |app: &App, text: &str| {
        let call = app.client::<QueueClient>().publish("orders".to_owned(), Message::text(text), None);
        async move { call.await.expect("stored").offset.expect("an offset") }
    };
    for n in 0..4 {
        assert_eq!(publish(&app, &n.to_string()).await, n);
    }
    // The answer of a settle comes when it is recorded.
    let queue = app.client::<QueueClient>();
    let names = || ("orders".to_owned(), "billing".to_owned());
    let (topic, group) = names();
    let leased = queue.fetch(topic, group, Some(1), Some(5_000), None, Some(earliest())).await.expect("answered");
    let (topic, group) = names();
    let settled = queue.settle(topic, group, None, vec![Settle::ack(leased[0].offset)]).await.expect("answered");
    assert_eq!(settled.settled, 1);
    // What is under way is cut, and the recovery leaves out offsets of every topic.
    app.client::<TopicsClient>().create("load".to_owned(), None).await.expect("created");
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let queue = app.client::<QueueClient>();
        load.spawn(async move { while queue.publish("load".to_owned(), Message::text("x"), None).await.is_ok() {} });
    }
    while app.client::<TopicsClient>().get("load".to_owned()).await.expect("there").head < 200 {}
    drop(process);
    load.shutdown().await;

    let (_process, app) = start(&folder).await;
    let topics = app.client::<TopicsClient>();
    let group = topics.group("orders".to_owned(), "billing".to_owned()).await.expect("there");
    assert_eq!(group.depth, 3, "messages, not the offsets the recovery left out: {group:?}");
    let topic = topics.get("orders".to_owned()).await.expect("there");
    assert_eq!(topic.depth, 3, "{topic:?}");
    let next = publish(&app, "new").await;
    assert!(next >= 4, "no offset is given twice");
    let mut consumer = Consumer::new(&app.client(), "orders", "billing", earliest(), 8).await;
    let came = consumer.take(4).await;
    let offsets: Vec<u64> = came.iter().map(|delivery| delivery.offset).collect();
    assert_eq!(offsets, [1, 2, 3, next]);
    let flags: Vec<bool> = came.iter().map(|delivery| delivery.redelivered).collect();
    assert_eq!(flags, [true, true, true, false]);
}
