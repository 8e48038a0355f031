use super::desk::{Clerk, DeskClient, DeskServer, call, soon};
use super::harness::Broker;
use std::sync::Arc;
use towline_responder::{App, Serve};

#[tokio::test]
async fn an_app_in_the_process_of_the_broker_serves_and_calls_like_any_other() {
    let broker = Broker::start().await;
    let (clerk, _notes) = Clerk::new("inside");
    let inside = App::over(Arc::new(broker.inside())).serve(DeskServer::new(clerk)).start().await;
    let inside = inside.expect("the broker is there");
    assert_eq!(broker.labelled("towline_links_open", "app"), 1.0, "no service of the broker itself");
    assert_eq!(soon(inside.client::<DeskClient>().double(4).into_future()).await, Ok(8));
    let (_outside, desk) = call(&broker.address).await;
    assert_eq!(soon(desk.who().into_future()).await.as_deref(), Ok("inside"));
    inside.close().await;
    assert!(soon(desk.who().into_future()).await.is_err(), "its app is gone");
}
