//! What a trait says about itself: contract, call options, built-in services.

mod support;

use std::time::Duration;

use support::Loopback;
use support::users::{UserServiceClient, UserServiceServer, Users};
use towline_service_api::builtin::{Health, HealthClient, HealthServer, HealthStatus};
use towline_service_api::{CallOptions, Client, Encoding, Retry, RpcError, ServiceKey, Shape, service};

#[test]
fn the_contract_says_what_the_trait_says() {
    let contract = UserServiceClient::contract();
    assert_eq!(contract.key, ServiceKey::new("", "com.acme.UserService", "1"));
    assert_eq!(contract.docs, "Users of the shop.\n\nSecond paragraph.");
    let method = contract.method("find_by_id").unwrap();
    assert_eq!(contract.method("findById"), Some(method));
    assert_eq!((method.docs, method.shape, method.idempotent), ("Finds one.", Shape::Unary, true));
    assert_eq!(
        (method.result, method.error, method.timeout),
        ("User", Some("UserError"), Some(Duration::from_secs(2)))
    );
    let shapes: Vec<_> =
        ["touch", "watch", "import", "chat"].iter().map(|name| contract.method(name).unwrap().shape).collect();
    assert_eq!(shapes, [Shape::OneWay, Shape::Stream, Shape::ClientStream, Shape::Channel]);
    let rename = contract.method("rename").unwrap();
    let arguments: Vec<_> =
        rename.arguments.iter().map(|it| (it.name, it.rust_name, it.type_text, it.required)).collect();
    assert_eq!(
        arguments[1..],
        [("newName", "new_name", "String", true), ("reason", "reason", "Option<String>", false)]
    );
    assert_eq!(rename.result, "()");
    assert_eq!(contract.method("chat").unwrap().inbound, Some("String"));
    assert_eq!(contract.method("odd").unwrap().rust_name, "oddly_named");
}

#[test]
fn the_contract_has_a_json_form() {
    let contract = serde_json::to_value(HealthClient::CONTRACT).unwrap();
    let expected = serde_json::json!({
        "group": "", "service": "towline.Health", "version": "",
        "docs": "Whether the broker, or one service behind it, can take calls.",
        "methods": [{
            "name": "check", "rustName": "check", "shape": "unary",
            "docs": "The health of a service (`com.acme.UserService`), or of the broker itself if none is named.",
            "arguments": [{"name": "service", "rustName": "service", "type": "Option<String>", "required": false}],
            "inbound": null, "result": "HealthStatus", "error": "RpcError", "timeoutMs": 2000, "idempotent": true,
        }],
    });
    assert_eq!(contract, expected);
}

#[tokio::test]
async fn attributes_and_builders_set_the_options_of_a_call() {
    let caller = Loopback::new(UserServiceServer::new(Users::default()));
    let client = UserServiceClient::new(caller.clone());
    client.find_by_id(7).await.unwrap();
    let retry = Retry { max: 3, min_backoff: Duration::from_millis(20), max_backoff: Duration::from_secs(1) };
    let from_trait = CallOptions {
        timeout: Some(Duration::from_secs(2)),
        idempotent: true,
        retry: Some(retry),
        key: Some("7".to_owned()),
        ..CallOptions::default()
    };
    let call = caller.last_call();
    assert_eq!(
        (call.method.as_ref(), call.encoding, call.options),
        ("findById", Encoding::MessagePack, from_trait.clone())
    );

    let timeout = Duration::from_millis(300);
    let call =
        client.find_by_id(7).timeout(timeout).tag("zone", "a").endpoint("uuid:X").key("k").sticky().idempotent(false);
    call.await.unwrap();
    let expected = CallOptions {
        timeout: Some(timeout),
        idempotent: false,
        tags: vec![("zone".into(), "a".to_owned())],
        endpoint: Some("uuid:X".to_owned()),
        key: Some("k".to_owned()),
        sticky: true,
        ..from_trait
    };
    assert_eq!(caller.last_call().options, expected);

    drop(client.watch(1, 2).prefetch(64).start());
    assert_eq!(caller.last_call().options.prefetch, Some(64));
    client.touch(1).sticky().await.unwrap();
    assert_eq!(caller.last_call().options, CallOptions { sticky: true, ..CallOptions::default() });
}

#[service(group = "shop", version = "2", encoding = "json", crate = "::towline_service_api")]
trait Unnamed {
    async fn nested(
        &self,
        pairs: Vec<(u8, Option<[u8; 2]>)>,
    ) -> Result<std::collections::HashMap<String, u8>, RpcError>;
}

#[test]
fn a_service_is_named_after_its_crate_unless_it_has_a_name() {
    assert_eq!(UnnamedClient::CONTRACT.key.to_string(), "shop!towline_service_api.Unnamed:2");
    let nested = &UnnamedClient::CONTRACT.methods[0];
    assert_eq!(nested.arguments[0].type_text, "Vec<(u8, Option<[u8; 2]>)>");
    assert_eq!(nested.result, "std::collections::HashMap<String, u8>");
}

struct Always;

impl Health for Always {
    async fn check(&self, service: Option<String>) -> Result<HealthStatus, RpcError> {
        Ok(if service.is_none() { HealthStatus::SERVING } else { HealthStatus::UNKNOWN })
    }
}

#[tokio::test]
async fn health_speaks_json_and_needs_no_argument() {
    let caller = Loopback::new(HealthServer::new(Always));
    let client = HealthClient::new(caller.clone());
    assert_eq!(client.check(None).await.unwrap(), HealthStatus::SERVING);
    assert_eq!(caller.last_call().encoding, Encoding::Json);
    assert_eq!(client.check(Some("com.acme.X".to_owned())).await.unwrap().status, 0);
}
