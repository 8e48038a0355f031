//! A Spring Boot app on the starter: what it does of its own besides calls.

use super::harness::Broker;
use super::java::{Java, is_here};
use towline_responder::{App, RpcError, Serve, service};

#[service(name = "test.Who", encoding = "json")]
trait Who {
    async fn who(&self) -> Result<String, RpcError>;
}

#[service(name = "test.Who", group = "g1", version = "1.0.0", encoding = "json")]
trait SpringWho {
    async fn who(&self) -> Result<String, RpcError>;
}

struct Rust;

impl Who for Rust {
    async fn who(&self) -> Result<String, RpcError> {
        Ok("rust 1".to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spring_boot_app_registers_is_well_calls_is_called_and_leaves() {
    if !is_here("java/java.jar") || !is_here("spring/spring.jar") {
        return;
    }
    let broker = Broker::start().await;
    let url = format!("tcp://{}", broker.address);
    let app = App::connect(url.as_str()).serve(WhoServer::new(Rust)).start().await.expect("the broker is there");
    let brokers = format!("--rsocket.brokers={url}");
    let mut spring = Java::run(
        "spring/spring.jar",
        &[
            &brokers,
            "--rsocket.jwt-token=none",
            "--spring.application.name=spring",
            "--spring.main.web-application-type=none",
            "--spring.main.banner-mode=off",
            "--logging.level.root=error",
        ],
    );
    let (mut asking, ()) = tokio::join!(Java::asking(&url), spring.ready());
    // Ready, it says that it serves, and what: AppStatusEvent and ServicesExposedEvent.
    broker.until("towline_events_total", 2.0).await;
    assert_eq!(broker.labelled("towline_events_total", "taken"), 2.0);
    let health = spring.answer("health").await;
    assert!(health.starts_with("UP "), "{health}");

    assert_eq!(spring.name("").await, "rust");
    assert_eq!(asking.name("group=g1 version=1.0.0").await, "spring");
    let client = app.client::<SpringWhoClient>();
    let (_, uuid) = asking.who("group=g1 version=1.0.0").await.expect("it serves");
    assert_eq!(client.who().await, Ok(format!("spring {uuid}")));
    assert_eq!(client.who().endpoint(format!("id:{uuid}")).await, Ok(format!("spring {uuid}")));

    let closed = broker.meter("towline_links_closed_total");
    spring.end().await;
    broker.until("towline_links_closed_total", closed + 1.0).await;
    let error = asking.who("group=g1 version=1.0.0").await.expect_err("it has left");
    assert!(error.starts_with("0x204 InvalidException: RST-900404"), "{error}");
    app.close().await;
}
