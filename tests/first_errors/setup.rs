use super::harness::*;
use super::row::Row;
use towline_rsocket::flags;
use towline_rsocket::metadata::{CompositeBuilder, mime};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_metadata_is_of_another_type_is_told_which_one_to_say() {
    let row = Row::of("a_request_whose_metadata_is_of_another_type_is_told_which_one_to_say");
    let broker = Broker::start().await;
    for mime in ["application/json", "text/plain"] {
        let mut client = broker.join(Setup::anonymous().metadata_mime(mime)).await;
        row.error(&refusal(&mut client, Some(&route("demo.Greeter.greet:1"))).await);
        client.send(forget(3, "demo.Greeter.wave:1", b"")).await;
        client.expect_nothing().await;
    }
    assert_eq!(broker.meter("towline_fire_and_forget_dropped_total"), 2.0, "nobody hears of these");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uuid_that_is_too_short_is_refused() {
    let broker = Broker::start().await;
    let said = broker.refusal(Setup::app("shop").uuid("42").frame().wire()).await;
    Row::of("a_uuid_that_is_too_short_is_refused").error(&said);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_are_no_json_are_refused_with_what_they_look_like() {
    let row = Row::of("entries_that_are_no_json_are_refused_with_what_they_look_like");
    let broker = Broker::start().await;
    for (entry, content) in [(mime::APPLICATION, "shop"), (mime::SERVICE_REGISTRY, r#"["com.acme.Shop"]"#)] {
        let metadata = CompositeBuilder::new().entry(entry, content.as_bytes()).finish();
        row.error(&broker.refusal(Setup::anonymous().frame_with(&metadata).wire()).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resumption_is_refused() {
    let row = Row::of("resumption_is_refused");
    let broker = Broker::start().await;
    let setup = patched_setup(|frame| {
        frame[5] |= flags::RESUME as u8;
        frame.splice(18..18, [0, 3, 1, 2, 3]);
    });
    row.error(&broker.refusal(&setup).await);
    let resume = [&[0, 0, 0, 0, 0x0D << 2, 0, 0, 1, 0, 0, 0, 2, 9, 9][..], &[0; 16]].concat();
    row.error(&broker.refusal(&framed(&resume)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_that_is_too_large_is_refused() {
    let broker = Broker::start().await;
    // 70,000 bytes, of which the length is enough.
    let said = broker.refusal(&[1, 0x11, 0x70, 0, 0, 0, 0, 5]).await;
    Row::of("a_setup_that_is_too_large_is_refused").error(&said);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_of_the_protocol_is_refused() {
    let broker = Broker::start().await;
    let setup = patched_setup(|frame| frame[6..10].copy_from_slice(&[0, 0, 0, 2]));
    Row::of("another_version_of_the_protocol_is_refused").error(&broker.refusal(&setup).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_before_setup_is_refused() {
    let broker = Broker::start().await;
    let said = broker.refusal(call(1, "demo.Greeter.greet:1", b"").wire()).await;
    Row::of("a_request_before_setup_is_refused").error(&said);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_told_what_was_missing() {
    let broker = Broker::with(|config| config.listen.setup_timeout = std::time::Duration::from_millis(100)).await;
    Row::of("who_says_nothing_is_told_what_was_missing").error(&broker.connect().await.expect_end().await);
}
