use super::desk::{call, serve, soon};
use super::harness::Broker;
use std::process::Command;
use towline_responder::Encoding;
use towline_responder::builtin::{HealthClient, HealthStatus};

#[tokio::test]
async fn health_tells_the_broker_a_service_and_an_unknown_one_apart() {
    let broker = Broker::start().await;
    let (responder, _clerk) = serve(&broker.address, "one").await;
    let (requester, _desk) = call(&broker.address).await;
    for encoding in [Encoding::Json, Encoding::MessagePack] {
        let health = requester.client::<HealthClient>().with_encoding(encoding);
        let check = async |service: Option<&str>| soon(health.check(service.map(str::to_owned)).into_future()).await;
        assert_eq!(check(None).await, Ok(HealthStatus::SERVING));
        assert_eq!(check(Some("test.Desk")).await, Ok(HealthStatus::SERVING));
        assert_eq!(check(Some("test.Nobody")).await, Ok(HealthStatus::UNKNOWN));
    }
    responder.close().await;
    let health = requester.client::<HealthClient>();
    let check = soon(health.check(Some("test.Desk".to_owned())).into_future());
    assert_eq!(check.await, Ok(HealthStatus::UNKNOWN), "its app is gone");
}

#[test]
fn the_demo_shows_its_answers_and_ends_well() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_towline"));
    let output = demo.args(["demo", "--rounds", "2"]).output().expect("the program starts");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for round in 1..=2 {
        let sum = (1..=round).sum::<u32>();
        for line in [
            format!("round {round}"),
            format!(r#"  caller: greet -> "hello, round {round}""#),
            "  caller: count -> [1, 2, 3, 4, 5], never more than 2 on their way".to_owned(),
            format!("  caller: sum of 1 to {round} -> {sum}"),
        ] {
            assert!(text.lines().any(|printed| printed == line), "no {line:?} in {text}");
        }
    }
}
