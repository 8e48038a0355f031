use super::*;

#[test]
fn a_typed_error_travels_code_first() {
    let error = TypedError::new("sequence-gap", "a gap").with_next("send 4 first").with("expected", &4).into_rpc();
    assert_eq!(error.code, RpcError::APPLICATION_ERROR);
    assert_eq!(
        error.message,
        r#"{"code":"sequence-gap","message":"a gap","next":"send 4 first","detail":{"expected":4}}"#
    );
}

#[test]
fn only_a_0x201_that_starts_with_a_code_is_typed() {
    let text = r#"{"code":"x","message":"m"}"#;
    let typed = RpcError::application(text).typed().unwrap();
    assert_eq!((typed.code.as_ref(), typed.message.as_str(), typed.next, typed.detail.len()), ("x", "m", None, 0));
    assert_eq!(RpcError::canceled(text).typed(), None);
    assert_eq!(RpcError::application("boom").typed(), None);
    assert_eq!(RpcError::application(r#"{"code":7}"#).typed(), None);
}

#[test]
fn a_text_above_64_kib_loses_its_detail_then_the_end_of_its_message() {
    let long = "ä\u{1}".repeat(40_000);
    let error = TypedError::new("x", "short").with("blob", &long).into_rpc();
    assert_eq!(error.message, r#"{"code":"x","message":"short","detail":{}}"#);
    let error = TypedError::new("x", long).into_rpc();
    assert!(error.message.len() <= MAX_TEXT);
    assert_eq!(error.typed().unwrap().code, "x");
}
