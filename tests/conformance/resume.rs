//! Resumption, which is not supported.

use crate::harness::*;
use towline_rsocket::flags;

over_all! {
    resumption_is_refused_by_name,
    resume_after_setup_ends_the_connection,
}

async fn resumption_is_refused_by_name(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let resume = patched_setup(|frame| {
        frame[5] |= flags::RESUME as u8;
        frame.splice(18..18, [0, 3, 1, 2, 3]);
    });
    let (code, text) = broker.refusal(&resume).await;
    assert!(code == 3 && text.contains("resum"), "{code:#x} {text}");
    let first = [&[0, 0, 0, 0, 0x0D << 2, 0, 0, 1, 0, 0, 0, 2, 9, 9][..], &[0; 16]].concat();
    let (code, text) = broker.refusal(&framed(&first)).await;
    assert!(code == 4 && text.contains("SETUP"), "{code:#x} {text}");
}

async fn resume_after_setup_ends_the_connection(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    client.send_bytes(&raw(0, 0x0D, 0, &[&[0, 1, 0, 0, 0, 2, 9, 9][..], &[0; 16]].concat())).await;
    let (code, text) = client.expect_end().await;
    assert!(code == 0x101 && text.contains("RESUME"), "{code:#x} {text}");
}
