//! Durable topics as applications use them: `app.topic` and `app.consume`, with the real broker on a real disk.

#[path = "queue_sdk/consuming.rs"]
mod consuming;
#[path = "queue_sdk/losses.rs"]
mod losses;
#[path = "greeter/program.rs"]
#[allow(dead_code, reason = "the half for examples")]
mod program;
#[path = "queue_sdk/publishing.rs"]
mod publishing;
#[path = "queue/world.rs"]
#[allow(dead_code, reason = "the half for calls by hand")]
mod world;

use std::time::Duration;
use towline_requester::builtin::{Delivery, GroupStatus, TopicsClient};
use world::SOON;

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it comes soon")
}

/// The dead letters of billing.
async fn dead_letters(topics: &TopicsClient) -> Vec<Delivery> {
    topics.dead_letters("orders".to_owned(), "billing".to_owned(), None, None).await.expect("a list")
}

/// Waits until this is so of a group, which tells nobody that it changes.
async fn until(topics: &TopicsClient, group: &str, is_so: impl Fn(&GroupStatus) -> bool) -> GroupStatus {
    soon(async {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        loop {
            looks.tick().await;
            let status = topics.group("orders".to_owned(), group.to_owned()).await.expect("there is such a group");
            if is_so(&status) {
                return status;
            }
        }
    })
    .await
}
