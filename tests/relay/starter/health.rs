//! Is the broker there, is a service: what a starter asks before all else.

use super::*;

const HEALTH: &str = "com.alibaba.rsocket.health.RSocketServiceHealth";

#[tokio::test(flavor = "multi_thread")]
async fn the_health_probe_of_a_starter_gets_its_answer_byte_for_byte() {
    let broker = Broker::start().await;
    let mut client = broker.join(Setup::app("starter").data_mime("application/x-hessian")).await;
    let probe = [hex("fe000036 35"), format!("{HEALTH}.check").into_bytes(), hex("fa000001a6")].concat();
    assert_eq!(probe.len(), 63);
    assert_eq!(answer(&mut client, &probe, b"").await, (hex("fa000001a6"), vec![0x91]));
    // Pipelined with SETUP, as the starters do it.
    let mut early = broker.connect().await;
    let setup = Setup::anonymous().data_mime("application/x-hessian").frame();
    early.send_all([setup, call_with(1, Some(&probe), b"")]).await;
    assert_eq!(parts(&early.expect_payload(1).await).1, [0x91]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_service_answers_in_the_type_of_setup_and_by_service() {
    let broker = Broker::start().await;
    let mut _served = broker.serve("test.Echo").await;
    let request = |mime| {
        let tags = routing::write_tags([format!("{HEALTH}.check").as_str()]).unwrap();
        CompositeBuilder::new().entry(mime::ROUTING, &tags).message_mime(mime).finish()
    };
    // The starters' actuator asks in JSON and reads Hessian.
    let mut starter = broker.join(Setup::anonymous().data_mime("application/x-hessian")).await;
    let hessian = hex("fa000001a6");
    assert_eq!(answer(&mut starter, &request(mime::JSON), b"[null]").await, (hessian.clone(), vec![0x91]));
    let named = |name: &str| [&b"\x71\x07[object"[..], &[name.len() as u8], name.as_bytes()].concat();
    for (name, expected) in [("test.Echo", 0x91), ("test.Nobody", 0x8F), ("", 0x91)] {
        let (metadata, data) = answer(&mut starter, &request(mime::HESSIAN), &named(name)).await;
        assert_eq!((metadata, data), (hessian.clone(), vec![expected]), "{name}");
    }
    let mut plain = broker.client().await;
    let json = hex("fa00000185");
    assert_eq!(answer(&mut plain, &request(mime::JSON), b"").await, (json.clone(), b"1".to_vec()));
    for (data, expected) in [(&br#"["test.Echo"]"#[..], &b"1"[..]), (br#""test.Nobody""#, b"-1"), (b"[]", b"1")] {
        assert_eq!(answer(&mut plain, &request(mime::JSON), data).await, (json.clone(), expected.to_vec()));
    }
    plain.send(call_with(1, Some(&request(mime::HESSIAN)), b"H")).await;
    let (code, text) = plain.expect_error(1).await;
    assert!(code == 0x204 && text.starts_with("RST-700501"), "{code:#x} {text}");
    let unknown = routing::write_tags([format!("{HEALTH}.fly").as_str()]).unwrap();
    let unknown = CompositeBuilder::new().entry(mime::ROUTING, &unknown).message_mime(mime::JSON).finish();
    plain.send(call_with(1, Some(&unknown), b"")).await;
    let (code, text) = plain.expect_error(1).await;
    assert_eq!((code, text), (0x204, format!("RST-201404: No service handler found: {HEALTH}.fly")));
    plain.send(stream(1, 1, &format!("{HEALTH}.check"), b"")).await;
    let refused = plain.expect(FrameType::Error).await;
    assert_eq!(refused.view().stream_id(), 1);
}
