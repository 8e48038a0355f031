use super::harness::*;
use super::row::Row;
use serde_json::{Value, json};

/// What `towline.Registry.expose` answers.
async fn exposed(server: &mut Peer, service: &str) -> Value {
    let arguments = json!({"services": [{"service": service}]}).to_string();
    server.send(call(101, "towline.Registry.expose", arguments.as_bytes())).await;
    serde_json::from_slice(server.expect_payload(101).await.view().data()).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_none_is_refused_by_the_answer() {
    let row = Row::of("a_name_that_is_none_is_refused_by_the_answer");
    let broker = Broker::start().await;
    let answer = exposed(&mut broker.client().await, "com/acme/Shop").await;
    assert_eq!(answer["accepted"], json!([]));
    row.shows(&answer["refused"][0].to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reserved_name_is_refused_by_the_answer() {
    let row = Row::of("a_reserved_name_is_refused_by_the_answer");
    let broker = Broker::start().await;
    let answer = exposed(&mut broker.client().await, "towline.Shop").await;
    assert_eq!(answer["accepted"], json!([]));
    row.shows(&answer["refused"][0].to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_services_in_setup_only_those_with_good_names_are_registered() {
    let row = Row::of("of_services_in_setup_only_those_with_good_names_are_registered");
    let broker = Broker::start().await;
    let setup = Setup::anonymous().service("com/acme/Shop").service("towline.Shop").service("com.acme.Shop");
    let mut server = broker.join(setup).await;
    let mut client = broker.client().await;
    assert_eq!(outcome(&mut client, &mut server, "com.acme.Shop").await, Ok(()));
    for service in ["com/acme/Shop", "towline.Shop"] {
        row.error(&outcome(&mut client, &mut server, service).await.expect_err("nobody serves it"));
    }
}
