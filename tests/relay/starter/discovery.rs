//! Where the brokers and the apps are.

use super::*;
use serde_json::json;
use std::path::Path;
use towline_rsocket::Frame;

const SERVICE: &str = "com.alibaba.rsocket.discovery.DiscoveryService";

fn method(name: &str) -> String {
    format!("{SERVICE}.{name}")
}

async fn uris(client: &mut Peer, asked: &str) -> Vec<Value> {
    let answer = json(client, &method("getInstances"), &json!([asked])).await;
    answer.as_array().expect("a list").iter().map(|instance| instance["uri"].clone()).collect()
}

/// What was recorded of the Java broker.
const RECORDED: &str = "79 43 3034 636f6d2e616c69626162612e72736f636b65742e646973636f766572792e52536f636b657453657276696365496e7374616e6365
    98 0a696e7374616e63654964 09736572766963654964 04686f7374 04706f7274 06736368656d61 03757269 06736563757265 086d65746164617461
    60 4e 012a 093139322e302e322e32 d4270f 03746370 147463703a2f2f3139322e302e322e323a39393939 54 485a";

#[tokio::test(flavor = "multi_thread")]
async fn the_poll_of_a_starter_gets_the_advertised_address_byte_for_byte() {
    let broker = Broker::with(|config| config.listen.advertised = vec!["tcp://192.0.2.2:9999".to_owned()]).await;
    let mut starter = broker.join(Setup::app("starter").data_mime(HESSIAN).says("brokers", json!(["tcp://a:1"]))).await;
    let metadata = asking(&method("getInstances"), mime::HESSIAN);
    assert_eq!(answer(&mut starter, &metadata, &hessian(&["*"])).await, (hex("fa000001a6"), hex(RECORDED)));
    let mut other = broker.client().await;
    assert_eq!(uris(&mut other, "*").await, [json!("tcp://192.0.2.2:9999")], "whoever asks");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_one_an_app_is_told_the_addresses_it_says_it_uses() {
    let broker = Broker::start().await;
    let said = json!(["tcp://broker.example.com:9999", "wss://[2001:db8::1]:443/x"]);
    let mut app = broker.join(Setup::app("app").says("brokers", said)).await;
    let answer = json(&mut app, &method("getInstances"), &json!(["*"])).await;
    let instance = |host: &str, port: u16, schema: &str, uri: &str| {
        json!({"instanceId": null, "serviceId": "*", "host": host, "port": port, "schema": schema, "uri": uri,
            "secure": true, "metadata": {}})
    };
    let wanted = json!([
        instance("broker.example.com", 9999, "tcp", "tcp://broker.example.com:9999"),
        instance("[2001:db8::1]", 443, "wss", "wss://[2001:db8::1]:443/x"),
    ]);
    assert_eq!(answer, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_says_nothing_is_told_the_address_it_is_connected_to() {
    let fixture = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("rsocket/tests/fixtures").join(name);
    let broker = Broker::with(|config| {
        config.tls.certificate = Some(fixture("server.pem"));
        config.tls.key = Some(fixture("server.key"));
    })
    .await;
    let tcp = broker.address.clone();
    for (address, scheme) in [(tcp.clone(), "tcp"), (format!("ws://{tcp}"), "ws"), (format!("tls://{tcp}"), "tls")] {
        let mut app = Peer::join(&address, &Setup::app("app")).await;
        assert_eq!(uris(&mut app, "*").await, [json!(format!("{scheme}://{tcp}"))]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_could_only_be_told_a_guess_is_told_an_error() {
    let unix = Broker::on(Carrier::Unix).await;
    let odd = Broker::start().await;
    let setup = Setup::app("app").says("brokers", json!(["tcp://fine:1", "not an address"]));
    for mut app in [unix.client().await, odd.join(setup).await] {
        let (code, text) = refused(&mut app, &method("getInstances"), &json!(["*"])).await;
        assert!(code == 0x201 && text.contains("set listen.advertised"), "{code:#x} {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_of_a_service_are_where_their_apps_listen() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let at = |name: &str, ports: Value| Setup::app(name).says("ip", json!("192.0.2.7")).says("rsocketPorts", ports);
    let setup = at("one", json!({"0": "tcp", "42252": "ws"})).published("g", "test.Echo", "2").label("owner", "me");
    let mut one = broker.join(setup).await;
    let _two = broker.join(at("two", json!({"0": "tcp"})).published("g", "test.Echo", "2")).await;
    let answer = json(&mut client, &method("getInstances"), &json!(["g!test.Echo:2"])).await;
    let wanted = json!([
        {"instanceId": uuid("one"), "serviceId": "one", "host": "192.0.2.7", "port": 42252, "schema": "ws",
            "uri": "ws://192.0.2.7:42252", "secure": false, "metadata": {"owner": "me"}},
        {"instanceId": uuid("two"), "serviceId": "two", "host": "192.0.2.7", "port": 0, "schema": "tcp",
            "uri": null, "secure": false, "metadata": {}},
    ]);
    assert_eq!(answer, wanted);
    assert_eq!(uris(&mut client, "test.Echo").await, [] as [Value; 0], "another group and version");

    let event = json!({"specversion": "1.0", "id": "1", "source": format!("app://{}/", uuid("one")),
        "type": "com.alibaba.rsocket.events.PortsUpdateEvent",
        "data": {"appId": uuid("one"), "rsocketPorts": {"7000": "tcp"}, "webPort": 80, "managementPort": 81}});
    one.send(Frame::metadata_push(event.to_string().as_bytes())).await;
    one.expect_nothing().await;
    assert_eq!(uris(&mut client, "g!test.Echo:2").await, [json!("tcp://192.0.2.7:7000"), Value::Null]);
    let answer = json(&mut client, &method("getInstance"), &json!([uuid("one")])).await;
    assert_eq!((&answer["port"], &answer["instanceId"]), (&json!(7000), &json!(uuid("one"))));
    ask(&mut client, 1, &method("getInstance"), &json!([uuid("nobody")])).await;
    expect_done(&mut client, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_service_is_the_name_of_apps_that_serve() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let setup = |name: &str| Setup::app("Shop").uuid(&uuid(name)).says("rsocketPorts", json!({"1": "tcp"}));
    let _one = broker.join(setup("one")).await;
    let mut two = broker.join(setup("two").service("test.Echo")).await;
    let ids = async |client: &mut Peer| {
        let answer = json(client, &method("getInstances"), &json!(["sHOP"])).await;
        let ids = answer.as_array().expect("a list").iter().map(|instance| instance["instanceId"].clone());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids(&mut client).await, [json!(uuid("one")), json!(uuid("two"))]);
    let event = json!({"source": format!("app://{}/", uuid("two")), "type": "com.alibaba.rsocket.events.AppStatusEvent",
        "data": {"id": uuid("two"), "status": 2}});
    two.send(Frame::metadata_push(event.to_string().as_bytes())).await;
    two.expect_nothing().await;
    assert_eq!(ids(&mut client).await, [json!(uuid("one"))], "the other says that it serves no more");
    for nobody in ["towline.starter", "towline.Health", SERVICE, "", "a b"] {
        assert_eq!(uris(&mut client, nobody).await, [] as [Value; 0], "{nobody}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_and_services_are_listed_and_the_brokers_own_are_not() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let _one = broker.join(Setup::app("one").service("test.B").published("g", "test.A", "2")).await;
    let _anonymous = broker.serve("test.B").await;
    assert_eq!(json(&mut client, &method("getAllServices"), &json!([])).await, json!(["g!test.A:2", "test.B"]));
    let apps = json(&mut client, &method("findAppInstances"), &json!(["1"])).await;
    let [Value::String(line)] = apps.as_array().expect("a list").as_slice() else { panic!("one app: {apps}") };
    let at = line.strip_prefix("one,ip-of-one,").and_then(|millis| millis.parse::<u64>().ok());
    assert!(at.is_some_and(|millis| millis > 1_700_000_000_000), "{line}");
    assert_eq!(json(&mut client, &method("findAppInstances"), &json!(["2"])).await, json!([]), "no such organization");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_starter_gets_lists_of_any_length_in_hessian() {
    let broker = Broker::start().await;
    let mut starter = broker.join(Setup::anonymous().data_mime(HESSIAN)).await;
    let mut ask = async |name: &str, texts: &[&str]| {
        let (metadata, data) = answer(&mut starter, &asking(&method(name), mime::HESSIAN), &hessian(texts)).await;
        assert_eq!(metadata, hex("fa000001a6"));
        data
    };
    assert_eq!(ask("getAllServices", &[]).await, [0x78]);
    let setup = (0..8).fold(Setup::app("one"), |setup, nth| setup.service(&format!("s.{nth}")));
    let _one = broker.join(setup.says("ip", Value::Null)).await;
    let names: Vec<u8> = (0..8).flat_map(|nth| [&[3][..], format!("s.{nth}").as_bytes()].concat()).collect();
    assert_eq!(ask("getAllServices", &[]).await, [&[0x58, 0x98][..], &names].concat());
    let _two = broker.join(Setup::app("two").service("s.0").label("a", "b")).await;
    let data = ask("getInstances", &["s.0"]).await;
    let class = hex(RECORDED)[1..].windows(9).position(|bytes| bytes == b"\x08metadata").expect("the last field") + 10;
    let object = |name: &str, host: &[u8], metadata: &[u8]| {
        let id = [&[0x30, 32][..], uuid(name).as_bytes()].concat();
        [&[0x60][..], &id, &[3], name.as_bytes(), host, &[0x90, 3], b"tcp", b"NF", metadata].concat()
    };
    let wanted = [
        &[0x7A][..],
        &hex(RECORDED)[1..class],
        &object("one", b"N", b"HZ"),
        &object("two", b"\x09ip-of-two", b"H\x01a\x01bZ"),
    ];
    assert_eq!(data, wanted.concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_said_so() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    for arguments in [json!([]), json!([null]), json!([7]), json!(["a", "b"])] {
        let (code, text) = refused(&mut client, &method("getInstances"), &arguments).await;
        assert!(code == 0x204 && text.starts_with("RST-700501"), "{arguments}: {code:#x} {text}");
    }
    let (code, text) = refused(&mut client, &method("fly"), &json!([])).await;
    assert_eq!((code, text), (0x204, format!("RST-201404: No service handler found: {SERVICE}.fly")));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_app_takes_the_place_of_these_services() {
    let broker = Broker::start().await;
    let mut thief = broker.join(Setup::app("thief").service(SERVICE).service("test.Echo")).await;
    let mut client = broker.client().await;
    assert_eq!(json(&mut client, &method("getAllServices"), &json!([])).await, json!(["test.Echo"]));
    thief.expect_nothing().await;
}
