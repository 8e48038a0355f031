use super::*;

#[test]
fn not_delivered_is_exactly_rejected_and_three_texts() {
    let delivered = |code, text: &str| RpcError::from_wire(code, text).delivery;
    assert_eq!(delivered(RpcError::REJECTED, "overload"), Delivery::NotDelivered);
    assert_eq!(delivered(RpcError::INVALID, "RST-900404: no instance"), Delivery::NotDelivered);
    assert_eq!(delivered(RpcError::APPLICATION_ERROR, "RST-900405: no endpoint"), Delivery::NotDelivered);
    assert_eq!(delivered(RpcError::APPLICATION_ERROR, "RST-900401: not allowed"), Delivery::NotDelivered);
    for (code, text) in [
        (RpcError::APPLICATION_ERROR, "boom"),
        (RpcError::APPLICATION_ERROR, "see RST-900404"),
        (RpcError::CANCELED, "deadline exceeded"),
        (RpcError::INVALID, "RST-201404: No service handler found: S.m"),
        (0x301, "own code"),
    ] {
        assert_eq!(delivered(code, text), Delivery::Maybe, "{code:x} {text}");
    }
}

#[test]
fn retry_after_is_read_from_the_end_of_a_rejected_text_only() {
    let error = RpcError::from_wire(RpcError::REJECTED, "too many calls retry-after-ms=250");
    assert_eq!(error.retry_after, Some(Duration::from_millis(250)));
    assert_eq!(RpcError::rejected("busy", Some(Duration::from_secs(1))).message, "busy retry-after-ms=1000");
    assert_eq!(RpcError::from_wire(RpcError::REJECTED, "x retry-after-ms=2 later").retry_after, None);
    assert_eq!(RpcError::from_wire(RpcError::CANCELED, "x retry-after-ms=2").retry_after, None);
}
