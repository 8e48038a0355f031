use super::*;

#[test]
fn methods_travel_in_camel_case_and_codes_in_kebab_case() {
    for (rust, wire) in [("find_by_id", "findById"), ("get", "get"), ("_id", "id"), ("a__b_2c", "aB2c"), ("_", "_")] {
        assert_eq!(camel(rust), wire);
    }
    for (variant, code) in
        [("UnknownTopic", "unknown-topic"), ("HTTPError", "http-error"), ("Full", "full"), ("V2", "v2")]
    {
        assert_eq!(kebab(variant), code);
    }
}

#[test]
fn durations_are_a_number_and_a_unit() {
    assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
    assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
    assert_eq!(backoff("20ms..1s"), Ok((Duration::from_millis(20), Duration::from_secs(1))));
    for text in ["", "2", "s", "1.5s", "2 s", "-1s", "2d", "99999999999999999999s", "9999999999999999h"] {
        assert!(duration(text).is_err(), "{text}");
    }
    for text in ["1s", "2s..1s", "..", "1s.."] {
        assert!(backoff(text).is_err(), "{text}");
    }
}

#[test]
fn a_slip_of_two_letters_is_recognised() {
    assert_eq!(closest("timout", &["timeout", "retry"]), Some("timeout"));
    assert_eq!(closest("one_way", &["oneway", "retry"]), Some("oneway"));
    assert_eq!(closest("deadline", &["timeout", "retry"]), None);
    assert_eq!(closest("x", &["key"]), None);
}
